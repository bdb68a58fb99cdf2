"""The weighing of shapes: against numerical integration, and on curves whose truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.integrate import dblquad
from scipy.stats import t as student_t

from curate.errors import SaturationError
from curate.evaluate.saturation.curve import Curve
from curate.evaluate.saturation.families import FAMILIES
from curate.evaluate.saturation.outlook import AVERAGED, Gain, Outlook

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.evaluate.saturation.conftest import Simulate


def saturating(n_cells: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.8 - 0.3 / (1 + n_cells / 500)


def rising(n_cells: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.3 + 0.05 * np.log(n_cells / 200)


def test_a_mixture_of_one_is_students_t() -> None:
    one = Gain(np.array([1.0]), np.array([0.3]), np.array([0.1]), 4)
    assert one.exceeds(0.4) == pytest.approx(float(student_t.sf(1, 4)))
    found = one.interval(0.9)
    assert (found.low, found.estimate, found.high) == pytest.approx(
        (0.3 - 0.1 * float(student_t.ppf(0.95, 4)), 0.3, 0.3 + 0.1 * float(student_t.ppf(0.95, 4)))
    )


def test_a_mixture_of_two_is_their_weighted_mean() -> None:
    two = Gain(np.array([0.25, 0.75]), np.array([0.0, 1.0]), np.array([1e-6, 1e-6]), 9)
    assert two.exceeds(0.5) == pytest.approx(0.75)
    assert two.interval(0.5).estimate == pytest.approx(1, abs=1e-4)


def test_the_weights_of_two_shapes_are_their_integrated_likelihoods() -> None:
    """For one seed the levels, b and the noise are integrated numerically, under the priors that are said."""
    n_cells, scores = np.array([1.0, 2, 4, 8]), np.array([0.1, 0.35, 0.42, 0.5])
    outlook = Outlook.of(Curve.of(n_cells, scores, np.zeros(4)))
    at = [10, 200]
    shapes = FAMILIES["power"].shape(n_cells, 1.0, 8.0)[at]

    def likelihood(shape: NDArray[np.float64]) -> float:
        # The level integrates to the centred sum of squares; noise on a logarithmic scale.
        centred, phi = scores - scores.mean(), shape - shape.mean()

        def density(b: float, log_sd: float) -> float:
            sd = np.exp(log_sd)
            return float(sd ** -(len(scores) - 1) * np.exp(-np.square(centred + b * phi).sum() / (2 * sd**2)))

        return float(dblquad(density, -9, 4, -3, 4, epsabs=1e-8, epsrel=1e-6)[0])

    expected = likelihood(shapes[0]) / likelihood(shapes[1])
    # The logarithm stands before the power laws.
    assert outlook.weights[1 + at[0]] / outlook.weights[1 + at[1]] == pytest.approx(expected, rel=0.01)


def test_a_gain_that_is_over_is_improbable_and_one_to_come_is_sure(simulate: Simulate) -> None:
    over = Outlook.of(simulate(saturating, sd=0.003)).gain(2e5, 2e7)
    to_come = Outlook.of(simulate(rising, sd=0.003)).gain(2e5, 2e7)
    assert over.exceeds(0.01) < 0.02
    assert to_come.exceeds(0.01) > 0.98


@pytest.mark.parametrize("sd", [0.01, 0.0005])
def test_what_is_believed_does_not_hang_on_the_grids(
    simulate: Simulate, monkeypatch: pytest.MonkeyPatch, sd: float
) -> None:
    curve = simulate(saturating, sd=sd)
    expected = Outlook.of(curve).gain(2e4, 2e5).interval()
    for name in ("exponential", "rational"):
        family = FAMILIES[name]
        everywhere = np.ones(family.thetas.size - 1, np.bool_)
        monkeypatch.setitem(FAMILIES, name, family.finer(everywhere, 5))
    found = Outlook.of(curve).gain(2e4, 2e5).interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=0.02)


def test_what_a_logarithm_gains_lies_within_its_interval(simulate: Simulate) -> None:
    held = Outlook.of(simulate(rising)).gain(2e5, 2e6).interval()
    assert held.low < 0.05 * np.log(10) < held.high


def test_the_family_of_the_truth_weighs_most(simulate: Simulate) -> None:
    weights = Outlook.of(simulate(saturating, sd=0.002)).family_weights
    assert sum(weights.values()) == pytest.approx(1)
    assert set(weights) == set(AVERAGED)
    assert max(weights, key=lambda name: weights[name]) == "rational"


def test_levels_of_seeds_change_nothing(simulate: Simulate) -> None:
    curve = simulate(saturating)
    lifted = Curve.of(curve.n_cells, curve.scores + 3.0 * curve.seeds, curve.seeds)
    assert Outlook.of(lifted).gain(2e5, 2e6).exceeds(0.01) == pytest.approx(
        Outlook.of(curve).gain(2e5, 2e6).exceeds(0.01), rel=1e-6
    )


def test_scores_without_noise_are_no_division_by_zero(simulate: Simulate) -> None:
    outlook = Outlook.of(simulate(lambda n: 0.5 + 0 * n, sd=0.0, seed_sd=0.0))
    assert outlook.gain(2e5, 2e6).exceeds(0.01) == pytest.approx(0, abs=1e-9)


def test_two_sizes_have_no_shape() -> None:
    with pytest.raises(SaturationError, match="a curve of 2 sizes has no shape; run 3 or more"):
        Outlook.of(Curve.of([1, 2, 1, 2], [0, 1, 0, 1], [0, 0, 1, 1]))


def test_three_runs_are_too_few() -> None:
    with pytest.raises(SaturationError, match="3 runs of 1 seeds are too few"):
        Outlook.of(Curve.of([1, 2, 3], [0, 1, 2], [0, 0, 0]))
