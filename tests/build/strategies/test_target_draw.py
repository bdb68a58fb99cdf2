from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from curate.build.strategies.race import log_times, race
from curate.build.strategies.target_draw import background_of, draw_mixed
from curate.errors import SelectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def keys(n: int, seed: int = 0) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)


def test_without_background_it_is_a_race() -> None:
    rates = np.random.default_rng(1).gamma(0.3, size=300)
    raced, drawn = race(keys(300), rates, 40), draw_mixed(keys(300), np.log(rates), 40)
    np.testing.assert_array_equal(drawn.rows, raced.rows)
    np.testing.assert_allclose(drawn.weights, raced.weights, rtol=1e-5)


def test_pairs_are_chosen_as_often_as_gumbel_top_k_says_at_any_scale_of_the_ratios() -> None:
    rates = np.array([1.0, 2.0, 3.0, 4.0])
    chances: dict[frozenset[int], float] = {}
    for a, b in permutations(range(4), 2):
        pair = frozenset((a, b))
        chances[pair] = chances.get(pair, 0) + rates[a] / rates.sum() * rates[b] / (rates.sum() - rates[a])
    drawn = [frozenset(draw_mixed(keys(4, s), np.log(rates) + 5_000, 2).rows.tolist()) for s in range(4_000)]
    observed = [drawn.count(pair) for pair in chances]
    assert chisquare(observed, 4_000 * np.array(list(chances.values()))).pvalue > 1e-3


@pytest.mark.parametrize("mix", [0.0, 0.2, 0.7])
def test_weighted_sums_are_those_of_all_cells_in_the_mean(mix: float) -> None:
    rng = np.random.default_rng(3)
    logs, values = 2 * rng.normal(size=150), rng.normal(5, 1, size=150)
    sums, totals = [], []
    for seed in range(3_000):
        drawn = draw_mixed(keys(150, seed), logs, 30, mix=mix)
        sums.append(float((drawn.weights * values[drawn.rows]).sum()))
        totals.append(float(drawn.weights.sum()))
    for found, true in ((sums, values.sum()), (totals, 150)):
        assert abs(np.mean(found) - true) < 4 * np.std(found) / np.sqrt(len(found))


def test_background_brings_in_cells_that_cannot_race_and_its_weights_count_them() -> None:
    logs = np.where(np.arange(200) < 60, 0.0, -np.inf)
    counts = []
    for seed in range(2_000):
        drawn = draw_mixed(keys(200, seed), logs, 40, mix=0.5)
        assert drawn.n_background == 20
        assert (drawn.rows < 60).sum() >= 20
        counts.append(float(drawn.weights[drawn.rows >= 60].sum()))
    assert abs(np.mean(counts) - 140) < 4 * np.std(counts) / np.sqrt(len(counts))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.99), st.data())
def test_a_smaller_choice_lies_inside_a_larger_one_and_quotas_are_exact(
    seed: int, mix: float, data: st.DataObject
) -> None:
    logs = np.random.default_rng(seed).normal(size=80) * 30
    larger = data.draw(st.integers(1, 80))
    smaller = data.draw(st.integers(1, larger))
    inner, outer = (draw_mixed(keys(80, seed), logs, n, mix=mix) for n in (smaller, larger))
    assert set(inner.rows) <= set(outer.rows)
    for drawn, n in ((inner, smaller), (outer, larger)):
        assert (np.diff(drawn.rows) > 0).all()
        assert drawn.rows.size == drawn.weights.size == n
        assert (drawn.weights >= 1).all()
        assert abs(drawn.n_background - mix * n) <= 0.5


@pytest.mark.parametrize(("n", "mix", "expected"), [(10, 0.25, 3), (10, 0.0, 0), (1, 0.5, 1), (178, 0.1, 18)])
def test_the_quota_of_background_is_rounded_half_up(n: int, mix: float, expected: int) -> None:
    assert background_of(n, mix) == expected


def test_ratios_of_any_size_neither_overflow_nor_tie() -> None:
    logs = np.linspace(-1e30, 1e30, 50)
    np.testing.assert_array_equal(draw_mixed(keys(50), logs, 7).rows, np.arange(43, 50))


def test_fewer_cells_with_a_ratio_than_asked_for_are_refused_with_what_to_do() -> None:
    logs = np.where(np.arange(50) < 9, 0.0, -np.inf)
    with pytest.raises(SelectionError, match="10 cells asked for, but only 9 have a weight above 0; ask for"):
        draw_mixed(keys(50), logs, 10)
    with pytest.raises(SelectionError, match=r"among the 40 that are not background"):
        draw_mixed(keys(50), logs, 20, mix=0.5)


def test_no_cell_with_a_ratio_is_refused() -> None:
    with pytest.raises(SelectionError, match="1 cells asked for, but only 0 have a weight"):
        draw_mixed(keys(50), np.full(50, -np.inf), 1)


def test_all_cells_are_all_cells() -> None:
    drawn = draw_mixed(keys(9), np.full(9, -np.inf), 9, mix=0.3)
    np.testing.assert_array_equal(drawn.rows, np.arange(9))
    np.testing.assert_array_equal(drawn.weights, np.ones(9))


@pytest.mark.parametrize("log", [np.nan, np.inf])
def test_a_log_rate_that_is_none_is_refused(log: float) -> None:
    with pytest.raises(SelectionError, match="a log weight is NaN or inf"):
        log_times(keys(3), np.array([0.0, log, 1.0]))
