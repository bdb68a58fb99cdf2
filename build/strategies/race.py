"""Weighted sampling without replacement: an exponential race between the cells.

Every cell gets a waiting time, exponential with its weight as the rate; the first n to arrive are chosen.
This is successive sampling, the Gumbel top-k trick on log weights: the choice of m cells lies inside that of
n > m.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.build.selection import check_n
from curate.errors import SelectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Raced:
    """The winners of a race.

    Attributes
    ----------
    rows
        int64 [n], ascending.
    weights
        float32 [n], inverse inclusion probabilities 1 / (1 - exp(-w t)), t the time of the first cell that
        was not chosen; given t cells are in or out independently, so that weighted sums are unbiased.
    """

    rows: NDArray[np.int64]
    weights: NDArray[np.float32]

    @property
    def effective_size(self) -> float:
        """Kish's effective sample size of the weights, (Σ w)² / Σ w²."""
        return effective_size(self.weights)


def race(keys: NDArray[np.uint64], rates: NDArray[np.floating], n: int) -> Raced:
    """Choose `n` cells, one after the other with chances in proportion to `rates` among those that are left.

    Parameters
    ----------
    keys
        uint64 [n_cells], uniform.
    rates
        [n_cells], finite and not negative; a cell of rate 0 is never chosen.

    Raises
    ------
    SelectionError
        When `n` is 0 or more than there are cells, a rate is negative or not finite, or fewer than `n` rates
        are above 0.

    Notes
    -----
    Memory: 8 bytes a cell for the times, and as much again while the n-th is found.

    References
    ----------
    Efraimidis and Spirakis, Weighted random sampling with a reservoir, Information Processing Letters 2006,
    doi 10.1016/j.ipl.2005.11.003. Cohen and Kaplan, Summarizing data using bottom-k sketches, PODC 2007, doi
    10.1145/1281100.1281133 (the inclusion probabilities).
    """
    check_n(n, keys.size)
    times = np.empty(keys.size)
    n_able = 0
    for start in range(0, keys.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        own = np.asarray(rates[block], dtype=np.float64)
        if not (np.isfinite(own).all() and (own >= 0).all()):
            raise SelectionError("a weight is negative or not finite; weights are to be 0 or more")
        n_able += int((own > 0).sum())
        with np.errstate(divide="ignore"):
            times[block] = _exponential(keys[block]) / own
    if n_able < n:
        raise SelectionError(
            f"{n:,} cells asked for, but only {n_able:,} of {keys.size:,} have a weight above 0; ask for "
            "fewer"
        )
    if n == keys.size:
        return Raced(np.arange(n), np.ones(n, dtype=np.float32))
    last, first_out = np.partition(times, [n - 1, n])[[n - 1, n]]
    rows = np.flatnonzero(times < last)
    tied = np.flatnonzero(times == last)
    tied = tied[np.lexsort((tied, keys[tied]))][: n - rows.size]
    rows = np.sort(np.concatenate([rows, tied]))
    # Where none but the chosen has a weight, all were certain.
    certain = np.isinf(first_out)
    chances = np.ones(n) if certain else -np.expm1(-np.asarray(rates, dtype=np.float64)[rows] * first_out)
    return Raced(rows, (1 / chances).astype(np.float32))


def log_times(keys: NDArray[np.uint64], log_rates: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the logarithm of every cell's waiting time in `race`: rates may span any number of orders.

    That is a Gumbel variable less the log rate; the smallest times are the Gumbel top-k.

    Parameters
    ----------
    keys
        uint64 [n_cells], uniform.
    log_rates
        [n_cells], up to a constant; -inf for a cell that never arrives.

    Returns
    -------
    float64 [n_cells], inf for a cell that never arrives.

    Raises
    ------
    SelectionError
        When a log rate is NaN or inf.
    """
    times = np.empty(keys.size)
    for start in range(0, keys.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        own = np.asarray(log_rates[block], dtype=np.float64)
        if np.isnan(own).any() or np.isposinf(own).any():
            raise SelectionError("a log weight is NaN or inf; log weights are to be finite, or -inf for 0")
        with np.errstate(divide="ignore"):
            times[block] = np.log(_exponential(keys[block])) - own
    return times


def _exponential(keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return an exponential variable of each key."""
    # Uniform on (0, 1), from 52 bits, so that half a step below 1 is a number still. The smallest keys come
    # first, as in `random`: what one seed chooses by rates then overlaps what it chooses at random.
    uniform = ((keys >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return -np.log1p(-uniform)


def effective_size(weights: NDArray[np.floating]) -> float:
    """Return Kish's effective sample size, (Σ w)² / Σ w²."""
    wide = np.asarray(weights, dtype=np.float64)
    return float(wide.sum() ** 2 / (wide**2).sum())
