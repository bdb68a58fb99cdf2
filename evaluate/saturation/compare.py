"""One strategy against another: at the same sizes, seed by seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student_t

from curate.errors import SaturationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.evaluate.saturation.curve import Curve


@dataclass(frozen=True)
class Difference:
    """How much better one strategy is than another.

    Attributes
    ----------
    n_cells
        The size; None for the mean over all sizes that both have.
    difference, low, high
        Mean over seeds, and its interval (paired, Student's t).
    p
        Two-sided, of one comparison.
    p_adjusted
        By Holm, for all comparisons that were made together; see `adjusted`.
    n_seeds
        Pairs.
    """

    n_cells: float | None
    difference: float
    low: float
    high: float
    p: float
    p_adjusted: float
    n_seeds: int


def compare(curve: Curve, baseline: Curve, *, level: float = 0.95) -> tuple[Difference, ...]:
    """Compare a strategy with a baseline, first over all sizes together, then at each.

    Over all sizes a seed gives one number, the mean of its differences. Runs are to be of the same budget
    where the comparison is to be of equal compute.

    Raises
    ------
    SaturationError
        When no size has two seeds that both strategies ran.
    """
    sizes = np.intersect1d(curve.steps, baseline.steps)
    seeds = np.intersect1d(curve.seeds, baseline.seeds)
    differences = _table(curve, sizes, seeds) - _table(baseline, sizes, seeds)
    n_pairs = np.isfinite(differences).sum(axis=0)
    if not (n_pairs >= 2).any():
        raise SaturationError(
            f"{sizes.size} sizes and {seeds.size} seeds in common; a comparison needs 2 seeds at one size"
        )
    whole = differences[np.isfinite(differences).all(axis=1)]
    found = []
    if len(whole) >= 2 and sizes.size > 1:
        found.append(paired(None, whole.mean(axis=1), level=level))
    for size, column in zip(sizes.tolist(), differences.T, strict=True):
        held = column[np.isfinite(column)]
        if held.size >= 2:
            found.append(paired(size, held, level=level))
    return adjusted(found)


def adjusted(differences: Sequence[Difference]) -> tuple[Difference, ...]:
    """Return comparisons with p adjusted for all of them (Holm, Scandinavian Journal of Statistics 1979)."""
    order = np.argsort([each.p for each in differences], kind="stable")
    n = len(differences)
    stepped = np.maximum.accumulate([(n - k) * differences[i].p for k, i in enumerate(order)])
    p_adjusted = np.empty(n)
    p_adjusted[order] = np.minimum(stepped, 1)
    return tuple(replace(each, p_adjusted=float(p)) for each, p in zip(differences, p_adjusted, strict=True))


def paired(n_cells: float | None, values: NDArray[np.float64], *, level: float = 0.95) -> Difference:
    """Return the mean of differences, one a pair of runs, two pairs or more; p not adjusted yet.

    By Student's t; where all differences are equal, by their signs.
    """
    mean, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(values.size))
    dof = values.size - 1
    half = float(student_t.ppf((1 + level) / 2, dof)) * error
    # Differences that are all the same, as coarse scores have them, say no more than their signs.
    of_equal = 0.5**dof if mean else 1.0
    p = 2 * float(student_t.sf(abs(mean) / error, dof)) if error > 0 else of_equal
    return Difference(n_cells, mean, mean - half, mean + half, p, p, values.size)


def _table(curve: Curve, sizes: NDArray[np.float64], seeds: NDArray[np.int64]) -> NDArray[np.float64]:
    rows = np.isin(np.unique(curve.seeds), seeds)
    columns = np.isin(curve.steps, sizes)
    table: NDArray[np.float64] = curve.table[rows][:, columns]
    return table
