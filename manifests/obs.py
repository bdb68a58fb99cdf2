"""Look cells up in the corpus that they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import polars as pl

from curate.errors import ManifestError
from curate.manifests.document import CENSUS
from curate.sources.source import IS_CONTROL, PERTURBATION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from curate.corpus import Corpus
    from curate.manifests.cells import Cells
    from curate.sources.source import Source

Value = TypeVar("Value", bound=np.generic)

ABSENT = -1
DENSE = 4
SOURCE_COLUMNS = (PERTURBATION, IS_CONTROL)
"""What the cells of a source have beside the columns of a corpus."""


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


def read_obs(
    corpus: Corpus, cells: Cells, columns: Sequence[str], *, sources: Mapping[str, Source] | None = None
) -> pl.DataFrame:
    """Return obs columns of a manifest's cells, row by row.

    Parameters
    ----------
    columns
        Of the corpus; with sources also those of SOURCE_COLUMNS, which are null for the corpus' own cells.
    sources
        By name, the sources of spike-ins; cells of others have nulls.

    Raises
    ------
    ManifestError
        When the corpus does not hold a cell.
    CorpusError
        When the corpus lacks a column, naming the nearest.
    """
    own = corpus_rows(corpus, cells.census_joinids()).astype(np.int64, copy=False)
    if len(own) == len(cells):
        return corpus.columns(list(columns), rows=own)
    known = sources or {}
    of_sources = [name for name in columns if known and name in SOURCE_COLUMNS]
    held = corpus.columns([name for name in columns if name not in of_sources], rows=own)
    parts: list[pl.DataFrame] = []
    for name, n in cells.sources.items():
        if name == CENSUS:
            # A frame of no columns has no height of its own.
            parts.append(held if held.width else pl.DataFrame(height=n))
        elif name in known:
            parts.append(known[name].columns(columns, rows=cells.soma_joinid[cells.rows_of(name)]))
        else:
            parts.append(pl.DataFrame(height=n))
    types = held.schema
    return pl.DataFrame([_stacked(name, parts, types.get(name)) for name in columns])


def _stacked(name: str, parts: Sequence[pl.DataFrame], dtype: pl.DataType | None) -> pl.Series:
    """Put a column together from the parts that have it, null elsewhere.

    Text stays coded: labels that the corpus has not come after its own, so that its codes stay what they are.
    """
    columns = [part[name] if name in part.columns else None for part in parts]
    types = [column.dtype for column in columns if column is not None and column.dtype != pl.Null]
    target = dtype or next(iter(types), pl.Null())
    if any(isinstance(each, pl.Enum) for each in types):
        first = dtype.categories.to_list() if isinstance(dtype, pl.Enum) else []
        others = [each.categories.to_list() for each in types if isinstance(each, pl.Enum)]
        target = pl.Enum(list(dict.fromkeys([*first, *(label for labels in others for label in labels)])))
    return pl.concat(
        [
            pl.repeat(None, part.height, dtype=target, eager=True).alias(name)
            if column is None or column.dtype == pl.Null
            else _as_type(column, target)
            for part, column in zip(parts, columns, strict=True)
        ]
    )


def _as_type(column: pl.Series, target: pl.DataType) -> pl.Series:
    if column.dtype == target:
        return column
    if isinstance(column.dtype, pl.Enum) and isinstance(target, pl.Enum):
        labels = column.dtype.categories
        if target.categories[: len(labels)].equals(labels):
            codes = column.to_physical().cast(pl.Series([], dtype=target).to_physical().dtype)
            return codes.cat.to(target)
        return column.cast(pl.String).cast(target)
    return column.cast(target)
