"""Distances from every cell to its k-th nearest reference cell, in one pass over an embedding.

1. the references are put into the leaves of a k-d tree;
2. every cell finds its home, the leaf whose centre is nearest;
3. it looks into the leaves near its home, those whose boxes are nearest to it first, until no box that is
   left can hold a nearer reference, or it has looked into so many.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from curate.build.diversity.neighbours_kernels import bound_nodes, order_points
from curate.build.strategies import density_kernels as kernels
from curate.threads import mapped

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAF_CELLS = 64
#: Leaves near a leaf, in which its cells may look.
N_NEAR = 64
#: Of those, how many a cell looks into at most: measured, the k-th distance is then 0.1 % too long.
N_SEARCHED = 16
BLOCK_CELLS = 1 << 15


@dataclass(frozen=True)
class References:
    """Reference cells, ready to be searched.

    Attributes
    ----------
    leaves, rows
        float32 [n_leaves, d, size], infinite where a leaf has fewer; int64 [n_leaves, size], the row of each
        in the embedding, or -1.
    centers
        float32 [d, n_leaves], the means of the leaves.
    near
        int32 [n_leaves, n_near], the leaves whose boxes are nearest to the centre of each.
    lower, upper
        float32 [n_leaves, d, n_near], the boxes of these.
    """

    leaves: NDArray[np.float32]
    rows: NDArray[np.int64]
    centers: NDArray[np.float32]
    near: NDArray[np.int32]
    lower: NDArray[np.float32]
    upper: NDArray[np.float32]

    @classmethod
    def of(cls, points: NDArray[np.float32], rows: NDArray[np.int64]) -> References:
        """Put references into leaves.

        Parameters
        ----------
        points, rows
            float32 [n, d], finite; int64 [n], the row of each in the embedding. Their order decides between
            equal values.
        """
        n = points.shape[0]
        depth = max(0, -(-n // LEAF_CELLS) - 1).bit_length()
        order = np.arange(n, dtype=np.int32)
        order_points(points, depth, order)
        points, rows = points[order], rows[order]
        n_leaves = 1 << depth
        edges = (n * np.arange(n_leaves + 1)) >> depth
        lower = np.empty((2 * n_leaves, points.shape[1]), dtype=np.float32)
        upper = np.empty_like(lower)
        bound_nodes(points, depth, lower, upper)
        leaves = np.full((n_leaves, points.shape[1], np.diff(edges).max()), np.inf, dtype=np.float32)
        held = np.full((n_leaves, leaves.shape[2]), -1)
        centers = np.empty((points.shape[1], n_leaves), dtype=np.float32)
        for leaf, (start, stop) in enumerate(pairwise(edges)):
            leaves[leaf, :, : stop - start] = points[start:stop].T
            held[leaf, : stop - start] = rows[start:stop]
            centers[:, leaf] = points[start:stop].mean(axis=0, dtype=np.float64)
        near = _near(centers, lower[n_leaves:], upper[n_leaves:])
        return cls(
            leaves=leaves,
            rows=held,
            centers=centers,
            near=near,
            lower=np.ascontiguousarray(lower[n_leaves:][near].swapaxes(1, 2)),
            upper=np.ascontiguousarray(upper[n_leaves:][near].swapaxes(1, 2)),
        )

    def squared_distances(
        self,
        points: NDArray[np.float32],
        rows: NDArray[np.int64],
        k: int,
        *,
        n_kept: int = 1,
        n_searched: int = N_SEARCHED,
    ) -> NDArray[np.float32]:
        """Return the `n_kept` largest of the squared distances to the k nearest references, ascending.

        Parameters
        ----------
        points, rows
            float32 [n, d]; int64 [n], the row of each in the embedding: none finds itself.
        n_searched
            Leaves to look into at most. What a cell finds depends on the references alone.

        Returns
        -------
        float32 [n, n_kept]
            Infinite where there are fewer than k, or a value is not finite.
        """
        homes = np.empty(rows.size, dtype=np.int32)
        kernels.nearest_centers(points, self.centers, homes)
        # Cells of one home after the other, so that what they look at stays in the cache.
        order = np.argsort(homes, kind="stable")
        squared = np.empty((rows.size, n_kept), dtype=np.float32)
        kernels.nearest_references(
            points, rows, order, homes, self.leaves, self.rows, self.near, self.lower, self.upper,
            n_searched, k, squared,
        )  # fmt: skip
        return squared


def kth_distances(
    embedding: NDArray[np.float32],
    references: References,
    k: int,
    *,
    n_searched: int = N_SEARCHED,
    block_cells: int = BLOCK_CELLS,
    n_threads: int | None = None,
) -> NDArray[np.float32]:
    """Return the distance from every cell to its k-th nearest reference.

    Parameters
    ----------
    embedding
        float32 [n_cells, d], memory-mapped or not.
    block_cells, n_threads
        Of the work; by default the processors that there are. They change nothing.

    Returns
    -------
    float32 [n_cells]
        Infinite where it is beyond float32, or a value is not finite.

    Notes
    -----
    Memory: 4 bytes a cell, and for each thread a block of cells.
    """
    n_cells = embedding.shape[0]
    distances = np.empty(n_cells, dtype=np.float32)

    def find(start: int) -> None:
        rows = np.arange(start, min(start + block_cells, n_cells))
        points = np.ascontiguousarray(embedding[start : start + block_cells], dtype=np.float32)
        found = references.squared_distances(points, rows, k, n_searched=n_searched)
        distances[start : start + block_cells] = np.sqrt(found[:, 0])

    starts = range(0, n_cells, block_cells)
    for _ in mapped(find, starts, n_threads=n_threads or os.cpu_count() or 1):
        pass
    return distances


def _near(
    centers: NDArray[np.float32], lower: NDArray[np.float32], upper: NDArray[np.float32]
) -> NDArray[np.int32]:
    n_leaves = lower.shape[0]
    near = np.empty((n_leaves, min(N_NEAR, n_leaves)), dtype=np.int32)
    for leaf in range(n_leaves):
        center = centers[:, leaf].astype(np.float64)
        outside = np.maximum(np.maximum(lower - center, center - upper), 0)
        near[leaf] = np.argsort((outside**2).sum(axis=1), kind="stable")[: near.shape[1]]
    return near
