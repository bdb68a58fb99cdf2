"""Where a curve saturates: the study's point, and one that the runs can stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from scipy.stats import t as student_t

from curate.errors import SaturationError
from curate.wording import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.evaluate.saturation.curve import Curve

Verdict = Literal["saturated", "rising", "undecided"]
SHARE_OF_BEST: Final = 0.95
N_BOOTSTRAP: Final = 2000


def study_point(curve: Curve, *, share: float = SHARE_OF_BEST) -> float:
    """Return the smallest size at which any run exceeds a share of the best run's score, in cells.

    The definition of DenAdel et al., Nature Methods 2026, doi 10.1038/s41592-026-03120-y. One lucky seed
    decides it, and where scores may be negative or start high it means little; see `plateau`.
    """
    bar = share * curve.scores.max()
    best = np.nanmax(curve.table, axis=0)
    return float(curve.steps[np.argmax(best > bar)] if (best > bar).any() else curve.steps[-1])


@dataclass(frozen=True)
class Plateau:
    """Whether and where the mean score stops rising by more than a tolerance.

    Attributes
    ----------
    verdict
        "saturated": from `n_cells` on, no larger size was better by more than the tolerance, at the level;
        "rising": the largest size is better by more than the tolerance than the one before it;
        "undecided": the runs can tell neither.
    n_cells
        Where it saturates; None unless saturated.
    low, high
        Interval of the size from which on no larger one has a mean better by more than the tolerance, by a
        parametric bootstrap.
    tolerance
        In units of the score.
    largest_gain
        Upper bound of what a larger size brings over `n_cells` (over the last but one size, where there is
        no plateau).
    """

    verdict: Verdict
    n_cells: float | None
    low: float
    high: float
    tolerance: float
    largest_gain: float


def plateau(
    curve: Curve,
    *,
    tolerance: float | None = None,
    level: float = 0.95,
    rng: np.random.Generator,
) -> Plateau:
    """Find the plateau of a curve, without a fitted shape.

    Runs of a seed are pairs; the noise is the scatter that seeds and sizes together leave. At each size, the
    gains of all larger sizes over it are bounded from above at once (Bonferroni); it lies on the plateau
    when no bound exceeds the tolerance, and neither does one at any size after it.

    Parameters
    ----------
    tolerance
        In units of the score; 5 % of the best mean when None, as in the study.

    Raises
    ------
    SaturationError
        When there are fewer than two sizes or two seeds, or a seed lacks a size.
    """
    n_seeds, n_steps = curve.table.shape
    if n_steps < 2 or n_seeds < 2:
        raise SaturationError(
            f"{counted(n_steps, 'size')} and {counted(n_seeds, 'seed')} show no plateau; "
            "run 2 or more of each"
        )
    if np.isnan(curve.table).any():
        raise SaturationError(
            f"{int(np.isnan(curve.table).sum())} of {n_seeds} seeds x {n_steps} sizes have no run; a plateau "
            "compares runs of the same seeds"
        )
    best = float(curve.means.max())
    slack = (1 - SHARE_OF_BEST) * abs(best) if tolerance is None else tolerance
    if slack <= 0:
        raise SaturationError(f"a tolerance of {slack:g}; give one above 0")
    residuals = curve.table - curve.table.mean(axis=1, keepdims=True) - curve.means + curve.table.mean()
    dof = (n_seeds - 1) * (n_steps - 1)
    error = float(np.sqrt((residuals**2).sum() / dof) * np.sqrt(2 / n_seeds))
    bounds = np.array(
        [
            (curve.means[k + 1 :] - curve.means[k]).max()
            + float(student_t.ppf(1 - (1 - level) / (n_steps - 1 - k), dof)) * error
            for k in range(n_steps - 1)
        ]
    )
    rising = curve.means[-1] - curve.means[-2] - float(student_t.ppf(level, dof)) * error > slack
    low, high = _bootstrap(curve, slack, error / np.sqrt(2), level=level, rng=rng)
    above = np.flatnonzero(bounds > slack)
    first = int(above[-1]) + 1 if above.size else 0
    if first < n_steps - 1:
        return Plateau("saturated", float(curve.steps[first]), low, high, slack, float(bounds[first]))
    verdict: Verdict = "rising" if rising else "undecided"
    return Plateau(verdict, None, low, high, slack, float(bounds[-1]))


def _bootstrap(
    curve: Curve, slack: float, error: float, *, level: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Bound the first size from which on no larger one has a mean better by more than `slack`."""
    means = curve.means + rng.standard_normal((N_BOOTSTRAP, curve.steps.size)) * error
    best_after = np.maximum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
    short: NDArray[np.bool_] = means[:, :-1] < best_after[:, 1:] - slack
    # A size that falls short is a dip in a plateau only if it is not the last to do so.
    last = curve.steps.size - 2 - np.argmax(short[:, ::-1], axis=1)
    first = np.where(short.any(axis=1), last + 1, 0)
    tails = (1 - level) / 2
    low, high = np.quantile(first, [tails, 1 - tails], method="inverted_cdf").astype(int)
    return float(curve.steps[low]), float(curve.steps[high])
