from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.train.loader import order as module
from curate.train.loader.order import EpochOrder, weighted_times


def all_rows(order: EpochOrder) -> list[int]:
    n = order.n_batches(drop_last=False)
    return [row for number in range(n) for row in order.batch(number).tolist()]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_CELLS", 7)
    monkeypatch.setattr(module, "GROUP_CHUNKS", 3)


@settings(deadline=None, max_examples=60)
@given(n_cells=st.integers(1, 200), batch_size=st.integers(1, 90), seed=st.integers(0, 9))
def test_an_epoch_holds_every_row_once_and_any_batch_can_be_had_alone(
    n_cells: int, batch_size: int, seed: int
) -> None:
    order = EpochOrder(n_cells, batch_size, seed=seed, epoch=0)
    rows = all_rows(order)
    assert sorted(rows) == list(range(n_cells))
    last = order.n_batches(drop_last=False) - 1
    anew = EpochOrder(n_cells, batch_size, seed=seed, epoch=0)
    assert anew.batch(last).tolist() == rows[last * batch_size :]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = [all_rows(EpochOrder(100, 10, seed=s, epoch=e)) for s, e in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert orders[0] == orders[3]
    assert len({tuple(order) for order in orders}) == 3


def test_without_shuffling_rows_stand_as_they_are() -> None:
    assert all_rows(EpochOrder(40, 6, seed=0, epoch=0, is_shuffled=False)) == list(range(40))


@settings(deadline=None, max_examples=60)
@given(
    n_cells=st.integers(1, 200),
    batch_size=st.integers(1, 40),
    n_ranks=st.integers(1, 5),
    drop_last=st.booleans(),
)
def test_ranks_have_as_many_batches_each_and_no_row_twice(
    n_cells: int, batch_size: int, n_ranks: int, drop_last: bool
) -> None:
    order = EpochOrder(n_cells, batch_size, seed=0, epoch=0)
    n = order.n_batches(n_ranks=n_ranks, drop_last=drop_last)
    rows = [r for rank in range(n_ranks) for k in range(n) for r in order.batch(rank + k * n_ranks).tolist()]
    assert len(set(rows)) == len(rows)
    assert n_cells - len(rows) < n_ranks * batch_size + batch_size
    if drop_last:
        assert len(rows) == n * n_ranks * batch_size


@settings(deadline=None, max_examples=60)
@given(weights=st.lists(st.floats(0, 100), min_size=1, max_size=50), seed=st.integers(0, 99))
def test_rows_stand_as_often_as_their_weights_say(weights: list[float], seed: int) -> None:
    wide = np.array([*weights, 1.0])
    times = weighted_times(wide, seed=seed, epoch=3)
    expected = wide / wide.sum() * wide.size
    assert times.sum() == wide.size
    assert (np.abs(times - expected) < 1 + 1e-9).all()


def test_the_mean_over_epochs_is_the_weight() -> None:
    weights = np.array([0.2, 0.5, 1.3, 2.0])
    mean = np.mean([weighted_times(weights, seed=0, epoch=epoch) for epoch in range(3_000)], axis=0)
    np.testing.assert_allclose(mean, weights, atol=0.04)


def test_rows_that_are_drawn_twice_stand_twice_in_the_epoch() -> None:
    times = np.array([0, 3, 1, 0, 2] * 8)
    order = EpochOrder(40, 7, seed=0, epoch=0, times=times)
    np.testing.assert_array_equal(np.bincount(all_rows(order), minlength=40), times)
