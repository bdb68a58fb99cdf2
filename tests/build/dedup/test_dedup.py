"""Near-duplicates: of like cells one stays, whatever the order, the threads and the clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.build.dedup import clusters
from curate.build.dedup.dedup import find_near
from curate.errors import SelectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def keys_of(n: int, *, seed: int = 1) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)


def clouds(n: int, *, seed: int = 0, d: int = 8, noise: float = 0.5) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(12, d))
    return (centres[rng.integers(0, 12, n)] + noise * rng.normal(size=(n, d))).astype(np.float32)


def cosines(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = vectors.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide @ wide.T)


def one_by_one(vectors: NDArray[np.float32], keys: NDArray[np.uint64], above: float) -> NDArray[np.bool_]:
    """The definition: in the order of the keys, each against those that stay."""
    similar, kept = cosines(vectors), list[int]()
    for cell in np.argsort(keys):
        if not (similar[cell, kept] > above).any():
            kept.append(int(cell))
    dropped = np.ones(len(vectors), dtype=np.bool_)
    dropped[kept] = False
    return dropped


def at_angles(*degrees: float) -> NDArray[np.float32]:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_of_planted_duplicates_one_stays_and_it_is_the_one_with_the_smallest_key() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(3000), rng.choice([1, 1, 2, 5], 3000))
    centres = rng.normal(size=(3000, 50))
    assert cosines(centres.astype(np.float32))[np.triu_indices(3000, 1)].max() < 0.9
    wide = centres[groups] * rng.uniform(0.5, 4, (groups.size, 1))
    vectors = (wide + 1e-3 * rng.normal(size=wide.shape)).astype(np.float32)
    keys = keys_of(groups.size)
    stay = np.flatnonzero(~find_near(vectors, keys, above=0.95, cluster_cells=200))
    assert sorted(groups[stay].tolist()) == list(range(3000))
    order = np.argsort(keys)
    _, first = np.unique(groups[order], return_index=True)
    # But for groups on the border of two clusters, where it is that of the first.
    assert np.isin(stay, order[first]).mean() > 0.99
    in_one = np.flatnonzero(~find_near(vectors, keys, above=0.95, cluster_cells=groups.size))
    assert in_one.tolist() == sorted(order[first].tolist())


def test_a_cell_is_dropped_above_the_cosine_of_a_cell_that_stays_not_of_one_that_goes() -> None:
    vectors, keys = at_angles(0, 10, 20, 40), np.arange(4, dtype=np.uint64)
    assert find_near(vectors, keys, above=np.cos(np.radians(15))).tolist() == [False, True, False, False]
    assert find_near(vectors, keys, above=np.cos(np.radians(21))).tolist() == [False, True, True, False]
    assert not find_near(vectors, keys, above=np.cos(np.radians(9))).any()
    middle_first = np.array([1, 0, 2, 3], dtype=np.uint64)
    assert find_near(vectors, middle_first, above=np.cos(np.radians(15))).tolist() == [
        True,
        False,
        True,
        False,
    ]


def test_length_does_not_matter_only_direction() -> None:
    vectors = at_angles(0, 1, 180) * np.array([[1e-6], [1e6], [1]], dtype=np.float32)
    assert find_near(vectors, np.arange(3, dtype=np.uint64), above=0.99).tolist() == [False, True, False]


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 400), seed=st.integers(0, 1000), above=st.floats(0.05, 0.999))
def test_in_one_cluster_it_is_the_definition(n: int, seed: int, above: float) -> None:
    vectors, keys = clouds(n, seed=seed), keys_of(n, seed=seed)
    np.testing.assert_array_equal(find_near(vectors, keys, above=above), one_by_one(vectors, keys, above))


@pytest.mark.parametrize(("above", "most"), [(0.9, 0.08), (0.95, 0.02), (0.99, 0.005)])
def test_over_many_clusters_each_dropped_cell_has_one_that_stays_and_hardly_a_pair_is_left(
    above: float, most: float
) -> None:
    vectors, keys = clouds(6000), keys_of(6000)
    dropped = find_near(vectors, keys, above=above, cluster_cells=60)
    similar = cosines(vectors)
    assert 0.02 < dropped.mean() < 0.99
    assert (similar[np.ix_(dropped, ~dropped)].max(axis=1) > above - 1e-6).all()
    np.fill_diagonal(similar, -1)
    left = similar[np.ix_(~dropped, ~dropped)].max(axis=1) > above
    assert left.mean() < most


def test_guests_find_most_of_what_clusters_apart_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    def share_left() -> float:
        dropped = find_near(vectors, keys, above=0.95, cluster_cells=60)
        similar = cosines(vectors[~dropped])
        np.fill_diagonal(similar, -1)
        return float((similar.max(axis=1) > 0.95).mean())

    vectors, keys = clouds(6000), keys_of(6000)
    with_guests = share_left()
    monkeypatch.setattr(clusters, "N_NEAREST", 1)
    assert share_left() > 10 * with_guests
    assert share_left() > 0.1


def test_order_threads_and_memory_maps_change_nothing() -> None:
    vectors, keys = clouds(5000), keys_of(5000)
    expected = find_near(vectors, keys, above=0.95, cluster_cells=100, n_threads=1)
    shuffled = np.random.default_rng(5).permutation(5000)
    again = find_near(vectors[shuffled], keys[shuffled], above=0.95, cluster_cells=100, n_threads=3)
    np.testing.assert_array_equal(again, expected[shuffled])
    among = np.concatenate([np.full((100, 8), np.nan, dtype=np.float32), vectors])
    of_rows = find_near(among, keys, above=0.95, rows=np.arange(100, 5100), cluster_cells=100)
    np.testing.assert_array_equal(of_rows, expected)


def test_equal_cells_leave_one_and_vectors_of_length_0_are_like_each_other_alone() -> None:
    vectors = np.array([[0, 0], [1, 1], [2, 2], [0, 0], [3, 3], [-1, -1]], dtype=np.float32)
    keys = np.array([5, 4, 3, 2, 1, 0], dtype=np.uint64)
    assert find_near(vectors, keys, above=0.99).tolist() == [True, True, True, False, False, False]
    assert find_near(np.ones((500, 3), dtype=np.float32), keys_of(500), above=0.9).sum() == 499
    assert find_near(np.zeros((500, 3), dtype=np.float32), keys_of(500), above=0.9).sum() == 499


def test_one_cell_stays_and_no_cell_is_no_fault() -> None:
    assert find_near(at_angles(3), keys_of(1), above=0.5).tolist() == [False]
    assert find_near(np.empty((0, 4), dtype=np.float32), keys_of(0), above=0.5).size == 0


@pytest.mark.parametrize("above", [1.0, 0.0, -1.0, 2.0, float("nan")])
def test_a_cosine_that_tells_no_near_duplicates_is_refused(above: float) -> None:
    with pytest.raises(SelectionError, match="tells no near-duplicates; give one above 0 and below 1"):
        find_near(at_angles(0, 1), keys_of(2), above=above)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused(value: float) -> None:
    vectors = clouds(50)
    vectors[9, 2] = value
    with pytest.raises(SelectionError, match=r"1 of \d+ vectors looked at hold NaN or infinite values"):
        find_near(vectors, keys_of(50), above=0.9)
