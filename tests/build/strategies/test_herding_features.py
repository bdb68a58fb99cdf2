from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest

from curate.build.strategies import herding_features
from curate.build.strategies.herding_features import FourierFeatures, sample_mean, usual_bandwidth
from curate.errors import SelectionError
from curate.threads import mapped

if TYPE_CHECKING:
    from numpy.typing import NDArray


def points(n: int, d: int, *, seed: int = 0) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).normal(3, 1, size=(n, d)).astype(np.float32)
    values.flags.writeable = False
    return values


def a_map(n_frequencies: int, d: int, *, bandwidth: float = 1.0, seed: int = 0) -> FourierFeatures:
    rng = np.random.default_rng(seed)
    return FourierFeatures.draw(n_frequencies, bandwidth, np.full(d, 3, dtype=np.float32), rng=rng)


@pytest.mark.parametrize("d", [1, 2, 5, 50])
@pytest.mark.parametrize("n_frequencies", [16, 48, 64])
def test_features_are_cosines_and_sines(d: int, n_frequencies: int) -> None:
    values, features = points(30, d), a_map(n_frequencies, d, bandwidth=0.3)
    rows = np.array([3, 29, 0, 3])
    angles = 2 * np.pi * (values[rows].astype(np.float64) - 3) @ features.frequencies.astype(np.float64)
    expected = np.hstack([np.cos(angles), np.sin(angles)]) / np.sqrt(n_frequencies)
    np.testing.assert_allclose(features.of(values, rows), expected, atol=1e-5)


def test_inner_products_are_about_the_kernel() -> None:
    values, features = points(40, 3), a_map(4800, 3, bandwidth=1.7)
    found = features.of(values, np.arange(40)).astype(np.float64)
    squared = ((values[:, None].astype(np.float64) - values[None]) ** 2).sum(axis=2)
    kernel = np.mean([np.exp(-squared / (2 * width**2)) for width in (3.4, 1.7, 0.85)], axis=0)
    np.testing.assert_allclose(found @ found.T, kernel, atol=0.05)
    np.testing.assert_allclose((found**2).sum(axis=1), 1, atol=1e-5)


def test_the_same_values_far_from_the_origin_have_the_same_features() -> None:
    values = np.random.default_rng(1).integers(-8, 8, (20, 4)).astype(np.float32) / 4
    near, far = a_map(32, 4), FourierFeatures(a_map(32, 4).frequencies, np.full(4, 4099, dtype=np.float32))
    at = np.arange(20)
    of_near = near.of((values + 3).astype(np.float32), at)
    np.testing.assert_array_equal(of_near, far.of((values + 4099).astype(np.float32), at))


def test_values_beyond_all_measure_have_features_all_the_same() -> None:
    values = np.array([[1e30], [-1e12]], dtype=np.float32)
    assert (np.abs(a_map(16, 1).of(values, np.arange(2))) < 1).all()


def test_means_do_not_depend_on_threads_and_are_those_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    values, features = points(10_000, 4), a_map(16, 4)
    rows = np.random.default_rng(2).permutation(10_000)[:9_000]
    expected = features.of(values, rows).mean(axis=0, dtype=np.float64)
    found = features.mean(values, rows)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_array_equal(features.mean(values), features.mean(values, np.arange(10_000)))
    monkeypatch.setattr(herding_features, "mapped", partial(mapped, n_threads=5))
    np.testing.assert_array_equal(features.mean(values, rows), found)


def test_the_bandwidth_is_the_median_distance_of_the_smallest_keys() -> None:
    values = np.array([[0], [1], [3], [1000]], dtype=np.float32)
    keys = np.array([1, 2, 3, 4], dtype=np.uint64)
    # Of the distances 1, 2, 3, 997, 999 and 1000 the median is (3 + 997) / 2.
    assert usual_bandwidth(values, keys) == 500
    # Of steps i - j of a thousand values the median is 293 / 999: the others are not sampled.
    many = np.concatenate([np.linspace(0, 1, 1000), np.full(500, 1e6)])[:, None].astype(np.float32)
    assert usual_bandwidth(many, np.arange(1500, dtype=np.uint64)) == 0.293
    assert sample_mean(many, np.arange(1500, dtype=np.uint64)) == pytest.approx(0.5)


def test_cells_of_which_most_are_equal_make_no_bandwidth() -> None:
    values = np.zeros((50, 2), dtype=np.float32)
    values[0] = 1
    with pytest.raises(SelectionError, match=r"median distance between 50 cells is 0.*give one"):
        usual_bandwidth(values, np.arange(50, dtype=np.uint64))
