"""The curve that does not rise at all, beside the shapes that do.

An outlook weighs rising shapes, whose slope may be 0 but for chance never is: of a flat curve it always
believes that the noise of a few runs goes on. So flatness gets a weight of its own, against the shapes (whose
slope is of unit information about 0)::

    p(runs | shape) / p(runs | flat) = (1 + n)^(-1/2) · (RSS_0 / (RSS + (RSS_0 - RSS) / (1 + n)))^(k/2),
    n runs, k = runs - seeds

and as much prior weight as all of them. What begins to rise late looks flat at first, though. So it
is believed in only where it has been seen: over a tenfold range of sizes, of which the runs tell that it did
not bring more than the tolerance.

References
----------
Liang et al., Mixtures of g priors for Bayesian variable selection, JASA 2008, doi 10.1198/016214507000001337
(the ratio, with g = n: Kass and Wasserman, JASA 1995, doi 10.1080/01621459.1995.10476592).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.evaluate.saturation.outlook import Gain, Outlook

PRIOR: Final = 0.5
#: Largest by smallest size, from which on a flat curve is believed to be one.
RANGE: Final = 10
_POINT: Final = np.finfo(np.float64).tiny ** 0.5


def probability_of_flat(outlook: Outlook, *, tolerance: float, risk: float) -> float:
    """Return the probability that cells do not matter; 0 where too little has been seen to say so."""
    steps = outlook.curve.steps
    # Sizes are rounded to cells.
    if steps[-1] < 0.99 * RANGE * steps[0]:
        return 0.0
    if outlook.gain(float(steps[0]), float(steps[-1])).exceeds(tolerance) >= risk:
        return 0.0
    return weight_of_flat(outlook)


def weight_of_flat(outlook: Outlook) -> float:
    """Return the probability of a flat curve against the shapes of an outlook, by the runs alone."""
    n_runs, n_seeds = outlook.curve.n_runs, outlook.curve.n_seeds
    unexplained = _unexplained(outlook)
    ratios = -0.5 * np.log1p(n_runs) - (n_runs - n_seeds) / 2 * np.log(
        unexplained + (1 - unexplained) / (1 + n_runs)
    )
    masses = np.concatenate([grid.masses for grid in outlook.grids])
    priors = np.log(masses / masses.sum())
    rising = float(np.logaddexp.reduce(ratios + priors))
    return float(1 / (1 + (1 - PRIOR) / PRIOR * np.exp(rising)))


def with_flat(gain: Gain, probability: float) -> Gain:
    """Return what is believed of a gain when with that probability there is none."""
    return replace(
        gain,
        weights=np.append(gain.weights * (1 - probability), probability),
        centres=np.append(gain.centres, 0.0),
        scales=np.append(gain.scales, _POINT),
    )


def _unexplained(outlook: Outlook) -> NDArray[np.float64]:
    """Return RSS / RSS_0 of each shape, float64 [m]."""
    rest = outlook.errors**2 * outlook.dof
    whole = rest + outlook.slopes**2
    shares: NDArray[np.float64] = np.divide(rest, whole, out=np.ones_like(rest), where=whole > 0)
    return shares
