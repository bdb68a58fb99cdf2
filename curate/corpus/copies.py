"""Cells of equal content: which are copies of which, and which one stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_GENES = 25
"""Fewest genes with counts for a cell to be told from others by what it holds.

Five real data sets, thinned to 5 counts a cell, had no two equal cells of more than 5 genes (20,729 cells of
299 genes being the worst), and each gene more divided the chance of a pair by ten or more: 25 leaves a margin
for 100 million cells.
"""
BLOCK = 2**20
ABSENT = -1


@dataclass(frozen=True)
class Copies:
    """Cells that share their content with another, group by group.

    Attributes
    ----------
    rows
        int64 [m], rows of the cells. The first of a group is the one to keep: primary cells stand before
        others, then the smallest identity hash, so that the order of the cells does not matter.
    group
        int64 [m], 0, 1, …: cells of equal content have one number.
    """

    rows: NDArray[np.int64]
    group: NDArray[np.int64]

    @property
    def surplus(self) -> NDArray[np.int64]:
        """int64 [m - n_groups], rows of all but the first of each group."""
        rows: NDArray[np.int64] = self.rows[1:][self.group[1:] == self.group[:-1]]
        return rows

    @property
    def n_groups(self) -> int:
        """Number of distinct contents."""
        return int(self.group[-1]) + 1 if self.group.size else 0


def find_copies(
    hashes: NDArray[np.uint64], among: NDArray[np.bool_], *, is_primary: NDArray[np.bool_], identity: Any
) -> Copies:
    """Group the cells of equal content.

    Memory: 8 bytes a cell looked at, and some 50 a cell that has a copy.

    Parameters
    ----------
    hashes, identity
        uint64 [n_cells].
    among
        bool [n_cells], the cells to look at.
    is_primary
        bool [n_cells].
    """
    ordered = np.sort(hashes[among])
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    rows = np.flatnonzero(among)
    rows = rows[is_among(hashes, repeated, rows=rows)]
    order = np.lexsort((rows, np.asarray(identity[rows]), ~is_primary[rows], hashes[rows]))
    rows = rows[order]
    held = hashes[rows]
    group = np.zeros(rows.size, np.int64)
    np.cumsum(held[1:] != held[:-1], out=group[1:])
    return Copies(rows, group)


def is_among(
    values: NDArray[np.uint64], ordered: NDArray[np.uint64], *, rows: NDArray[np.int64] | None = None
) -> NDArray[np.bool_]:
    """Return which values, or which of those in some rows, occur in ascending ones, bool [n]."""
    n = values.size if rows is None else rows.size
    found = np.zeros(n, np.bool_)
    if not ordered.size:
        return found
    for start in range(0, n, BLOCK):
        wanted = values[start : start + BLOCK] if rows is None else values[rows[start : start + BLOCK]]
        # In order, neighbours are looked for near each other: several times as fast in a large array.
        order = np.argsort(wanted)
        sought = wanted[order]
        at = np.searchsorted(ordered, sought)
        at[at == ordered.size] = 0
        found[start + order] = ordered[at] == sought
    return found


def rows_of(values: NDArray[np.uint64], keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return where each value stands among distinct keys, int64 [n_values]; -1 where it does not.

    Memory: 16 bytes a key, 8 a value.
    """
    found = np.full(values.size, ABSENT, np.int64)
    if not keys.size:
        return found
    order = np.argsort(keys)
    ordered = keys[order]
    for start in range(0, values.size, BLOCK):
        wanted = values[start : start + BLOCK]
        own = np.argsort(wanted)
        sought = wanted[own]
        at = np.searchsorted(ordered, sought)
        at[at == ordered.size] = 0
        found[start + own] = np.where(ordered[at] == sought, order[at], ABSENT)
    return found
