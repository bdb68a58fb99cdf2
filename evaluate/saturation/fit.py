"""Learning curves fitted: the score at any size, and what more cells would bring, with intervals.

Each seed s has its own level, all share a shape φ with one parameter θ at most::

    score(s, n) = a_s - b φ_θ(n) + noise,    φ_θ(n_min) = 1, φ_θ(n_max) = 0

so that b is what the score gains from the smallest to the largest size. Given θ this is a linear model: over
a grid of θ the likelihood, and with it the interval of anything linear in a and b, has a closed form. Levels
of their own make pairs of the runs of a seed, as a nested ladder needs.

1. the scores are centred within each seed;
2. for each θ of a grid, b and the residual sum of squares; the grid is made finer where θ is not excluded;
3. an interval of a quantity holds the values whose best fit is not much worse than the best of all; how much,
   is found by simulating from the best fit, since where a curve is flat θ means nothing and the textbook
   quantile is too small.

References
----------
Venzon and Moolgavkar, A method for computing profile-likelihood-based confidence intervals, Applied
Statistics 1988, doi 10.2307/2347496; Viering and Loog, The shape of learning curves: a review, IEEE TPAMI
2023, doi 10.1109/TPAMI.2022.3220744 (families).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.stats import f as f_distribution
from scipy.stats import t as student_t

from curate.errors import SaturationError
from curate.evaluate.saturation.aicc import aicc
from curate.evaluate.saturation.families import FAMILIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.evaluate.saturation.curve import Curve
    from curate.evaluate.saturation.families import Family

    Floats = NDArray[np.float64]
    Points = NDArray[np.bool_] | slice

_ALL: Final = slice(None)
N_SIMULATED: Final = 999
SURE: Final = 0.99
#: Points of the grid within the 95 % interval of θ, at least.
N_INSIDE: Final = 40
#: The points within the interval of this level hold the best fits of simulated curves.
NEAR: Final = 0.9999
#: Residuals below this share of the scatter are rounding.
_EXACT: Final = 1e-14


@dataclass(frozen=True)
class Interval:
    """An estimate and its interval.

    Attributes
    ----------
    estimate, low, high
        `low` or `high` is infinite where the runs do not bound it.
    """

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Fit:
    """A family fitted to a curve.

    Attributes
    ----------
    family
        One of FAMILIES, its grid finer where the runs do not exclude θ.
    """

    curve: Curve
    family: Family

    @property
    def dof(self) -> int:
        """Runs less parameters."""
        return self.curve.n_runs - self.curve.n_seeds - 1 - self.family.n_parameters

    @cached_property
    def theta(self) -> float | None:
        """The best parameter of the shape; None where it has none."""
        return float(self.family.thetas[self._best]) if self.family.n_parameters else None

    @cached_property
    def sd(self) -> float:
        """Standard deviation of a run about its curve."""
        return float(np.sqrt(self._rss[self._best] / self.dof))

    @cached_property
    def aicc(self) -> float:
        """Akaike's information criterion for small samples, of the likelihood of normal noise."""
        n_parameters = self.curve.n_seeds + 2 + self.family.n_parameters
        return aicc(float(self._rss[self._best]), self.curve.n_runs, n_parameters)

    def score(self, n_cells: float, *, level: float = 0.95, rng: np.random.Generator) -> Interval:
        """Return the score at a size, mean over all seeds that might be drawn, and its interval.

        Infinity asks for the limit. The level, from the scatter of the seeds (Student's t), and the way from
        the mean size to this one, from the fit, are independent; their intervals add as squares (Zou and
        Donner, Statistics in Medicine 2008, doi 10.1002/sim.3095).
        """
        way = self._interval(self._mean_shape - self._at(n_cells), level=level, rng=rng)
        means = np.array([self._means.mean(), *self._means])
        if self.curve.n_seeds > 1:
            error = means[1:].std(ddof=1) / np.sqrt(self.curve.n_seeds)
            dof = self.curve.n_seeds - 1
        else:
            error, dof = self.sd / np.sqrt(self.curve.n_runs), self.dof
        half = float(student_t.ppf((1 + level) / 2, dof)) * error
        return Interval(
            float(means[0]) + way.estimate,
            float(means[0]) + way.estimate - float(np.hypot(half, way.estimate - way.low)),
            float(means[0]) + way.estimate + float(np.hypot(half, way.high - way.estimate)),
        )

    def gain(self, low: float, high: float, *, level: float = 0.95, rng: np.random.Generator) -> Interval:
        """Return what the score gains from `low` to `high` cells, and its interval."""
        return self._interval(self._at(low) - self._at(high), level=level, rng=rng)

    def parameter(self, *, level: float = 0.95) -> Interval | None:
        """Return the exponent of a power law, or the scale in cells of other shapes, and its interval.

        Of the values whose fit is not much worse than the best (F of 1 and `dof` degrees of freedom): where
        the curve is flat they are all of the grid. None of a family without a parameter.
        """
        if not self.family.n_parameters:
            return None
        inside = self.family.values(self.family.thetas[self._within(level)], *self._range)
        best = self.family.values(self.family.thetas[[self._best]], *self._range)
        return Interval(float(best[0]), float(inside.min()), float(inside.max()))

    def predicted(self, n_cells: Floats) -> Floats:
        """Return the best curve, mean over seeds, float64 [k]."""
        shape = self.family.shape(n_cells, *self._range)[self._best]
        scores: Floats = self._means.mean() + self._beta[self._best] * (self._mean_shape[self._best] - shape)
        return scores

    @property
    def _range(self) -> tuple[float, float]:
        return float(self.curve.steps[0]), float(self.curve.steps[-1])

    def _at(self, n_cells: float) -> Floats:
        return self.family.shape(np.array([n_cells]), *self._range)[:, 0]

    @cached_property
    def _centred(self) -> Floats:
        """φ centred within seeds, float64 [g, n_runs]."""
        return self.curve.centred(self.family.shape(self.curve.n_cells, *self._range))

    @cached_property
    def _mean_shape(self) -> Floats:
        """Mean over seeds of the mean φ of a seed, float64 [g]."""
        shape = self.family.shape(self.curve.n_cells, *self._range)
        means: Floats = self.curve.seed_means(shape).mean(axis=1)
        return means

    @cached_property
    def _means(self) -> Floats:
        """Mean score of each seed, float64 [n_seeds]."""
        means: Floats = self.curve.seed_means(self.curve.scores[None])[0]
        return means

    @cached_property
    def _squares(self) -> Floats:
        squares: Floats = np.square(self._centred).sum(axis=1)
        return squares

    def _solve(self, scores: Floats, at: Points = _ALL) -> tuple[Floats, Floats]:
        """Return b and residual sums of squares, float64 [m, g] each, of centred scores [m, n_runs]."""
        products = -scores @ self._centred[at].T
        beta = products / self._squares[at]
        scatter = np.square(scores).sum(axis=1)[:, None]
        return beta, np.maximum(scatter - products * beta, _EXACT * scatter + np.finfo(float).tiny)

    @cached_property
    def _solved(self) -> tuple[Floats, Floats]:
        beta, rss = self._solve(self.curve.centred(self.curve.scores[None]))
        return beta[0], rss[0]

    @property
    def _beta(self) -> Floats:
        return self._solved[0]

    @property
    def _rss(self) -> Floats:
        return self._solved[1]

    @cached_property
    def _best(self) -> int:
        return int(np.argmin(self._rss))

    def _interval(self, slope: Floats, *, level: float, rng: np.random.Generator) -> Interval:
        """Bound b·slope; slope is float64 [g], infinite where the limit of a shape is."""
        quantile = self._quantile(slope, level=level, rng=rng)
        limit = float(self._rss[self._best]) * (1 + quantile / self.dof)
        inside = self._rss <= limit
        half = np.sqrt((limit - self._rss[inside]) / self._squares[inside])
        beta, slope_inside = self._beta[inside], slope[inside]
        with np.errstate(invalid="ignore"):
            ends = np.stack([(beta - half) * slope_inside, (beta + half) * slope_inside])
            estimate = float(self._beta[self._best] * slope[self._best])
        return Interval(estimate, float(np.nanmin(ends)), float(np.nanmax(ends)))

    def _quantile(self, slope: Floats, *, level: float, rng: np.random.Generator) -> float:
        """Find how much worse a fit may be, in units of the noise.

        By simulating from the best fit; from a flat curve, where the runs do not exclude one: then the best
        fit follows the noise, and curves simulated from it would be too easy to tell from flat.
        """
        noise = self.curve.centred(rng.standard_normal((N_SIMULATED, self.curve.n_runs)) * self.sd)
        if self._excess_of_flat <= self._most_of_flat:
            flat = self._excesses(noise, np.zeros(slope.size))
            if self._excess_of_flat <= np.quantile(flat, SURE):
                return float(np.quantile(flat, level))
        truth = self._beta[self._best] * slope[self._best]
        if not np.isfinite(truth):  # the limit of a logarithm; nearly that of the shape far out
            slope = self._at(self._range[0]) - self._at(self._range[1] * 1e6)
            truth = self._beta[self._best] * slope[self._best]
        curve = -self._beta[self._best] * self._centred[self._best]
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            required = truth / slope  # NaN where slope and truth are both 0: any b will do
        return float(np.quantile(self._excesses(curve + noise, required, self._within(NEAR)), level))

    def _within(self, level: float) -> NDArray[np.bool_]:
        """Return which points of the grid an interval of θ holds, bool [g]."""
        limit = 1 + float(f_distribution.ppf(level, 1, self.dof)) / self.dof
        within: NDArray[np.bool_] = self._rss <= self._rss[self._best] * limit
        return within

    @cached_property
    def _most_of_flat(self) -> float:
        """No less than what a flat curve exceeds once in a hundred: the gain of a mean of its own a size."""
        n_means = self.curve.steps.size - 1
        dof = self.curve.n_runs - self.curve.n_seeds - n_means
        if dof < 1:
            return float("inf")
        return self.dof * n_means / dof * float(f_distribution.ppf(SURE, n_means, dof))

    def _excesses(self, scores: Floats, beta_by_theta: Floats, at: Points = _ALL) -> Floats:
        """Return how much worse than the best the best fit with a given b for each θ is, float64 [m].

        Where the given b is NaN, any is taken.
        """
        beta, rss = self._solve(scores, at)
        with np.errstate(over="ignore"):
            distance = (beta - beta_by_theta[at]) ** 2 * self._squares[at]
        free = rss.min(axis=1)
        worse: Floats = (rss + np.where(np.isnan(distance), 0, distance)).min(axis=1) / free - 1
        return self.dof * worse

    @cached_property
    def _excess_of_flat(self) -> float:
        return float(
            self._excesses(self.curve.centred(self.curve.scores[None]), np.zeros(self._beta.size))[0]
        )


