"""What more cells would bring, as a probability: all shapes of curve at once, weighed by how well they fit.

Given family and θ (see `fit`) the curve is a linear model; under flat priors of levels, of b and of the
logarithm of the noise, b has a Student's t distribution, and the runs have a probability in closed form. b is
the gain from the smallest to the largest size in every family, so that these probabilities can be compared: a
shape weighs

    prior(θ) · (Σ φ²)^(-1/2) · RSS^(-dof/2),    dof = runs - seeds - 1, φ centred within seeds

and a gain is a mixture of t's. Families have equal prior weight, and so have the points of each one's grid in
FAMILIES; finer points share what their gap stands for.

References
----------
Domhan, Springenberg and Hutter, Speeding up automatic hyperparameter optimization of deep neural networks by
extrapolation of learning curves, IJCAI 2015 (an ensemble of families; stopping at a probability of 5 %);
Hoeting et al., Bayesian model averaging: a tutorial, Statistical Science 1999, doi 10.1214/ss/1009212519.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.optimize import brentq
from scipy.stats import t as student_t

from curate.errors import SaturationError
from curate.evaluate.saturation.families import FAMILIES
from curate.evaluate.saturation.fit import Interval, fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.evaluate.saturation.curve import Curve
    from curate.evaluate.saturation.families import Family

    Floats = NDArray[np.float64]

#: "log" too, though it is the power law of exponent 0: the end of a grid weighs next to nothing in it.
AVERAGED: Final = tuple(FAMILIES)
#: Residuals below this share of the scatter are rounding.
_EXACT: Final = 1e-12
_LIGHT: Final = 1e-9


@dataclass(frozen=True, eq=False)
class Gain:
    """What is believed of a gain: a mixture of Student's t.

    Attributes
    ----------
    weights, centres, scales
        float64 [m]; weights add to 1.
    dof
        Of every t.
    """

    weights: Floats
    centres: Floats
    scales: Floats
    dof: int

    def exceeds(self, tolerance: float) -> float:
        """Return the probability that the gain is more than the tolerance."""
        return float(self.weights @ student_t.sf((tolerance - self.centres) / self.scales, self.dof))

    def interval(self, level: float = 0.95) -> Interval:
        """Return the median and the central interval."""
        low, median, high = (self._quantile(share) for share in ((1 - level) / 2, 0.5, (1 + level) / 2))
        return Interval(median, low, high)

    def _quantile(self, share: float) -> float:
        reach = float(student_t.ppf(1 - 1e-9, self.dof)) * self.scales
        ends = float((self.centres - reach).min()), float((self.centres + reach).max())
        return float(brentq(lambda x: 1 - self.exceeds(x) - share, *ends, xtol=1e-9))


@dataclass(frozen=True, eq=False)
class Outlook:
    """The shapes that runs may follow, each with its weight.

    Attributes
    ----------
    grids
        The families with the grids of the shapes, as AVERAGED.
    weights, slopes, errors
        float64 [m]: weight; b and its standard error.
    sd
        Of a run about its curve, mean over the shapes.
    """

    curve: Curve
    grids: tuple[Family, ...]
    weights: Floats
    slopes: Floats
    errors: Floats
    dof: int
    sd: float

    @classmethod
    def of(cls, curve: Curve) -> Outlook:
        """Weigh all shapes by the runs of a curve.

        Raises
        ------
        SaturationError
            When the curve has fewer than three sizes, or fewer runs than the weighing needs.
        """
        if curve.steps.size < 3:
            raise SaturationError(f"a curve of {curve.steps.size} sizes has no shape; run 3 or more")
        dof = curve.n_runs - curve.n_seeds - 1
        if dof < 2:
            raise SaturationError(
                f"{curve.n_runs} runs of {curve.n_seeds} seeds are too few to weigh shapes; add seeds or "
                "sizes"
            )
        # On grids that are fine where the runs tell shapes apart: between coarse points lies most of a t.
        grids = tuple(fit(curve, name).family for name in AVERAGED)
        shapes = curve.centred(_shapes(curve, grids, curve.n_cells))
        scores = curve.centred(curve.scores[None])[0]
        squares = np.square(shapes).sum(axis=1)
        slopes = -(shapes @ scores) / squares
        total = float(scores @ scores)
        floor = max(_EXACT * total, np.finfo(np.float64).tiny ** 0.5)
        rss = np.maximum(total - slopes**2 * squares, floor)
        masses = np.concatenate([grid.masses for grid in grids])
        logs = -0.5 * np.log(squares) - dof / 2 * np.log(rss) + np.log(masses)
        weights = np.exp(logs - logs.max())
        weights /= weights.sum()
        sd = float(weights @ np.sqrt(rss / dof))
        return cls(curve, grids, weights, slopes, np.sqrt(rss / dof / squares), dof, sd)

    def gain(self, low: float, high: float) -> Gain:
        """Return what is believed of the gain from `low` to `high` cells, both finite."""
        shapes = _shapes(self.curve, self.grids, np.array([low, high]))
        ways = shapes[:, 0] - shapes[:, 1]
        held = self.weights > _LIGHT * self.weights.max()
        weights, ways = self.weights[held], ways[held]
        scales = np.maximum(self.errors[held] * np.abs(ways), np.finfo(np.float64).tiny ** 0.5)
        return Gain(weights / weights.sum(), self.slopes[held] * ways, scales, self.dof)

    @property
    def family_weights(self) -> dict[str, float]:
        """The weight of each family."""
        starts = np.cumsum([0, *(grid.thetas.size for grid in self.grids[:-1])])
        return dict(zip(AVERAGED, np.add.reduceat(self.weights, starts).tolist(), strict=True))


def _shapes(curve: Curve, grids: tuple[Family, ...], sizes: Floats) -> Floats:
    ends = float(curve.steps[0]), float(curve.steps[-1])
    return np.concatenate([grid.shape(sizes, *ends) for grid in grids])
