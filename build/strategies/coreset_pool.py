"""The cells that a coreset is chosen from, and which of them are outliers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.build.covering.draw_kernels import take_smallest
from curate.build.strategies.keys import smallest_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.build.covering.covering import Covering
    from curate.build.strategies.coreset_tree import FarthestFirst


@dataclass(frozen=True)
class Pool:
    """Cells to choose from; each has a place, its number in the order of keys, equal ones by row.

    Attributes
    ----------
    points
        float32 [n_pool, d].
    rows
        int64 [n_pool], ascending: the row of each among all cells; None when these are all.
    at
        int64 [n_pool], the candidate at each place.
    boxes, candidate_of_box
        int32 [n_cells], the box of each cell, and int64 [n_boxes], the candidate that stands for each box;
        None when these are all.
    n_held
        int64 [n_pool], the cells that each stands for; None when these are all.
    """

    points: NDArray[np.float32]
    rows: NDArray[np.int64] | None
    at: NDArray[np.int64]
    boxes: NDArray[np.int32] | None = None
    candidate_of_box: NDArray[np.int64] | None = None
    n_held: NDArray[np.int64] | None = None

    @property
    def size(self) -> int:
        """The number of candidates."""
        return self.at.size

    @property
    def is_all(self) -> bool:
        """Whether every cell may be chosen."""
        return self.rows is None

    @property
    def places(self) -> NDArray[np.int32]:
        """int32 [n_pool]: the place of each candidate."""
        places = np.empty(self.size, dtype=np.int32)
        places[self.at] = np.arange(self.size, dtype=np.int32)
        return places

    def row_of(self, places: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the rows of the candidates at some places."""
        at: NDArray[np.int64] = self.at[places]
        return at if self.rows is None else self.rows[at]

    def n_cells_of(self, places: NDArray[np.integer]) -> int:
        """Return the number of cells that the candidates at some places stand for."""
        return places.size if self.n_held is None else int(self.n_held[self.at[places]].sum())

    def outliers(
        self,
        tree: FarthestFirst,
        points: NDArray[np.float32],
        keys: NDArray[np.uint64],
        share: float,
        *,
        n_sampled: int,
    ) -> NDArray[np.int64]:
        """Return the places of the candidates farthest from a random sample of all cells, ascending.

        As many as stand for at most the `share` of all cells; of equally far ones the last places go first.
        """
        sample = smallest_keys(keys, np.array([n_sampled]))
        places = self.places
        if self.rows is None:
            own = places[sample].astype(np.int64)
        else:
            found = np.minimum(np.searchsorted(self.rows, sample), self.size - 1)
            own = np.where(self.rows[found] == sample, places[found], -1).astype(np.int64)
        far = tree.distances_to_others(np.ascontiguousarray(points[sample]), own)
        first = np.argsort(far, kind="stable")[::-1]
        if self.n_held is None:
            n_out = int(share * keys.size)
        else:
            held = np.cumsum(self.n_held[self.at[first]])
            n_out = int(np.searchsorted(held, share * keys.size, side="right"))
        return np.sort(first[:n_out])


def all_cells(points: NDArray[np.float32], keys: NDArray[np.uint64]) -> Pool:
    """Return all cells as candidates."""
    return Pool(points, rows=None, at=np.argsort(keys, kind="stable"))


def pool_of(points: NDArray[np.float32], keys: NDArray[np.uint64], covering: Covering) -> Pool:
    """Return the cell of the smallest key of each box as candidates."""
    first = np.full(covering.n_boxes, -1, dtype=np.int64)
    take_smallest(covering.boxes, keys, first)
    by_row = np.argsort(first)
    rows = first[by_row]
    candidate_of_box = np.empty_like(by_row)
    candidate_of_box[by_row] = np.arange(rows.size)
    held = np.ascontiguousarray(points[rows])
    held.flags.writeable = False
    return Pool(
        held,
        rows=rows,
        at=np.argsort(keys[rows], kind="stable"),
        boxes=covering.boxes,
        candidate_of_box=candidate_of_box,
        n_held=covering.counts[by_row],
    )