def fit(curve: Curve, family: str = "power") -> Fit:
    """Fit a family to a curve.

    Raises
    ------
    SaturationError
        When the curve has fewer than three sizes, or fewer runs than the fit needs.
    """
    if family not in FAMILIES:
        raise SaturationError(f"no family named {family!r}; there are: {', '.join(FAMILIES)}")
    if curve.steps.size < 3:
        raise SaturationError(f"a curve of {curve.steps.size} sizes has no shape; run 3 or more")
    fitted = Fit(curve, FAMILIES[family])
    if fitted.dof < 1:
        raise SaturationError(
            f"{curve.n_runs} runs of {curve.n_seeds} seeds are too few to fit {fitted.family.formula}; "
            "add seeds or sizes"
        )
    return _refined(fitted)


def _refined(fitted: Fit) -> Fit:
    """Make the grid fine where the runs do not exclude θ: of an interval of three points, half is lost."""
    for _ in range(3 * fitted.family.n_parameters):
        n_inside, near = int(fitted._within(0.95).sum()), fitted._within(NEAR)
        if n_inside >= N_INSIDE:
            break
        finer = fitted.family.finer(near[1:] | near[:-1], -(-N_INSIDE // n_inside))
        fitted = Fit(fitted.curve, finer)
    return fitted
