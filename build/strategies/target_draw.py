"""Draw a share of cells at random, and race the others; with the chances of both."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from curate.build.strategies.keys import smallest_keys
from curate.build.strategies.race import log_times
from curate.errors import SelectionError
from curate.identity import cell_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Drawn:
    """Cells of a mixed draw.

    Attributes
    ----------
    rows
        int64 [n], ascending.
    weights
        float32 [n], inverse inclusion probabilities: sums over the cells, weighted, are in the mean those
        over all cells that can be drawn.
    n_background
        How many were drawn at random among all.
    """

    rows: NDArray[np.int64]
    weights: NDArray[np.float32]
    n_background: int


def background_of(n: int, mix: float) -> int:
    """Return how many of `n` cells are background: the share `mix`, halves rounded up.

    When n grows by 1, so does this or what is left for the others, never both: choices nest.
    """
    return int(Fraction(mix) * n + Fraction(1, 2))


def draw_mixed(
    keys: NDArray[np.uint64], log_rates: NDArray[np.floating], n: int, *, mix: float = 0.0
) -> Drawn:
    """Choose a share of `n` cells at random among all, the others by a race among the cells that are left.

    The background is those with the smallest keys, mixed anew; the others are the first to arrive in a race
    of the `log_rates` (`curate.build.strategies.race`). A choice of fewer cells lies inside one of more.

    Parameters
    ----------
    keys
        uint64 [n_cells], uniform.
    log_rates
        [n_cells]; -inf for a cell that is background only.

    Raises
    ------
    SelectionError
        When fewer cells can race than are asked for.

    Notes
    -----
    With the fate of all others as it is, a cell is background when its mixed key is below some bound b, and,
    where it is not, arrives in time when its waiting time is below some t: it is in with the probability
    1 - (1 - b) exp(-rate t). Both bounds are what they would be without the cell, so that the inverse
    probabilities are unbiased (Cohen and Kaplan, PODC 2007, doi 10.1145/1281100.1281133).

    Memory: 24 bytes a cell.
    """
    if n == keys.size:
        return Drawn(np.arange(n), np.ones(n, dtype=np.float32), background_of(n, mix))
    n_background = background_of(n, mix)
    n_raced = n - n_background
    own, low, high, next_up = _background(keys, n_background)
    times = log_times(keys, log_rates)
    times[own] = np.inf
    n_able = int((times < np.inf).sum())
    if n_able < n_raced:
        among = f" among the {keys.size - n_background:,} that are not background" if n_background else ""
        raise SelectionError(
            f"{n_raced:,} cells asked for, but only {n_able:,} have a weight above 0{among}; ask for fewer, "
            "for a larger share of background (mix), or for the estimator classifier"
        )
    raced, last, first_out = _first(times, keys, n_raced)
    chances = np.concatenate(
        [
            _chance(log_rates[raced], low, first_out),
            # Were such a cell not background, the next one would be, and no longer in the race.
            _chance(log_rates[own], high, first_out if times[next_up] <= last else last),
        ]
    )
    rows = np.concatenate([raced, own])
    order = np.argsort(rows)
    return Drawn(rows[order], (1 / chances[order]).astype(np.float32), n_background)


def _background(keys: NDArray[np.uint64], n: int) -> tuple[NDArray[np.int64], float, float, int]:
    """Return the `n` cells with the smallest mixed keys; the largest of these, the next one, and its row."""
    mixed = cell_keys(keys, seed=0, purpose="background")
    rows = smallest_keys(mixed, np.array([n + 1]))
    order = np.lexsort((rows, mixed[rows]))
    next_up = int(rows[order[n]])
    own = rows[rows != next_up]
    return own, float(mixed[own].max(initial=0)) * 2.0**-64, float(mixed[next_up]) * 2.0**-64, next_up


def _first(
    times: NDArray[np.float64], keys: NDArray[np.uint64], n: int
) -> tuple[NDArray[np.int64], float, float]:
    """Return the rows of the `n` smallest times, the largest of these, and the smallest of the others."""
    if n == 0:
        return np.empty(0, dtype=np.int64), -np.inf, -np.inf
    last, first_out = np.partition(times, [n - 1, n])[[n - 1, n]]
    rows = np.flatnonzero(times < last)
    tied = np.flatnonzero(times == last)
    tied = tied[np.lexsort((tied, keys[tied]))][: n - rows.size]
    return np.concatenate([rows, tied]), float(last), float(first_out)


def _chance(log_rates: NDArray[np.floating], bound: float, log_time: float) -> NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore"):
        raced = -np.expm1(-np.exp(log_rates.astype(np.float64) + log_time))
    # -inf + inf: a cell that cannot race is not let in by a race without an end.
    raced = np.where(np.isneginf(log_rates), 0.0, raced)
    return np.asarray(bound + (1 - bound) * raced)
