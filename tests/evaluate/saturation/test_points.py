"""Where curves saturate: by hand, and on simulated curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from curate.errors import SaturationError
from curate.evaluate.saturation.curve import Curve
from curate.evaluate.saturation.points import Plateau, plateau, study_point

if TYPE_CHECKING:
    from tests.evaluate.saturation.conftest import Simulate


def test_the_study_point_is_the_first_size_at_which_any_run_exceeds_95_percent_of_the_best() -> None:
    curve = Curve.of([1, 1, 10, 10, 100, 100], [0.5, 0.6, 0.7, 0.953, 0.9, 1.0], [0, 1, 0, 1, 0, 1])
    assert study_point(curve) == 10


def test_a_score_of_exactly_the_share_does_not_exceed_it() -> None:
    curve = Curve.of([1, 10, 100], [0.5, 0.75, 1.0], [0, 0, 0])
    assert study_point(curve, share=0.75) == 100


def test_a_curve_that_stops_rising_is_saturated_there(simulate: Simulate) -> None:
    curve = simulate(lambda n: np.where(n >= 6_000, 0.8, 0.6 + 0.0 * n), sd=0.005)
    found = plateau(curve, rng=np.random.default_rng(0))
    assert (found.verdict, found.n_cells) == ("saturated", 6_000)
    assert found.low == found.high == 6_000
    assert found.largest_gain < found.tolerance == pytest.approx(0.05 * curve.means.max())


def test_a_curve_that_rises_to_the_end_is_rising(simulate: Simulate) -> None:
    curve = simulate(lambda n: 0.2 + 0.1 * np.log10(n / 200), sd=0.005)
    found = plateau(curve, tolerance=0.01, rng=np.random.default_rng(0))
    assert (found.verdict, found.n_cells) == ("rising", None)
    assert found.largest_gain > 0.01


def residual(n_steps: int) -> np.ndarray:
    """Return scores [3 seeds, n_steps] of one mean everywhere, of which seeds and sizes leave (2 · 0.01)²."""
    left = np.zeros((3, n_steps))
    left[:2, :2] = [[0.01, -0.01], [-0.01, 0.01]]
    return 0.6 + left


def of(table: np.ndarray, tolerance: float) -> Plateau:
    seeds, steps = np.indices(table.shape)
    curve = Curve.of(10.0 ** (1 + steps.ravel()), table.ravel(), seeds.ravel())
    return plateau(curve, tolerance=tolerance, rng=np.random.default_rng(0))


def test_gains_of_all_larger_sizes_are_bounded_at_once_by_hand() -> None:
    # 4 degrees of freedom, of which t is 2.776 at 97.5 % (two larger sizes) and 2.132 at 95 % (one).
    error = 0.01 * np.sqrt(2 / 3)
    strict, loose = of(residual(3), 0.020), of(residual(3), 0.023)
    assert (strict.verdict, strict.n_cells) == ("saturated", 100)
    assert strict.largest_gain == pytest.approx(2.131847 * error)
    assert (loose.verdict, loose.n_cells) == ("saturated", 10)
    assert loose.largest_gain == pytest.approx(2.776445 * error)


def test_the_interval_of_the_point_leaves_a_fortieth_out_on_either_side() -> None:
    # Two means differ by chance by 0.01155 (standard deviation); by 1.8 of it in 3.6 of 100, by 2.2 in 1.4.
    error = 0.01 * np.sqrt(2) * np.sqrt(2 / 3)
    near, far = of(residual(2), 1.8 * error), of(residual(2), 2.2 * error)
    assert (near.low, near.high) == (10, 100)
    assert (far.low, far.high) == (10, 10)


def test_noise_larger_than_the_tolerance_leaves_it_undecided(simulate: Simulate) -> None:
    found = plateau(simulate(lambda n: 0.7 + 0 * n, sd=0.1), tolerance=0.01, rng=np.random.default_rng(0))
    assert (found.verdict, found.n_cells) == ("undecided", None)


def test_a_plateau_is_called_too_early_in_at_most_one_of_twenty_runs(simulate: Simulate) -> None:
    def truth(n_cells: np.ndarray) -> np.ndarray:
        return np.where(n_cells >= 60_000, 0.73, np.where(n_cells >= 6_000, 0.7, 0.5))

    early = 0
    for seed in range(200):
        found = plateau(simulate(truth, seed=seed), tolerance=0.0299, rng=np.random.default_rng(seed))
        early += found.n_cells is not None and found.n_cells < 60_000
    assert early <= 17


def test_the_level_of_a_seed_does_not_blur_its_plateau(simulate: Simulate) -> None:
    curve = simulate(lambda n: 0.7 + 0 * n, sd=0.005, seed_sd=0.2)
    assert plateau(curve, tolerance=0.03, rng=np.random.default_rng(0)).verdict == "saturated"


@pytest.mark.parametrize(
    ("n_cells", "seeds", "tolerance", "message"),
    [
        ([1, 1], [0, 1], 0.1, r"1 size and 2 seeds show no plateau"),
        ([1, 2], [0, 0], 0.1, r"2 sizes and 1 seed show no plateau"),
        ([1, 2, 1], [0, 0, 1], 0.1, r"1 of 2 seeds x 2 sizes have no run"),
        ([1, 2, 1, 2], [0, 0, 1, 1], 0.0, r"a tolerance of 0; give one above 0"),
    ],
)
def test_runs_that_show_no_plateau_are_refused(
    n_cells: list[float], seeds: list[int], tolerance: float, message: str
) -> None:
    with pytest.raises(SaturationError, match=message):
        plateau(
            Curve.of(n_cells, [0.5] * len(seeds), seeds), tolerance=tolerance, rng=np.random.default_rng(0)
        )
