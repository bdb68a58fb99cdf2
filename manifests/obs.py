"""Look cells up in the corpus that they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import polars as pl

from curate.errors import ManifestError
from curate.manifests.document import CENSUS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.corpus import Corpus
    from curate.manifests.cells import Cells

Value = TypeVar("Value", bound=np.generic)

ABSENT = -1
DENSE = 4


def find_rows(
    keys: NDArray[np.integer[Any]], wanted: NDArray[np.integer[Any]]
) -> NDArray[np.signedinteger[Any]]:
    """Return where each wanted key stands in `keys`, [n_wanted]; -1 where it does not.

    Parameters
    ----------
    keys, wanted
        Joinids or identities, ascending and distinct each.
    """
    dtype = np.int32 if len(keys) < 2**31 else np.int64
    if len(keys) and len(wanted) and _is_dense(keys, wanted):
        # Both ascend: when every wanted key is there, their rows are those that are marked, in order.
        is_wanted = np.zeros(_largest(keys, wanted) + 1, dtype=np.bool_)
        is_wanted[wanted] = True
        rows = np.flatnonzero(is_wanted[keys])
        if len(rows) == len(wanted):
            return rows
    return look_up(keys, np.arange(len(keys), dtype=dtype), wanted, absent=ABSENT)


def look_up(
    keys: NDArray[np.integer[Any]], values: NDArray[Value], wanted: NDArray[np.integer[Any]], *, absent: int
) -> NDArray[Value]:
    """Return the value of each wanted key [n_wanted], and `absent` where `keys` does not hold it.

    Keys up to DENSE times as large as they are many are looked up in a table, which is several times as fast
    as a search.

    Parameters
    ----------
    keys, wanted
        Joinids or identities, ascending and distinct each.
    values
        One for each of `keys`.
    """
    if len(keys) == 0 or len(wanted) == 0:
        return np.full(len(wanted), absent, dtype=values.dtype)
    if _is_dense(keys, wanted):
        table = np.full(_largest(keys, wanted) + 1, absent, dtype=values.dtype)
        table[keys] = values
        return cast("NDArray[Value]", table[wanted])
    rows = np.searchsorted(keys, wanted)
    rows[rows == len(keys)] = 0
    return np.where(keys[rows] == wanted, values[rows], values.dtype.type(absent))


def _is_dense(keys: NDArray[np.integer[Any]], wanted: NDArray[np.integer[Any]]) -> bool:
    return _largest(keys, wanted) < DENSE * (len(keys) + len(wanted))


def _largest(keys: NDArray[np.integer[Any]], wanted: NDArray[np.integer[Any]]) -> int:
    return int(max(keys[-1], wanted[-1]))


def corpus_rows(corpus: Corpus, joinids: NDArray[np.int64]) -> NDArray[np.signedinteger[Any]]:
    """Return the rows of cells in their corpus, [n_cells].

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
    own = corpus_rows(corpus, cells.census_joinids())
    held = corpus.columns(list(columns), rows=own.astype(np.int64, copy=False))
    if len(own) == len(cells):
        return held
    rows = np.full(len(cells), ABSENT, dtype=np.int64)
    rows[cells.rows_of(CENSUS)] = np.arange(len(own))
    return held.select(pl.all().gather(pl.Series(rows).replace(ABSENT, None)))
