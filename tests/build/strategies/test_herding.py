from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.build.strategies import herding_stream
from curate.build.strategies.herding import herding, parse_bandwidth, parse_features
from curate.build.strategies.herding_features import FourierFeatures
from curate.build.strategies.herding_stream import herd_stream
from curate.errors import SelectionError
from curate.threads import mapped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.build.selection import Selection


def points(n_cells: int = 600, d: int = 4, *, seed: int = 5) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    centres = 4 * rng.normal(size=(7, d))
    values = (centres[rng.integers(0, 7, n_cells)] + rng.normal(size=(n_cells, d))).astype(np.float32)
    values.flags.writeable = False
    return values


def keys_of(n_cells: int, seed: int = 1) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(0, 2**64, n_cells, dtype=np.uint64)


def a_map(d: int, *, n_frequencies: int = 48, bandwidth: float = 3.0) -> FourierFeatures:
    return FourierFeatures.draw(
        n_frequencies, bandwidth, np.zeros(d, dtype=np.float32), rng=np.random.default_rng(0)
    )


def chosen(embedding: NDArray[np.float32] | None, n: int, *, seed: int = 1, **parameters: Any) -> Selection:
    n_cells = 600 if embedding is None else embedding.shape[0]
    rng = np.random.default_rng(seed)
    return herding(pl.DataFrame(), embedding, n, keys=keys_of(n_cells, seed), rng=rng, **parameters)


def by_definition(
    values: NDArray[np.float32], keys: NDArray[np.uint64], n: int, features: FourierFeatures
) -> NDArray[np.int64]:
    """Return the choice of a plain loop: of each group the cell nearest in features to what is owed."""
    order = np.lexsort((np.arange(keys.size), keys))
    phi = features.of(values, order).astype(np.float64)
    rows, sum_of_chosen = [], np.zeros(phi.shape[1])
    for group in range(n):
        start, end = group * keys.size // n, (group + 1) * keys.size // n
        owed = n / keys.size * phi[:end].sum(axis=0) - sum_of_chosen
        best = start + int(((phi[start:end] - owed) ** 2).sum(axis=1).argmin())
        sum_of_chosen += phi[best]
        rows.append(order[best])
    return np.sort(np.array(rows))


def mmd2(values: NDArray[np.float32], rows: NDArray[np.int64], bandwidth: float) -> float:
    """Return the squared discrepancy of some cells from all, by the kernel itself."""
    wide = values.astype(np.float64)
    squared = ((wide[:, None] - wide[None]) ** 2).sum(axis=2)
    widths = bandwidth * np.array([2, 1, 0.5])
    kernel = np.mean([np.exp(-squared / (2 * width**2)) for width in widths], axis=0)
    return float(kernel[np.ix_(rows, rows)].mean() - 2 * kernel[rows].mean() + kernel.mean())


@pytest.mark.parametrize("n", [1, 2, 7, 61, 300])
def test_every_choice_is_that_of_a_plain_loop(n: int) -> None:
    values, keys = points(), keys_of(600)
    np.testing.assert_array_equal(
        herd_stream(values, keys, n, a_map(4)), by_definition(values, keys, n, a_map(4))
    )


@settings(deadline=None, max_examples=40)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), n_cells=st.integers(1, 90))
def test_one_cell_of_each_group_is_chosen(data: st.DataObject, seed: int, n_cells: int) -> None:
    n = data.draw(st.integers(1, n_cells))
    keys = np.random.default_rng(seed).integers(0, 40, n_cells, dtype=np.uint64)
    values = np.round(points(n_cells, seed=seed)).astype(np.float32)
    rows = herd_stream(values, keys, n, a_map(4, n_frequencies=16))
    place = np.empty(n_cells, dtype=np.int64)
    place[np.argsort(keys, kind="stable")] = np.arange(n_cells)
    ends = n_cells * np.arange(1, n + 1) // n
    np.testing.assert_array_equal(np.sort(np.searchsorted(ends, place[rows], side="right")), np.arange(n))


def test_threads_and_what_is_read_at_once_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values, keys = points(20_000), keys_of(20_000)
    expected = herd_stream(values, keys, 130, a_map(4))
    for cells_at_once, n_threads in ((1, 1), (9_000, 5)):
        monkeypatch.setattr(herding_stream, "CELLS_AT_ONCE", cells_at_once)
        monkeypatch.setattr(herding_stream, "mapped", partial(mapped, n_threads=n_threads))
        np.testing.assert_array_equal(herd_stream(values, keys, 130, a_map(4)), expected)


