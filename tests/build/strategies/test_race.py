from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from curate.build.strategies.race import effective_size, race
from curate.errors import SelectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def keys(n: int, seed: int = 0) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)


def test_pairs_are_chosen_as_often_as_successive_sampling_says() -> None:
    rates = np.array([1.0, 2.0, 3.0, 4.0])
    chances: dict[frozenset[int], float] = {}
    for a, b in permutations(range(4), 2):
        pair = frozenset((a, b))
        share = rates[a] / rates.sum() * rates[b] / (rates.sum() - rates[a])
        chances[pair] = chances.get(pair, 0.0) + share
    drawn = [frozenset(race(keys(4, seed), rates, 2).rows.tolist()) for seed in range(4_000)]
    observed = [drawn.count(pair) for pair in chances]
    assert chisquare(observed, 4_000 * np.array(list(chances.values()))).pvalue > 1e-3


def test_weighted_sums_of_the_chosen_are_those_of_all_in_the_mean() -> None:
    rng = np.random.default_rng(3)
    rates, values = rng.gamma(0.5, size=200), rng.normal(5, 1, size=200)
    sums = []
    for seed in range(2_000):
        raced = race(keys(200, seed), rates, 40)
        sums.append(float((raced.weights * values[raced.rows]).sum()))
    error = np.std(sums) / np.sqrt(len(sums))
    assert abs(np.mean(sums) - values.sum()) < 4 * error


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), data=st.data())
def test_a_smaller_choice_lies_inside_a_larger_one(seed: int, data: st.DataObject) -> None:
    rates = np.random.default_rng(seed).integers(0, 3, 60).astype(np.float32)
    able = int((rates > 0).sum())
    larger = data.draw(st.integers(1, able))
    smaller = data.draw(st.integers(1, larger))
    inner, outer = (race(keys(60, seed), rates, n).rows for n in (smaller, larger))
    assert inner.size == smaller
    assert (np.diff(outer) > 0).all()
    assert set(inner) <= set(outer)
    assert (rates[outer] > 0).all()


def test_equal_keys_and_rates_still_give_exactly_n() -> None:
    np.testing.assert_array_equal(race(np.zeros(9, dtype=np.uint64), np.ones(9), 4).rows, np.arange(4))


def test_all_cells_have_weight_one() -> None:
    raced = race(keys(7), np.arange(1.0, 8.0), 7)
    np.testing.assert_array_equal(raced.weights, np.ones(7))
    assert raced.effective_size == 7


def test_the_only_cells_with_a_weight_were_certain() -> None:
    raced = race(keys(5), np.array([0, 1.0, 0, 9.0, 0]), 2)
    np.testing.assert_array_equal(raced.rows, [1, 3])
    np.testing.assert_array_equal(raced.weights, [1, 1])


def test_effective_size_is_that_of_kish() -> None:
    assert effective_size(np.array([1.0, 1.0, 2.0])) == pytest.approx(16 / 6)


@pytest.mark.parametrize("rate", [-1.0, np.nan, np.inf])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(SelectionError, match="negative or not finite"):
        race(keys(3), np.array([1.0, rate, 1.0]), 1)


def test_fewer_cells_with_a_weight_than_asked_for_are_refused() -> None:
    with pytest.raises(SelectionError, match="3 cells asked for, but only 2 of 4 have a weight above 0"):
        race(keys(4), np.array([0, 1.0, 0, 2.0]), 3)


def test_equal_rates_choose_what_random_chooses() -> None:
    from curate.build.strategies.keys import smallest_keys

    keys = np.random.default_rng(5).integers(0, 2**64, 5000, dtype=np.uint64)
    expected = smallest_keys(keys, np.array([700]))
    np.testing.assert_array_equal(race(keys, np.full(5000, 3.0), 700).rows, expected)
    # The largest key of all has a finite time still.
    assert race(np.array([2**64 - 1, 2**64 - 1, 0], dtype=np.uint64), np.ones(3), 2).rows.tolist() == [0, 2]
