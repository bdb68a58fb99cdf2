"""Where cells lie on disk, and the plan of a two-stage sample that reads few tiles.

1. pieces: the cells of one dataset in one tile;
2. strata: the datasets, each with a quota of cells and of draws;
3. blocks: the pieces of a dataset in joinid order, small ones joined until they hold what draws ask of them;
4. the most tiles that any draw of these blocks can read; above the budget, fewer draws.

Nothing here is random: `curate.build.strategies.blocks` draws from the plan, and what a draw can read at most
is known before one is made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from curate.build.strategies.stratified import largest_remainder
from curate.build.strategies.tiles import Pieces

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROUNDS = 40
CIRCLE = 2**62
"""Starts there are: enough that a stratum's own start is uniform to one part in 10**10."""
_GOLDEN = round(CIRCLE * 0.6180339887498949)


@dataclass(frozen=True)
class BlockPlan:
    """What is drawn from: blocks of cells within strata, and how much of each stratum.

    Attributes
    ----------
    quotas, n_draws, stratum_cells
        int64 [n_strata]: cells to choose, blocks to draw, cells there are.
    stratum, n_cells
        int64 [n_blocks], of each block; blocks of a stratum stand together.
    of_piece
        int64 [n_pieces], the block of each piece.
    tiles_at_most
        No draw reads more tiles.
    """

    quotas: NDArray[np.int64]
    n_draws: NDArray[np.int64]
    stratum_cells: NDArray[np.int64]
    stratum: NDArray[np.int64]
    n_cells: NDArray[np.int64]
    of_piece: NDArray[np.int64]
    tiles_at_most: int

    @property
    def n_strata(self) -> int:
        """The number of strata."""
        return self.quotas.size

    def strata(self) -> list[slice]:
        """Return where the blocks of each stratum stand."""
        ends = np.searchsorted(self.stratum, np.arange(self.n_strata + 1))
        return [slice(start, end) for start, end in pairwise(ends.tolist())]

    def starts(self, u: int) -> NDArray[np.int64]:
        """Return the first draw of each stratum, in points, for a common start `u` below CIRCLE.

        Strata are turned against each other by the golden ratio: each start is uniform when `u` is, and
        together they spread, so that draws that read much in one stratum read little in another.
        """
        turned = [(u + number * _GOLDEN) % CIRCLE for number in range(self.n_strata)]
        return np.array([at * n // CIRCLE for at, n in zip(turned, self.stratum_cells.tolist(), strict=True)])

    def weights(self) -> NDArray[np.float64]:
        """Return the inverse inclusion probability of a cell of each stratum: cells over quota."""
        return self.stratum_cells / self.quotas


def make_plan(pieces: Pieces, n: int, *, budget: int) -> BlockPlan:
    """Plan to choose `n` cells from at most `budget` tiles, every dataset contributing.

    Where `n` is less than the datasets, they make one stratum and some get no cell. Where every dataset needs
    more tiles than the budget, the plan has as few as it finds; `tiles_at_most` tells.
    """
    if n < pieces.n_datasets:
        return _plan_without_strata(pieces, n, budget=budget)
    stratum_cells = np.bincount(pieces.dataset, weights=pieces.n_cells).astype(np.int64)
    quotas = at_least_one(stratum_cells, n)
    if budget >= pieces.n_tiles:
        # Every tile may be read: nothing is gained from blocks, and each dataset is a block of its own.
        n_strata = quotas.size
        return BlockPlan(
            quotas=quotas,
            n_draws=np.ones(n_strata, dtype=np.int64),
            stratum_cells=stratum_cells,
            stratum=np.arange(n_strata),
            n_cells=stratum_cells,
            of_piece=pieces.dataset,
            tiles_at_most=pieces.n_tiles,
        )
    found: list[BlockPlan] = []
    n_draws = min(budget, n)
    while len(found) < _ROUNDS:
        n_draws = max(n_draws, quotas.size)
        draws = np.minimum(at_least_one(stratum_cells, n_draws), quotas)
        found.append(_plan(pieces, stratum_cells, quotas, draws))
        most = found[-1].tiles_at_most
        if most <= budget or n_draws == quotas.size:
            break
        n_draws = min(n_draws - 1, n_draws * budget // most)
    return min(found, key=lambda plan: (max(plan.tiles_at_most, budget), -plan.n_draws.sum()))


def _plan_without_strata(pieces: Pieces, n: int, *, budget: int) -> BlockPlan:
    """Plan as if all cells were of one dataset, in the order of tiles."""
    order = np.lexsort((pieces.dataset, pieces.tile))
    as_one = Pieces(np.zeros_like(order), pieces.tile[order], pieces.n_cells[order], pieces.of_cell[:0])
    plan = make_plan(as_one, n, budget=budget)
    of_piece = np.empty_like(order)
    of_piece[order] = plan.of_piece
    return replace(plan, of_piece=of_piece)


def at_least_one(counts: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Share `n` among groups in proportion to `counts`, at least one each, none above its count.

    Groups whose share is below one get one; the others share the rest by largest remainders, ties by order.
    `n` is at least the number of groups and at most the sum of `counts`.
    """
    order = np.random.default_rng(0)  # equal remainders: any order will do, as long as it is always the same
    quotas = np.zeros_like(counts)
    is_open = np.ones(counts.size, dtype=np.bool_)
    while True:
        rest = n - int(quotas[~is_open].sum())
        below = is_open & (counts * rest < int(counts[is_open].sum()))
        if not below.any():
            break
        quotas[below], is_open[below] = 1, False
    quotas[is_open] = largest_remainder(counts[is_open], rest, rng=order)
    return quotas


def _plan(
    pieces: Pieces, stratum_cells: NDArray[np.int64], quotas: NDArray[np.int64], n_draws: NDArray[np.int64]
) -> BlockPlan:
    bounds = np.searchsorted(pieces.dataset, np.arange(quotas.size + 1))
    is_first = np.empty(pieces.dataset.size, dtype=np.bool_)
    certain, intervals = [], []
    for number, (start, end) in enumerate(pairwise(bounds.tolist())):
        own = slice(start, end)
        is_first[own] = _join(pieces.n_cells[own], int(quotas[number]), int(n_draws[number]))
        begin_block = np.flatnonzero(is_first[own])
        sizes = np.add.reduceat(pieces.n_cells[own], begin_block)
        n_tiles = np.diff(np.append(begin_block, end - start))
        is_certain = sizes * int(n_draws[number]) >= int(stratum_cells[number])
        certain.append(pieces.tile[own][np.repeat(is_certain, n_tiles)])
        intervals.append(_reading_starts(number, sizes, n_tiles, is_certain, int(n_draws[number])))
    n_certain = np.unique(np.concatenate(certain)).size
    n_others = _most_overlapping(*(np.concatenate(each) for each in zip(*intervals, strict=True)))
    block = np.cumsum(is_first) - 1
    return BlockPlan(
        quotas=quotas,
        n_draws=n_draws,
        stratum_cells=stratum_cells,
        stratum=pieces.dataset[is_first],
        n_cells=np.bincount(block, weights=pieces.n_cells).astype(np.int64),
        of_piece=block,
        tiles_at_most=min(n_certain + n_others, pieces.n_tiles),
    )


def most_taken(n_cells: int, total: int, quota: int, n_draws: int) -> int:
    """Return the most cells that the draws landing in a block of `n_cells` of `total` cells ask of it.

    Draws are total / n_draws cells apart; each asks for quota / n_draws, rounded down or up.
    """
    landing = -(-n_cells * n_draws // total)
    each, rest = divmod(quota, n_draws)
    return landing * each + min(landing, rest)


def _join(n_cells: NDArray[np.int64], quota: int, n_draws: int) -> NDArray[np.bool_]:
    """Return which pieces of a stratum begin a block; every block holds what may be asked of it."""
    total = int(n_cells.sum())
    is_first = np.zeros(n_cells.size, dtype=np.bool_)
    is_first[0] = True
    held, starts = 0, []
    for position, size in enumerate(n_cells.tolist()):
        if held == 0:
            starts.append(position)
        held += size
        if most_taken(held, total, quota, n_draws) <= held:
            held = 0
    # What is left at the end joins the blocks before it. The whole stratum always holds its quota.
    ends = np.cumsum(n_cells)
    while len(starts) > 1:
        last = total - int(ends[starts[-1] - 1])
        if most_taken(last, total, quota, n_draws) <= last:
            break
        starts.pop()
    is_first[starts] = True
    return is_first


def _reading_starts(
    number: int,
    sizes: NDArray[np.int64],
    n_tiles: NDArray[np.int64],
    is_certain: NDArray[np.bool_],
    n_draws: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return for which common starts each block of a stratum is drawn, as [begin, end) on CIRCLE.

    With draws `total` apart on a line of `total` x `n_draws` points, a block is drawn when the stratum's
    start falls into an interval of the points before `total`, which may wrap. Those always drawn are left
    out.
    """
    total = int(sizes.sum())
    ends = np.cumsum(sizes) * n_draws
    points = [(ends - sizes * n_draws)[~is_certain] % total, ends[~is_certain] % total]
    turn = number * _GOLDEN % CIRCLE
    begin, end = (
        # The smallest u whose start is at the point or after it; in Python's integers, of any size.
        np.array([(-(-point * CIRCLE // total) - turn) % CIRCLE for point in each.tolist()], dtype=np.int64)
        for each in points
    )
    return begin, end, n_tiles[~is_certain]


def _most_overlapping(begin: NDArray[np.int64], end: NDArray[np.int64], amount: NDArray[np.int64]) -> int:
    """Return the largest sum of amounts over any point of a circle, each on a half-open arc of it."""
    if begin.size == 0:
        return 0
    wraps = (end < begin) & (end > 0)
    at = np.concatenate([begin, end[end > 0]])
    change = np.concatenate([amount, -amount[end > 0]])
    # At one point, ends come before beginnings.
    order = np.lexsort((change, at))
    n_wrapped = int(amount[wraps].sum())
    return max(n_wrapped, n_wrapped + int(np.cumsum(change[order]).max()))
