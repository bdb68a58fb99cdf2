"""Farthest-first traversal of cells in memory, exact, without a look at most of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from curate.build.diversity.neighbours_kernels import order_points
from curate.build.strategies import coreset_kernels as kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAF_CELLS = 192


class FarthestFirst:
    """The distances of cells from the centres chosen so far, and the farthest cell.

    Each choice is that of a plain loop over all cells: distances are float32, squares added in the order of
    the dimensions, and of equally far cells the one of the smallest place is taken.

    Parameters
    ----------
    points
        float32 [n, d], finite, read-only.
    places
        int32 [n], the numbers 0 … n - 1: the place of each cell in the order of their keys.

    Notes
    -----
    Memory beyond `points`, which is not needed any more afterwards: as much again, up to a third more for
    leaves that are not full, and 12 bytes a cell. Work grows with N d for each centre at first and soon with
    a few hundred cells d.

    References
    ----------
    Gonzalez, Clustering to minimize the maximum intercluster distance, Theoretical Computer Science 1985, doi
    10.1016/0304-3975(85)90224-5.
    """

    def __init__(self, points: NDArray[np.float32], places: NDArray[np.int32]) -> None:
        n, d = points.shape
        depth = max(0, (n // LEAF_CELLS).bit_length())
        n_leaves = 1 << depth
        order = np.arange(n, dtype=np.int32)
        order_points(points, depth, order)
        width = 16 * math.ceil(n / n_leaves / 16)
        self.n = n
        self.leaves = np.zeros((n_leaves, d, width), dtype=np.float32)
        self.places = np.empty((n_leaves, width), dtype=np.int32)
        self.squared = np.empty((n_leaves, width), dtype=np.float32)
        kernels.fill_leaves(points, order, places, self.leaves, self.places, self.squared)
        self.boxes = np.empty((2 * n_leaves, 2, d), dtype=np.float32)
        kernels.bound_leaves(self.leaves, self.places, self.boxes)
        self.far = np.empty(2 * n_leaves, dtype=np.float32)
        self.best = np.empty(2 * n_leaves, dtype=np.int64)
        self._settle()

    def choose(self, n: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Choose up to `n` more cells; fewer where all others lie upon chosen ones.

        Returns
        -------
        places, radii
            int32 and float32: the cells in the order in which they were chosen, and how far each was from
            those before it.
        """
        chosen, radii = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.float32)
        n_chosen = kernels.traverse(
            self.leaves, self.boxes, self.places, self.squared, self.far, self.best, chosen, radii
        )
        return chosen[:n_chosen], np.sqrt(radii[:n_chosen])

    def distances(self) -> NDArray[np.float32]:
        """Return how far each cell is from the nearest centre, float32 [n] by place; chosen ones: 0."""
        distances = np.empty(self.n, dtype=np.float32)
        is_cell = self.places >= 0
        distances[self.places[is_cell]] = np.sqrt(np.maximum(self.squared[is_cell], 0))
        return distances

    def distances_to_others(
        self, centres: NDArray[np.float32], own_places: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return how far each cell is from the nearest of some vectors, its own left out, and forget them.

        Parameters
        ----------
        centres
            float32 [m, d].
        own_places
            int64 [m], the place of the cell that the vector is of; -1 for none of these.
        """
        slots = np.full(self.n, -1, dtype=np.int64)
        flat = self.places.ravel()
        slots[flat[flat >= 0]] = np.flatnonzero(flat >= 0)
        own = np.where(own_places >= 0, slots[own_places], -1)
        kernels.add_others(
            centres, own, self.leaves, self.boxes, self.places, self.squared, self.far, self.best
        )
        distances = self.distances()
        self.squared[self.places >= 0] = np.inf
        self._settle()
        return distances

    def leave_out(self, places: NDArray[np.int64]) -> None:
        """Neither choose these cells nor count how far they are."""
        is_out = np.zeros(self.n + 1, dtype=np.bool_)  # the last for slots without a cell
        is_out[places] = True
        self.squared[is_out[self.places]] = kernels.NONE
        self._settle()

    def _settle(self) -> None:
        kernels.settle(self.places, self.squared, self.far, self.best)
