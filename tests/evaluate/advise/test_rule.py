"""When the rule stops."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from curate.errors import SaturationError
from curate.evaluate.advise.climb import climb
from curate.evaluate.advise.rule import Rule, judge
from curate.evaluate.saturation.curve import Curve

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZES = [100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 50_000.0, 100_000.0]


def saturating(n_cells: float) -> float:
    return float(0.8 - 0.3 * np.exp(-n_cells / 400))


def runs(n_steps: int, truth: object, *, sd: float = 0.002, seed: int = 0) -> Curve:
    rng = np.random.default_rng(seed)
    sizes = np.tile(SIZES[:n_steps], 3)
    scores = [truth(size) + rng.normal(0, sd) for size in sizes.tolist()]  # type: ignore[operator]
    return Curve.of(sizes, scores, np.repeat(np.arange(3), n_steps))


def test_a_curve_that_is_over_is_saturated_from_the_size_that_is_enough() -> None:
    found = judge(runs(6, saturating), SIZES[-1], Rule(0.01))
    assert found.verdict == "saturated"
    # 0.3 exp(-n/400) is below 0.01 from 1,360 cells on.
    assert found.enough == 2_000
    assert found.enough_probability is not None
    assert found.enough_probability < 0.05
    assert found.enough_gain is not None
    assert found.enough_gain.high < 0.012


def test_a_curve_under_way_is_rising() -> None:
    found = judge(runs(4, lambda n: 0.1 * np.log(n)), SIZES[-1], Rule(0.01))
    assert found.verdict == "rising"
    assert found.probability > 0.95
    assert found.enough is None


def test_noise_that_hides_the_gain_leaves_it_undecided() -> None:
    found = judge(runs(4, lambda n: 0.5, sd=0.05), SIZES[-1], Rule(0.01))
    assert found.verdict == "undecided"
    assert 0.05 <= found.probability <= 0.95
    assert found.sd == pytest.approx(0.05, rel=0.6)


def test_the_rule_stops_below_its_risk_and_not_above() -> None:
    def verdict(risk: float) -> tuple[str, float]:
        # Less than a tenfold range, so that no flat curve is believed in, which hangs on the risk too.
        curve = runs(3, lambda n: 0.8 - 0.3 * np.exp(-n / 100))
        found = judge(curve, 2_000, Rule(0.02, risk=risk))
        return found.verdict, found.probability

    told, probability = verdict(0.05)
    assert told == "undecided"
    # Three times the risk would do here.
    assert 0.05 < probability < 0.15
    assert verdict(0.99 * probability)[0] == "undecided"
    assert verdict(1.01 * probability)[0] == "saturated"


def test_on_the_whole_corpus_the_size_before_it_is_judged() -> None:
    found = judge(runs(9, saturating), SIZES[-1], Rule(0.01))
    assert found.verdict == "saturated"
    assert found.enough is not None
    assert found.enough < SIZES[-1]


def test_a_larger_tolerance_is_met_earlier() -> None:
    curve = runs(6, saturating)
    near, far = (judge(curve, SIZES[-1], Rule(tolerance)).enough for tolerance in (0.01, 0.1))
    assert near is not None
    assert far is not None
    assert far < near


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tolerance": 0.0}, "a tolerance of 0; give one above 0"),
        ({"risk": 0.5}, "a risk of 0.5; give one between 0 and 0.5"),
        ({"n_seeds": 1}, "1 to 5 seeds; give 2 or more"),
        ({"n_seeds": 6}, "6 to 5 seeds"),
        ({"min_sizes": 2}, "2 sizes have no shape"),
    ],
)
def test_a_rule_out_of_range_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(SaturationError, match=message):
        Rule(**wrong)  # type: ignore[arg-type]


class Asked:
    """Scores of a truth, and what was asked for."""

    def __init__(self, truth: object, sd: float, noise: int = 0) -> None:
        self.truth, self.sd, self.noise = truth, sd, noise
        self.runs: list[tuple[int, int]] = []

    def __call__(self, step: int, seed: int) -> float:
        self.runs.append((step, seed))
        noise = np.random.default_rng([step, seed, self.noise]).normal(0, self.sd)
        return float(self.truth(SIZES[step]) + noise)  # type: ignore[operator]


def test_a_climb_stops_where_the_rest_cannot_matter_and_asks_for_each_run_once() -> None:
    asked = Asked(saturating, 0.002)
    found = climb(SIZES, asked, Rule(0.01))
    # True from the step of 2,000 cells on, the fifth.
    assert abs(found.last - 4) <= 1
    assert len(asked.runs) == len(set(asked.runs)) == found.curve.n_runs
    assert {step for step, _ in asked.runs} == set(range(found.last + 1))
    assert found.share == pytest.approx(found.n_cells / (sum(SIZES) * found.curve.n_seeds))
    assert found.share < 0.1


def test_a_climb_goes_to_the_end_where_more_always_pays() -> None:
    asked = Asked(lambda n: 0.1 * np.log(n), 0.002)
    found = climb(SIZES, asked, Rule(0.01))
    assert found.last == len(SIZES) - 1
    assert found.judgement is not None
    assert found.judgement.verdict == "rising"
    # From the third size on two of three seeds are enough to see it.
    assert {step: sum(each == step for each, _ in asked.runs) for step in found.steps} == {
        step: 3 if step < 2 else 2 for step in range(len(SIZES))
    }


def test_no_more_seeds_of_the_last_size_are_run_than_it_takes() -> None:
    asked = Asked(saturating, 0.002)
    found = climb(SIZES, asked, Rule(0.01, n_seeds=5))
    runs = [sum(step == each for step, _ in asked.runs) for each in found.steps]
    assert runs[:2] == [5, 5]
    assert runs[-1] == 2
    assert found.curve.n_seeds == 5


def test_on_the_whole_corpus_runs_that_are_all_the_same_are_one() -> None:
    asked = Asked(lambda n: 0.5 + 0.05 * np.log10(n), 0.02)
    last = len(SIZES) - 1
    of_whole: list[int] = []

    def score(step: int, seed: int) -> float:
        if step < last:
            return asked(step, seed)
        of_whole.append(seed)
        return 0.9 + 1e-6 * seed

    found = climb(SIZES, score, Rule(0.01))
    assert found.last == last
    assert of_whole == [0, 1]
    assert int((found.curve.n_cells == SIZES[-1]).sum()) == 1


def test_a_flat_curve_is_left_as_soon_as_a_tenfold_range_was_seen() -> None:
    climbs = [climb(SIZES, Asked(lambda n: 0.5, 0.005, noise), Rule(0.01)) for noise in range(10)]
    # 100 to 1,000 cells: the fourth step.
    assert sum(found.last <= 3 for found in climbs) >= 8
    assert all(found.judgement and found.judgement.verdict == "saturated" for found in climbs)


def test_in_doubt_a_seed_is_added_to_all_steps_where_that_is_cheaper_than_the_next() -> None:
    asked = Asked(lambda n: 0.5, 0.01)
    found = climb(SIZES, asked, Rule(0.01, n_seeds=3, most_seeds=5))
    assert 3 < found.curve.n_seeds <= 5
    # Only of the last size are fewer run, where they are enough.
    assert not np.isnan(found.curve.table[:, :-1]).any()


def test_steps_that_a_proxy_passed_are_not_run() -> None:
    asked = Asked(saturating, 0.002)
    found = climb(SIZES, asked, Rule(0.01), steps=[0, 4, 5, 6, 7, 8])
    assert {step for step, _ in asked.runs} <= {0, 4, 5, 6, 7, 8}
    assert found.steps[:2] == (0, 4)
    assert found.judgement is not None
    assert found.judgement.verdict == "saturated"


def test_two_steps_are_judged_by_nobody() -> None:
    found = climb(SIZES, Asked(saturating, 0.002), Rule(0.01), steps=[0, 1])
    assert found.judgement is None
    assert found.last == 1


def _of(scores: NDArray[np.float64], step: int, seed: int) -> float:
    return float(scores[step, seed])


def test_of_25_simulated_tasks_nine_in_ten_stop_within_one_step_of_the_truth() -> None:
    near, shares = [], []
    for seed in range(25):
        rng = np.random.default_rng(seed)
        scale, levels = rng.uniform(150, 2_000), rng.normal(0, 0.01, 5)
        noise = rng.normal(0, 0.004, (len(SIZES), 5))
        values = 0.8 - 0.3 * np.exp(-np.array(SIZES) / scale)

        scores = values[:, None] + levels + noise
        found = climb(SIZES, functools.partial(_of, scores), Rule(0.01))
        true = max(int(np.argmax(values[-1] - values <= 0.01)), 2)
        near.append(abs(found.last - true) <= 1)
        shares.append(found.share)
    assert np.mean(near) >= 0.9
    assert np.mean(shares) < 0.25
