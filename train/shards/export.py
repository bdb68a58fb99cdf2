"""Shards as one AnnData file, for what reads h5ad or Zarr; written in a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.atomic import atomic_file, atomic_folder
from curate.errors import ShardError
from curate.manifests.counts import obs_table
from curate.manifests.document import SPLITS
from curate.progress import progress

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.manifests.document import Split
    from curate.train.shards.shards import Shard, Shards

CHUNK = 2**18
SUFFIXES = (".h5ad", ".zarr")


def export(shards: Shards, path: Path, *, split: Split | None = None) -> int:
    """Write the cells as an AnnData file; return how many.

    X is float32 CSR of raw counts with 64-bit index pointers; obs the cells in the order of the shards,
    indexed by soma_joinid, spike-ins by "source:row"; var the genes, indexed by feature_id, with a column for
    each data set or source that measured only some of them. Memory: obs, and one shard.

    Parameters
    ----------
    path
        Ends in .h5ad or .zarr, and does not exist yet.
    split
        Only the cells of this split.

    Raises
    ------
    ShardError
        When the ending is another, or the split has no cells.
    WriteError
        When it cannot be written; nothing is left half-written.
    """
    splits = [each for each in SPLITS if shards.n_cells(each)] if split is None else [split]
    parts = [part for each in splits for part in shards.split(each)]
    check_destination(path)
    if path.suffix == ".h5ad":
        import h5py

        with atomic_file(path) as aside, h5py.File(aside, "w") as file:
            return _write(file, shards, parts, split)
    import zarr
    from anndata import settings

    # Labels are small: one chunk each, and anndata is told so, lest it warns of its coming default.
    with atomic_folder(path) as folder, settings.override(auto_shard_zarr_v3=False):
        return _write(zarr.open_group(folder, mode="w"), shards, parts, split)


def check_destination(path: Path) -> None:
    """Refuse a path that is there, or of another ending.

    Raises
    ------
    ShardError
        Saying which.
    """
    if path.exists():
        raise ShardError(f"{path} exists; name another file or remove it first")
    if path.suffix not in SUFFIXES:
        raise ShardError(f"{path} ends in {path.suffix or 'nothing'}; shards are exported to .h5ad or .zarr")


def _write(file: Any, shards: Shards, parts: list[Shard], split: Split | None) -> int:
    from anndata.io import write_elem

    file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    obs = shards.obs(split=split)
    write_elem(file, "obs", obs_table(obs))
    write_elem(file, "var", _var_table(shards))
    facts = {"manifest": shards.header.manifest_ref, "manifest_id": shards.header.manifest}
    write_elem(file, "uns", facts)
    for name in ("layers", "obsm", "varm", "obsp", "varp"):
        write_elem(file, name, {})
    n_nonzeros = sum(int(part.indptr[-1]) for part in parts)
    group = file.create_group("X")
    group.attrs.update(
        {
            "encoding-type": "csr_matrix",
            "encoding-version": "0.1.0",
            "shape": [len(obs), shards.header.n_genes],
        }
    )
    # scipy wants one type for both, and 32 bits would run over in the index pointers of a large file.
    indices = _array(group, "indices", n_nonzeros, np.int64)
    data = _array(group, "data", n_nonzeros, np.float32)
    indptr = _array(group, "indptr", len(obs) + 1, np.int64)
    indptr[:1] = 0
    cell, first = 0, 0
    with progress("Writing counts", len(obs)) as advance:
        for part in parts:
            stop = first + int(part.indptr[-1])
            indices[first:stop] = part.indices
            data[first:stop] = part.data
            indptr[cell + 1 : cell + 1 + part.n_cells] = first + part.indptr[1:]
            cell, first = cell + part.n_cells, stop
            advance(part.n_cells)
    return len(obs)


def _array(group: Any, name: str, n: int, dtype: type[np.generic]) -> Any:
    create = getattr(group, "create_array", None) or group.create_dataset
    compressed = {} if hasattr(group, "create_array") else {"compression": "lzf"}
    return create(name, shape=(n,), dtype=dtype, chunks=(max(1, min(n, CHUNK)),), **compressed)


def _var_table(shards: Shards) -> Any:
    genes = shards.genes
    presence = genes.presence
    columns: dict[str, list[str] | NDArray[np.bool_]] = {"feature_name": list(genes.feature_names)}
    if presence is not None:
        columns |= {
            f"measured_in_{name}": mask for name in presence.datasets if not (mask := presence.of(name)).all()
        }
    table = pl.DataFrame(columns).to_pandas()
    table.index = list(genes.feature_ids)
    return table
