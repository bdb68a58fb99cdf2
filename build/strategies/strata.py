"""Cells grouped by the values of one or several obs columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from curate.build.codes import count_codes
from curate.build.selection import Parameter
from curate.errors import SelectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TABLE = 1 << 16


@dataclass(frozen=True)
class Strata:
    """The stratum of each cell.

    Strata are numbered in the order of their labels, so that the numbers depend on what the columns say and
    not on how their categories happen to be coded. Cells without a value (null) are a stratum of their own,
    the last one; "unknown" is a value like any other, and so is one that names several ("A || B").

    Attributes
    ----------
    codes
        [n_cells], the smallest unsigned integers that hold them.
    counts
        int64 [n_strata], the cells in each; none is empty.
    """

    codes: NDArray[np.unsignedinteger]
    counts: NDArray[np.int64]

    @property
    def n(self) -> int:
        """The number of strata."""
        return self.counts.size


def stratify(cells: pl.DataFrame, by: Sequence[str]) -> Strata:
    """Group cells by the combinations of values that occur in the columns `by`.

    Raises
    ------
    SelectionError
        When a column is absent or holds measurements.
    """
    coded = [_column_codes(cells, name) for name in by]
    codes = reduce(_combine, coded)
    return Strata(codes, count_codes(codes))


def parse_columns(value: object) -> tuple[str, ...]:
    """Read column names from ``"a,b"`` or from a sequence of names.

    Raises
    ------
    SelectionError
        When there is none, or one twice.
    """
    listed = value.split(",") if isinstance(value, str) else value
    if not isinstance(listed, Iterable):
        raise SelectionError(f"by={value!r} names no column; name one or several: cell_type,tissue_general")
    names = tuple(str(name).strip() for name in listed)
    if not names or "" in names or len(set(names)) < len(names):
        raise SelectionError(f"by={value!r} must name columns, each once, such as cell_type,tissue_general")
    return names


def _column_codes(cells: pl.DataFrame, name: str) -> NDArray[np.unsignedinteger]:
    if name not in cells.columns:
        raise SelectionError(f"no column {name!r} to group cells by; there are: {', '.join(cells.columns)}")
    column = cells[name]
    if column.dtype.is_float():
        raise SelectionError(f"{name} holds measurements; group cells by a column of categories")
    if not isinstance(column.dtype, pl.Enum):
        texts = column.cast(pl.String)
        column = texts.cast(pl.Enum(texts.unique().drop_nulls().sort()))
    assert isinstance(column.dtype, pl.Enum)
    labels = column.dtype.categories
    codes = _filled(column.to_physical(), len(labels))
    occurs = np.flatnonzero(count_codes(codes, len(labels) + 1))
    # A null has no label: it has the code after the last, and is the last stratum.
    order = pl.Series([*labels, None], dtype=pl.String)[occurs].arg_sort(nulls_last=True).to_numpy()
    in_order = occurs[order]
    dtype = _dtype(in_order.size)
    if np.array_equal(in_order, np.arange(in_order.size)):
        return codes.astype(dtype, copy=False)
    table = np.zeros(len(labels) + 1, dtype=dtype)
    table[in_order] = np.arange(in_order.size)
    return np.asarray(table[codes])


def _filled(codes: pl.Series, null: int) -> NDArray[np.unsignedinteger]:
    return codes.cast(pl.UInt32).fill_null(null).to_numpy() if codes.null_count() else codes.to_numpy()


def _combine(
    left: NDArray[np.unsignedinteger], right: NDArray[np.unsignedinteger]
) -> NDArray[np.unsignedinteger]:
    """Number the pairs that occur, ordered by left, then right."""
    n_left, n_right = (int(codes.max(initial=0)) + 1 for codes in (left, right))
    pairs = left.astype(np.uint64) * np.uint64(n_right) + right
    if n_left * n_right > max(left.size, _TABLE):
        occurring, codes = np.unique(pairs, return_inverse=True)
        return codes.astype(_dtype(occurring.size))
    occurs = np.bincount(pairs.view(np.int64), minlength=n_left * n_right) > 0
    numbered = np.cumsum(occurs) - 1
    return numbered.astype(_dtype(int(occurs.sum())))[pairs]


def _dtype(n: int) -> type[np.unsignedinteger]:
    return next(t for t in (np.uint8, np.uint16, np.uint32) if n <= np.iinfo(t).max)


BY = Parameter(
    name="by",
    default=("cell_type",),
    parse=parse_columns,
    metavar="COLUMN[,COLUMN...]",
    help="Obs columns to group cells by; several make combinations.",
    names_columns=True,
)
