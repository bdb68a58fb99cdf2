"""Look cells up in the corpus that they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.errors import ManifestError
from curate.manifests.document import CENSUS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.corpus import Corpus
    from curate.manifests.cells import Cells

ABSENT = -1


def find_rows(keys: NDArray[np.integer[Any]], wanted: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return where each wanted key stands in `keys`; -1 where it does not.

    Parameters
    ----------
    keys, wanted
        Joinids or identities, ascending and distinct each.

    Returns
    -------
    int64 [n_wanted]
    """
    if len(keys) == 0:
        return np.full(len(wanted), ABSENT, dtype=np.int64)
    rows = np.searchsorted(keys, wanted)
    rows[rows == len(keys)] = 0
    rows[keys[rows] != wanted] = ABSENT
    return rows


def corpus_rows(corpus: Corpus, joinids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows of cells in their corpus, int64 [n_cells].

    Raises
    ------
    ManifestError
        When the corpus does not hold one.
    """
    rows = find_rows(corpus.joinids(), joinids)
    strangers = joinids[rows == ABSENT]
    if len(strangers):
        raise ManifestError(
            f"{len(strangers):,} of {len(joinids):,} cells are not in corpus {corpus.name!r}, "
            f"first soma_joinid {strangers[0]}; see `curate manifests verify`"
        )
    return rows


def read_obs(corpus: Corpus, cells: Cells, columns: Sequence[str]) -> pl.DataFrame:
    """Return corpus columns of a manifest's cells, row by row; null for spike-ins.

    Raises
    ------
    ManifestError
        When the corpus does not hold a cell.
    CorpusError
        When the corpus lacks a column, naming the nearest.
    """
    held = corpus.columns(list(columns))
    own = corpus_rows(corpus, cells.census_joinids())
    if len(own) == len(cells):
        return held[own]
    rows = np.full(len(cells), ABSENT, dtype=np.int64)
    rows[cells.rows_of(CENSUS)] = own
    return held.select(pl.all().gather(pl.Series(rows).replace(ABSENT, None)))
