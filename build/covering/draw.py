"""Cells drawn from the boxes of a covering, by geosketch's law.

Boxes are drawn uniformly, none again before all that still hold cells have been; from each, one cell
uniformly. That is: in round r every box gives the cell of rank r in a random order of its cells, and the last
round, which is not finished, is of a random part of the boxes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.build.covering.draw_kernels import take_many, take_smallest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.build.covering.covering import Covering


def draw(covering: Covering, n: int, *, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Draw `n` cells without replacement.

    The keys are all the randomness: they order the cells of a box, and, scrambled, the boxes of a round. So
    m < n cells drawn with the same keys are among the n.

    Parameters
    ----------
    n
        At most the number of cells.
    keys
        uint64 [n_cells], random.

    Returns
    -------
    int64 [n], ascending.
    """
    depth, n_taken = _full_rounds(covering.counts, n)
    taken = np.empty(n_taken, dtype=np.int64)
    if depth == 0:
        marginal = np.full(covering.n_boxes, -1, dtype=np.int64)
        take_smallest(covering.boxes, keys, marginal)
    else:
        marginal = np.empty(np.count_nonzero(covering.counts > depth), dtype=np.int64)
        take_many(covering.rows, covering.starts, keys, depth, taken, marginal)
    order = np.lexsort((marginal, _scrambled(keys[marginal])))
    chosen = np.zeros(keys.size, dtype=np.bool_)
    chosen[taken] = True
    chosen[marginal[order[: n - n_taken]]] = True
    return np.flatnonzero(chosen)


def draw_with_replacement(covering: Covering, n: int, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw `n` cells with replacement: a box gives any of its cells each time.

    m < n cells drawn with an `rng` in the same state are the first m.

    Returns
    -------
    int64 [n], in the order of the draws.
    """
    n_rounds = -(-n // covering.n_boxes)
    order, place = rng.spawn(2)
    boxes = np.concatenate([order.permutation(covering.n_boxes) for _ in range(n_rounds)])[:n]
    within = np.floor(place.random(n) * covering.counts[boxes]).astype(np.int64)
    drawn: NDArray[np.int64] = covering.rows[covering.starts[boxes] + within]
    return drawn


def _full_rounds(counts: NDArray[np.int64], n: int) -> tuple[int, int]:
    """Return how many rounds `n` draws finish, and how many cells these give."""
    low, high = 0, int(counts.max())
    while low < high:
        middle = (low + high + 1) // 2
        if int(np.minimum(counts, middle).sum()) <= n:
            low = middle
        else:
            high = middle - 1
    return low, int(np.minimum(counts, low).sum())


def _scrambled(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return numbers as random as the keys and independent of their order (the finaliser of splitmix64)."""
    mixed = keys + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    scrambled: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return scrambled