def test_of_large_groups_the_first_cells_are_candidates_and_all_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values, keys = points(), keys_of(600)
    monkeypatch.setattr(herding_stream, "MOST_CANDIDATES", 40)
    order = np.argsort(keys)
    phi = a_map(4).of(values, order).astype(np.float64)
    expected, sum_of_chosen = [], np.zeros(96)
    for start in (0, 200, 400):
        owed = 3 / 600 * phi[: start + 200].sum(axis=0) - sum_of_chosen
        best = start + int((phi[start : start + 40] @ owed).argmax())
        sum_of_chosen += phi[best]
        expected.append(order[best])
    np.testing.assert_array_equal(herd_stream(values, keys, 3, a_map(4)), np.sort(expected))
    np.testing.assert_array_equal(
        herd_stream(values, keys, 61, a_map(4)), by_definition(values, keys, 61, a_map(4))
    )


def test_of_equal_cells_the_one_of_the_smallest_key_is_chosen() -> None:
    values = np.zeros((6, 2), dtype=np.float32)
    keys = np.array([7, 3, 9, 3, 1, 8], dtype=np.uint64)
    # By key: 4, 1, 3, 0, 5, 2; in two groups.
    np.testing.assert_array_equal(herd_stream(values, keys, 2, a_map(2)), [0, 4])


@pytest.mark.parametrize("n", [30, 200, 450])
def test_the_discrepancy_is_far_below_that_of_random_cells(n: int) -> None:
    values, told = points(900), []
    found, of_random = [], []
    for seed in range(5):
        selection = chosen(values, n, seed=seed)
        bandwidth = float(selection.notes["bandwidth"])
        random = np.argsort(keys_of(900, seed))[:n]
        found.append(mmd2(values, selection.rows, bandwidth))
        of_random.append(mmd2(values, random, bandwidth))
        told.append([float(selection.notes[name]) for name in ("mmd2", "mmd2_of_random")])
    # The notes measure with as many features as make them right to a third or so.
    np.testing.assert_allclose(np.mean(told, axis=0), [np.mean(found), np.mean(of_random)], rtol=0.35)
    assert np.mean(found) < 0.15 * np.mean(of_random)


def test_means_of_coordinates_and_squares_are_kept() -> None:
    values = points(3_000)
    rows, random = chosen(values, 100).rows, np.argsort(keys_of(3_000))[:100]
    for power in (1, 2):
        moments = values.astype(np.float64) ** power
        error, of_random = (
            np.abs((moments[each].mean(axis=0) - moments.mean(axis=0)) / moments.std(axis=0)).mean()
            for each in (rows, random)
        )
        assert error < 0.4 * of_random


def test_of_more_than_half_the_cells_those_that_stay_are_herded() -> None:
    values = points()
    rng = np.random.default_rng(1)
    rows = chosen(values, 500, bandwidth=2.0, features=96).rows
    keys = keys_of(600)
    centre = values[np.argsort(keys)[:1000]].mean(axis=0, dtype=np.float64).astype(np.float32)
    features = FourierFeatures.draw(48, 2.0, centre, rng=rng)
    left = by_definition(values, keys, 100, features)
    np.testing.assert_array_equal(rows, np.setdiff1d(np.arange(600), left))


def test_the_order_of_the_cells_does_not_matter() -> None:
    order = np.random.default_rng(2).permutation(600)
    values, keys = points(), keys_of(600)
    there = herding(pl.DataFrame(), values[order], 90, keys=keys[order], rng=np.random.default_rng(1))
    np.testing.assert_array_equal(np.sort(order[there.rows]), chosen(values, 90).rows)


def test_more_features_keep_the_means_better() -> None:
    values = points(1_000, 8)
    few, many = (
        np.mean([mmd2(values, chosen(values, 100, seed=seed, features=n).rows, 6.0) for seed in range(3)])
        for n in (32, 1024)
    )
    assert many < 0.7 * few


def test_settings_are_read_from_texts() -> None:
    assert [parse_bandwidth(text) for text in ("auto", "2.5", 3)] == ["auto", 2.5, 3.0]
    assert parse_features("64") == 64
    for text in ("0", "-1", "wide", "inf", "nan"):
        with pytest.raises(SelectionError, match=f"bandwidth={text} is neither auto nor a number above 0"):
            parse_bandwidth(text)
    for text in ("0", "16", "100", "some"):
        with pytest.raises(SelectionError, match=f"features={text} must be a multiple of 32; 512 is usual"):
            parse_features(text)


def test_values_that_are_not_finite_and_no_embedding_are_refused() -> None:
    embedding = points().copy()
    embedding[17, 2] = np.inf
    with pytest.raises(SelectionError, match="row 17, dimension 2; herding needs finite numbers"):
        chosen(embedding, 5)
    with pytest.raises(SelectionError, match="herding needs an embedding"):
        chosen(None, 5)
    with pytest.raises(SelectionError, match="all 9 cells lie at one point"):
        chosen(np.ones((9, 2), dtype=np.float32), 5)


@pytest.mark.parametrize("n_cells", [1, 2, 3])
def test_a_few_cells_are_enough(n_cells: int) -> None:
    for n in range(1, n_cells + 1):
        assert np.unique(chosen(points(n_cells), n).rows).size == n
