"""What names the cells of a manifest outside its Census: its corpus, or the columns of a portable export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import ManifestError
from curate.identity import identity_hash
from curate.manifests.document import CENSUS
from curate.manifests.reading import CELLS_FILE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.manifests.manifest import Manifest

PORTABLE_COLUMNS = ("dataset_id", "observation_joinid")
"""What `export --portable` adds to cells.parquet; the identity of kind "dataset_id+observation_joinid"."""

_PORTABLE_KIND = "+".join(PORTABLE_COLUMNS)


def portable_identity(manifest: Manifest) -> NDArray[np.uint64] | None:
    """Return the identity of the corpus' own cells, in the order of the file; None when it holds none.

    Returns
    -------
    uint64 [n_cells of the census]
        As `Corpus.identity` has it.

    Raises
    ------
    ManifestError
        When cells.parquet is damaged, or a cell has no identity.
    """
    data = pa.BufferReader(manifest.read(CELLS_FILE))
    if not _is_portable(data):
        return None
    table = pq.read_table(data, columns=list(PORTABLE_COLUMNS))
    frame = pl.DataFrame(pl.from_arrow(table))[manifest.held_cells.rows_of(CENSUS)]
    missing = frame.height - frame.drop_nulls().height
    if missing:
        raise ManifestError(f"{missing:,} cells of {manifest.ref} have no {_PORTABLE_KIND}; export it again")
    return identity_hash(*(frame[name].cast(pl.String) for name in PORTABLE_COLUMNS))


def why_not_comparable(a: Manifest, b: Manifest) -> str | None:
    """Return why cells of two Censuses cannot be compared, or None when they can."""
    kinds = []
    for manifest in (a, b):
        kind = _kind(manifest)
        if kind is None:
            return (
                f"corpus {manifest.document.corpus.name!r} is not at hand; name its workspace with "
                "`curate -C`, or compare copies made with `curate manifests export --portable`"
            )
        kinds.append(kind)
    of_a, of_b = a.document.corpus, b.document.corpus
    if kinds[0] != kinds[1]:
        return f"one names its cells by {kinds[0]}, the other by {kinds[1]}"
    if kinds[0] == _PORTABLE_KIND:
        return None
    if of_a.release != of_b.release:
        return f"{kinds[0]} holds inside one release, and these are {of_a.release} and {of_b.release}"
    return f"{kinds[0]} holds inside one Census and organism"


def _kind(manifest: Manifest) -> str | None:
    """Return what names the cells of a manifest, None when that is not at hand."""
    if _is_portable(pa.BufferReader(manifest.read(CELLS_FILE))):
        return _PORTABLE_KIND
    return None if manifest.find_corpus() is None else manifest.document.corpus.identity


def _is_portable(data: Any) -> bool:
    try:
        return set(pq.read_schema(data).names) >= set(PORTABLE_COLUMNS)
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(f"cells.parquet cannot be read as Parquet: {error}") from error
