"""The stopping rule: from the runs so far to whether the rest of the corpus can still matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from curate.errors import SaturationError
from curate.evaluate.advise.flat import probability_of_flat, with_flat
from curate.evaluate.saturation.outlook import Outlook

if TYPE_CHECKING:
    from curate.evaluate.saturation.curve import Curve
    from curate.evaluate.saturation.fit import Interval

Verdict = Literal["saturated", "rising", "undecided"]
MIN_SIZES = 3


@dataclass(frozen=True)
class Rule:
    """When to stop.

    Attributes
    ----------
    tolerance
        What the rest may bring without mattering, in units of the score.
    risk
        Stop when the probability that it brings more is below this.
    n_seeds, most_seeds
        Runs of every size at first, and after all doubt. A new size is judged from its second run on.
    min_sizes
        Sizes before the rule speaks; three parameters of a curve need three.

    Raises
    ------
    SaturationError
        When a number is out of range.
    """

    tolerance: float = 0.01
    risk: float = 0.05
    n_seeds: int = 3
    most_seeds: int = 5
    min_sizes: int = MIN_SIZES

    def __post_init__(self) -> None:
        if not self.tolerance > 0:
            raise SaturationError(f"a tolerance of {self.tolerance:g}; give one above 0")
        if not 0 < self.risk < 0.5:
            raise SaturationError(f"a risk of {self.risk:g}; give one between 0 and 0.5")
        if not 2 <= self.n_seeds <= self.most_seeds:
            raise SaturationError(
                f"{self.n_seeds} to {self.most_seeds} seeds; give 2 or more, and no fewer at last than at "
                "first"
            )
        if self.min_sizes < MIN_SIZES:
            raise SaturationError(f"{self.min_sizes} sizes have no shape; wait for {MIN_SIZES} or more")


@dataclass(frozen=True)
class Judgement:
    """What the runs so far say.

    Attributes
    ----------
    verdict
        "saturated": what the rest brings over the largest size that was run is more than the tolerance with a
        probability below the risk; "rising": with one above 1 - risk; "undecided": between them. Where the
        whole corpus was run, both are about the last size but one.
    probability
        That it brings more than the tolerance.
    gain
        What it brings: median and 95 % interval.
    enough
        The smallest size that was run over which the whole corpus brings more than the tolerance with a
        probability below the risk; None unless saturated.
    enough_probability, enough_gain
        That probability, and what the whole corpus brings over it.
    sd
        Of the scores of runs about their curve.
    flat
        Probability that the score does not depend on the cells at all; part of the others.
    """

    verdict: Verdict
    probability: float
    gain: Interval
    enough: float | None
    enough_probability: float | None
    enough_gain: Interval | None
    sd: float
    flat: float = 0.0


def judge(curve: Curve, n_all: float, rule: Rule) -> Judgement:
    """Judge whether more cells would matter.

    Parameters
    ----------
    n_all
        Cells of the whole corpus, in the measure of the curve's sizes.

    Raises
    ------
    SaturationError
        When the curve has too few sizes or runs.
    """
    outlook = Outlook.of(curve)
    flat = probability_of_flat(outlook, tolerance=rule.tolerance, risk=rule.risk)
    steps = curve.steps.tolist()
    below = [size for size in steps if size < n_all]
    last = with_flat(outlook.gain(below[-1], n_all), flat)
    probability = last.exceeds(rule.tolerance)
    enough = enough_probability = enough_gain = None
    for size in reversed(below):
        gain = with_flat(outlook.gain(size, n_all), flat)
        chance = gain.exceeds(rule.tolerance)
        if chance >= rule.risk:
            break
        enough, enough_probability, enough_gain = size, chance, gain
    verdict: Verdict = (
        "saturated" if enough is not None else "rising" if probability > 1 - rule.risk else "undecided"
    )
    return Judgement(
        verdict,
        probability,
        last.interval(),
        enough,
        enough_probability,
        enough_gain.interval() if enough_gain is not None else None,
        outlook.sd,
        flat,
    )
