"""Greedy facility location on a pool of cells: the first of all, then block by block, merged by gain."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from curate.build.diversity.neighbours_kernels import order_points
from curate.build.strategies.facility_kernels import rank_block
from curate.threads import mapped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.build.strategies.facility_space import Space

BLOCK_CELLS = 4096
N_OPENING = 512


@dataclass(frozen=True)
class Ranked:
    """Cells of one block in the order in which they are chosen: their places in the pool, what each gains."""

    order: NDArray[np.int64]
    gains: NDArray[np.float64]


def rank_pool(
    space: Space,
    n: int,
    *,
    block_cells: int = BLOCK_CELLS,
    n_opening: int = N_OPENING,
    n_threads: int | None = None,
) -> NDArray[np.int64]:
    """Return the places in the pool of the `n` cells chosen first, in order, int64 [n].

    Parameters
    ----------
    space
        The pool, in the order of the keys: of cells that gain the same the first is chosen.
    block_cells
        Largest number of cells whose similarities are all looked at.
    n_opening
        Cells that stand for those of every block.
    n_threads
        By default the processors that there are; it changes nothing.
    """
    n_pool = len(space.points)
    # Each product of matrices stays in one thread, and adds up in one order.
    with threadpool_limits(limits=1, user_api="blas"):
        is_whole = n_pool <= block_cells
        first = np.arange(min(n_pool, block_cells))
        unmet = np.zeros(first.size, dtype=np.float32)
        opening = _rank(space, first, unmet, first[:0], n if is_whole else min(n, n_opening)).order
        if opening.size == n:
            return opening
        blocks = _blocks(space.points, block_cells)
        left = n - opening.size
        begun = [min(block.size, 2 * left * block.size // n_pool + 8) for block in blocks]
        best = np.zeros(n_pool, dtype=np.float32)

        def begin(number: int) -> Ranked:
            block, met = blocks[number], np.zeros(blocks[number].size, dtype=np.float32)
            space.raise_to(met, space.points[block], space.points[opening])
            best[block] = met
            return _rank(space, block, met, opening, begun[number])

        workers = n_threads or os.cpu_count() or 1
        ranked = list(mapped(begin, range(len(blocks)), n_threads=workers))
        gains = np.concatenate([each.gains for each in ranked])
        least = np.partition(gains, gains.size - left)[gains.size - left] if gains.size > left else 0.0
        # Blocks that may hold more of the largest gains than they were asked for.
        open_ones = [
            number
            for number, each in enumerate(ranked)
            if each.order.size == begun[number] < blocks[number].size and each.gains[-1] >= least
        ]

        def finish(number: int) -> Ranked:
            block = blocks[number]
            return _rank(space, block, best[block], opening, block.size, least=least)

        for number, whole in zip(open_ones, mapped(finish, open_ones, n_threads=workers), strict=True):
            ranked[number] = whole
    order = np.concatenate([each.order for each in ranked])
    gains = np.concatenate([each.gains for each in ranked])
    return np.concatenate([opening, order[np.lexsort((order, -gains))][:left]])


def _rank(
    space: Space,
    block: NDArray[np.int64],
    best: NDArray[np.float32],
    taken: NDArray[np.int64],
    n: int,
    *,
    least: float = 0.0,
) -> Ranked:
    """Choose up to `n` cells of a block that are not taken, as long as they gain `least` or more."""
    points = space.points[block]
    order, gains = rank_block(
        space.similarities(points, points), best.copy(), np.isin(block, taken), n, least
    )
    return Ranked(block[order], gains)


def _blocks(points: NDArray[np.float32], block_cells: int) -> list[NDArray[np.int64]]:
    """Cut the pool into blocks of neighbours; the places in each ascend."""
    n = len(points)
    depth = max(0, (-(-n // block_cells) - 1).bit_length())
    order = np.arange(n, dtype=np.int32)
    order_points(points, depth, order)
    ends = [(n * leaf) >> depth for leaf in range((1 << depth) + 1)]
    return [np.sort(order[start:stop]).astype(np.int64) for start, stop in pairwise(ends)]
