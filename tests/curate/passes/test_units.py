from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.passes.units import UNIT_CELLS, WINDOW, Windows

joinid_sets = st.builds(
    lambda n, share, seed: np.sort(
        np.random.default_rng(seed).choice(n, max(1, round(share * n)), replace=False)
    ),
    st.integers(1, 60_000),
    st.floats(0.001, 1),
    st.integers(0, 100),
)


@given(joinid_sets)
def test_units_hold_every_cell_once_and_in_order(joinids: np.ndarray) -> None:
    units = Windows.of(joinids).units()
    np.testing.assert_array_equal(np.concatenate([unit.take(joinids) for unit in units]), joinids)
    assert sum(unit.n_cells for unit in units) == joinids.size


@given(joinid_sets, st.floats(0, 1), st.integers(0, 5))
def test_a_sample_holds_whole_windows_and_enough_cells(joinids: np.ndarray, share: float, seed: int) -> None:
    windows = Windows.of(joinids)
    n = round(share * joinids.size)
    chosen = windows.sample(n, n_windows=2, rng=np.random.default_rng(seed))
    taken = np.concatenate([unit.take(joinids) for unit in windows.units(chosen)])
    expected = joinids[np.isin(joinids // WINDOW, windows.numbers[chosen])]
    np.testing.assert_array_equal(taken, expected)
    assert taken.size >= n
    assert chosen.sum() >= min(2, chosen.size)


@given(joinid_sets, st.integers(0, 5))
def test_a_larger_sample_holds_the_smaller_one(joinids: np.ndarray, seed: int) -> None:
    windows = Windows.of(joinids)
    small, large = (
        windows.sample(round(share * joinids.size), n_windows=1, rng=np.random.default_rng(seed))
        for share in (0.1, 0.4)
    )
    assert (large | ~small).all()


def test_units_end_with_the_window_that_fills_them() -> None:
    units = Windows.of(np.arange(5 * WINDOW)).units()
    assert [unit.runs for unit in units] == [((0, 4096),), ((4096, 8192),), ((8192, 10240),)]
    assert UNIT_CELLS == 4096


def test_windows_that_are_apart_are_read_apart() -> None:
    joinids = np.concatenate([np.arange(10), np.arange(WINDOW, WINDOW + 5), 7 * WINDOW + np.arange(3)])
    windows = Windows.of(joinids)
    assert windows.numbers.tolist() == [0, 1, 7]
    assert windows.n_cells.tolist() == [10, 5, 3]
    assert [unit.runs for unit in windows.units()] == [((0, 15), (15, 18))]
    assert [unit.runs for unit in windows.units(np.array([True, False, True]))] == [((0, 10), (15, 18))]


@pytest.mark.parametrize("share", [0.02, 0.1, 0.37])
def test_a_sample_is_spread_evenly(share: float) -> None:
    n = 1_000
    chosen = Windows.of(np.arange(n * WINDOW)).sample(
        round(share * n * WINDOW), n_windows=1, rng=np.random.default_rng(3)
    )
    gaps = np.diff(np.flatnonzero(chosen))
    assert chosen.sum() == pytest.approx(share * n, abs=1)
    # The three-gap theorem: no gap is much longer than the mean, as gaps between random windows are.
    assert gaps.max() < 3 / share


def test_other_seeds_take_other_windows() -> None:
    windows = Windows.of(np.arange(100 * WINDOW))
    one, other = (
        windows.sample(20 * WINDOW, n_windows=1, rng=np.random.default_rng(seed)) for seed in (0, 1)
    )
    assert (one != other).any()
