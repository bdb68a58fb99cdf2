"""What is believed of a curve that does not rise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from curate.evaluate.advise.flat import probability_of_flat, weight_of_flat, with_flat
from curate.evaluate.saturation.curve import Curve
from curate.evaluate.saturation.families import FAMILIES
from curate.evaluate.saturation.outlook import Outlook

SIZES = (100.0, 200.0, 500.0, 1_000.0)


def outlook(truth: object, *, sizes: tuple[float, ...] = SIZES, sd: float = 0.003, seed: int = 1) -> Outlook:
    rng = np.random.default_rng(seed)
    n = np.tile(sizes, 4)
    scores = [truth(each) + rng.normal(0, sd) for each in n.tolist()]  # type: ignore[operator]
    return Outlook.of(Curve.of(n, scores, np.repeat(np.arange(4), len(sizes))))


def flat(found: Outlook) -> float:
    return probability_of_flat(found, tolerance=0.01, risk=0.05)


def test_a_flat_curve_is_believed_to_be_flat() -> None:
    assert flat(outlook(lambda n: 0.5)) > 0.5


def test_a_curve_that_rises_is_not() -> None:
    assert flat(outlook(lambda n: 0.5 + 0.004 * np.log(n), sd=0.001)) < 0.01


def test_too_short_a_range_says_nothing() -> None:
    assert flat(outlook(lambda n: 0.5, sizes=(100.0, 300.0, 900.0))) == 0


def test_runs_that_cannot_exclude_a_gain_say_nothing() -> None:
    assert flat(outlook(lambda n: 0.5, sd=0.05)) == 0


def test_runs_without_any_noise_are_flat() -> None:
    found = flat(outlook(lambda n: 0.5, sd=0.0))
    # Nothing is explained by any shape: what is left is the factor of the unit information.
    assert found == pytest.approx(1 / (1 + 17**-0.5))


def test_the_ratio_is_that_of_the_integrated_likelihoods() -> None:
    """One shape alone, and its slope and the noise integrated numerically."""
    found = outlook(lambda n: 0.5 + 0.0005 * np.log(n))
    # "log" is the first of the families, and one shape.
    one = replace(
        found, grids=(FAMILIES["log"],), weights=np.ones(1), slopes=found.slopes[:1], errors=found.errors[:1]
    )
    rss = float(one.errors[0] ** 2 * one.dof)
    # In units in which the shape's sum of squares is 1.
    total, slope = rss + float(one.slopes[0] ** 2), float(one.slopes[0])
    n, nu = found.curve.n_runs, found.curve.n_runs - found.curve.n_seeds

    def of_noise(log_sd: float, *, is_flat: bool) -> float:
        sd = np.exp(log_sd)
        if is_flat:
            return float(sd**-nu * np.exp(-total / (2 * sd**2)))
        # Slope normal about 0 with n times the variance of its estimate.
        density = norm.pdf(slope, 0, sd * np.sqrt(1 + n)) * np.sqrt(2 * np.pi) * sd
        return float(sd**-nu * np.exp(-rss / (2 * sd**2)) * density)

    middle = float(np.log(np.sqrt(total / nu)))

    def integrated(*, is_flat: bool) -> float:
        scale = 10 ** (-2.5 * nu)
        found = quad(lambda x: of_noise(x, is_flat=is_flat) * scale, middle - 3, middle + 3)
        return float(found[0])

    flats, rising = integrated(is_flat=True), integrated(is_flat=False)
    assert weight_of_flat(one) == pytest.approx(flats / (flats + rising), rel=1e-3)


def test_a_gain_is_none_with_that_probability() -> None:
    gain = outlook(lambda n: 0.1 * np.log(n)).gain(1_000, 10_000)
    assert gain.exceeds(0.01) > 0.99
    assert with_flat(gain, 0.25).exceeds(0.01) == pytest.approx(0.75 * gain.exceeds(0.01))
    assert with_flat(gain, 0.6).interval().estimate == pytest.approx(0, abs=1e-6)
    assert with_flat(gain, 0.0).interval().low == pytest.approx(gain.interval().low, abs=1e-6)
