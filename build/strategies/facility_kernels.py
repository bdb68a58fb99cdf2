"""Compiled loop of lazy greedy facility location."""

from __future__ import annotations

import numba
import numpy as np

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")

N_LANES = 16


@compiled
def _gain(similar, best, lanes):  # type: ignore[no-untyped-def]
    """Return Σ max(0, similar - best), added up in N_LANES sums."""
    lanes[:] = 0
    n = best.size
    n_even = n - n % N_LANES
    for i in range(0, n_even, N_LANES):
        for k in range(N_LANES):
            lanes[k] += max(similar[i + k] - best[i + k], np.float32(0))
    for k in range(n - n_even):
        lanes[k] += max(similar[n_even + k] - best[n_even + k], np.float32(0))
    total = 0.0
    for k in range(N_LANES):
        total += lanes[k]
    return total


@compiled
def rank_block(similar, best, taken, n, least):  # type: ignore[no-untyped-def]
    """Choose cells one by one, always the one that gains most, the first among equals.

    A gain only ever falls as cells are chosen, so that one computed earlier is a bound. Sums are exact.

    Parameters
    ----------
    similar
        float32 [m, m], symmetric, multiples of 2^-20.
    best
        float32 [m], the similarity of each cell to the most similar chosen so far; changed in place.
    taken
        bool [m], cells that cannot be chosen; changed in place.
    n
        Cells to choose at most.
    least
        Stop before a gain below this.

    Returns
    -------
    order, gains
        int64 and float64 [n_chosen].
    """
    m = best.size
    lanes = np.empty(N_LANES, np.float64)
    bounds = np.empty(m, np.float64)
    computed_at = np.zeros(m, np.int64)
    for j in range(m):
        bounds[j] = -1.0 if taken[j] else _gain(similar[j], best, lanes)
    order, gains = np.empty(m, np.int64), np.empty(m, np.float64)
    n_chosen = 0
    while n_chosen < n:
        j = int(np.argmax(bounds))
        if bounds[j] < least or bounds[j] < 0:
            break
        if computed_at[j] < n_chosen:
            bounds[j] = _gain(similar[j], best, lanes)
            computed_at[j] = n_chosen
            continue
        order[n_chosen], gains[n_chosen] = j, bounds[j]
        bounds[j], taken[j] = -1.0, True
        for i in range(m):
            best[i] = max(best[i], similar[j, i])
        n_chosen += 1
    return order[:n_chosen].copy(), gains[:n_chosen].copy()
