"""The nearest of some cells to others in an embedding, exactly, at any number of cells.

A k-d tree over chunks of the cells: a chunk is read, put into a tree, searched and dropped, so that memory
does not grow with the cells. The spaces at hand have tens of dimensions, of which few carry most of the
variance: a search looks at a few per cent of the points, where products of matrices look at all of them.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.build.diversity import neighbours_kernels as kernels
from curate.errors import EmbeddingError
from curate.threads import mapped

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

CHUNK_CELLS = 2**20
LEAF_CELLS = 48
#: Probes that a thread takes at a time.
PROBES_AT_ONCE = 256
NONE = -1


def nearest_cells(
    values: NDArray[np.float32],
    rows: NDArray[np.int64],
    probes: NDArray[np.int64],
    *,
    other_than_self: bool = False,
    n_threads: int | None = None,
    advance: Callable[[int], None] = lambda n: None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find for each probe the nearest of some cells (Euclidean).

    Parameters
    ----------
    values
        float32 [n_cells, d], memory-mapped or not.
    rows
        int64 [n], the cells among which to look, ascending.
    probes
        int64 [n_probes], the cells from which to look.
    other_than_self
        Do not let a probe find itself.
    n_threads
        By default the processors that there are. It changes nothing, nor does the size of a chunk, but for
        which of several cells at the same distance is found.
    advance
        Called with the number of cells looked among so far.

    Returns
    -------
    nearest, distance
        int64 and float64 [n_probes]; -1 and inf where there is none.

    Raises
    ------
    EmbeddingError
        When a vector is not finite.

    Notes
    -----
    Memory: three copies of 1,048,576 vectors (0.6 GB at 50 dimensions), and the probes. Candidates are
    compared in 32 bits: another cell may be nearer by 1e-6 of the distance. The distance itself is in 64.
    """
    if n_threads is None:
        n_threads = os.cpu_count() or 1
    looking = _finite(values[probes], "cells to look from")
    own = probes if other_than_self else np.full(probes.size, NONE, dtype=np.int64)
    nearest = np.full(probes.size, NONE, dtype=np.int64)
    squared = np.full(probes.size, np.inf, dtype=np.float32)
    parts = [slice(start, start + PROBES_AT_ONCE) for start in range(0, probes.size, PROBES_AT_ONCE)]
    chunks = [rows[start : start + CHUNK_CELLS] for start in range(0, rows.size, CHUNK_CELLS)]

    with ThreadPoolExecutor(n_threads) as pool:
        for tree in mapped(lambda chunk: _tree(values, chunk), chunks, n_threads=1):

            def search(part: slice, tree: _Tree = tree) -> None:
                tree.search(looking[part], own[part], nearest[part], squared[part])

            list(pool.map(search, parts))
            advance(tree.rows.size)
    distance = np.full(probes.size, np.inf)
    found = nearest != NONE
    difference = looking[found].astype(np.float64) - values[nearest[found]]
    distance[found] = np.sqrt((difference**2).sum(axis=1))
    return nearest, distance


@dataclass(frozen=True)
class _Tree:
    points: NDArray[np.float32]
    rows: NDArray[np.int64]
    depth: int
    lower: NDArray[np.float32]
    upper: NDArray[np.float32]

    def search(
        self,
        probes: NDArray[np.float32],
        own: NDArray[np.int64],
        nearest: NDArray[np.int64],
        squared: NDArray[np.float32],
    ) -> None:
        kernels.search(
            self.points, self.rows, self.depth, self.lower, self.upper, probes, own, nearest, squared
        )


def _tree(values: NDArray[np.float32], rows: NDArray[np.int64]) -> _Tree:
    points = _finite(values[rows], "cells")
    depth = max(0, (points.shape[0] // LEAF_CELLS).bit_length())
    order = np.arange(points.shape[0], dtype=np.int32)
    kernels.order_points(points, depth, order)
    points = points[order]
    lower = np.empty((2 << depth, points.shape[1]), dtype=np.float32)
    upper = np.empty_like(lower)
    kernels.bound_nodes(points, depth, lower, upper)
    return _Tree(points, rows[order], depth, lower, upper)


def _finite(points: NDArray[np.float32], what: str) -> NDArray[np.float32]:
    held = np.ascontiguousarray(points, dtype=np.float32)
    strange = ~np.isfinite(held).all(axis=1)
    if strange.any():
        raise EmbeddingError(
            f"{int(strange.sum()):,} of {len(held):,} {what} have a value that is not finite; "
            "check the embedding (`curate embed` writes finite ones)"
        )
    return held
