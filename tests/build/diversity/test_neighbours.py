"""Nearest cells: beside all distances written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.build.diversity import neighbours
from curate.build.diversity.neighbours import NONE, nearest_cells
from curate.errors import EmbeddingError


def all_distances(
    values: NDArray[np.float32], rows: NDArray[np.int64], probes: NDArray[np.int64]
) -> NDArray[np.float64]:
    difference = values[probes, None].astype(np.float64) - values[None, rows]
    return np.asarray(np.sqrt((difference**2).sum(axis=2)))


@pytest.fixture
def values() -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(8, 6)) * 10
    return (centres[rng.integers(0, 8, 900)] + rng.normal(size=(900, 6))).astype(np.float32)


@pytest.mark.parametrize("chunk", [5, 64, 2000])
def test_it_agrees_with_all_distances_written_out(
    values: NDArray[np.float32], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "CHUNK_CELLS", chunk)
    monkeypatch.setattr(neighbours, "LEAF_CELLS", 4)
    rows, probes = np.arange(0, 900, 3), np.arange(1, 900, 7)
    nearest, distance = nearest_cells(values, rows, probes)
    expected = all_distances(values, rows, probes)
    np.testing.assert_allclose(distance, expected.min(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(nearest, rows[expected.argmin(axis=1)])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 200),
    d=st.integers(1, 5),
    levels=st.sampled_from([2, 5, 1000]),
)
def test_ties_and_copies_do_not_lead_astray(seed: int, n: int, d: int, levels: int) -> None:
    values = np.random.default_rng(seed).integers(0, levels, size=(n, d)).astype(np.float32)
    everything = np.arange(n)
    rows = everything[::2]
    distance = nearest_cells(values, rows, everything)[1]
    np.testing.assert_allclose(distance, all_distances(values, rows, everything).min(axis=1), rtol=1e-6)


def test_chosen_cells_are_at_no_distance_from_themselves(values: NDArray[np.float32]) -> None:
    far = values * 1e4 + 1e5
    rows = np.arange(0, 900, 2)
    nearest, distance = nearest_cells(far, rows, rows)
    assert (distance == 0).all()
    np.testing.assert_array_equal(nearest, rows)


def test_a_cell_can_be_kept_from_finding_itself(values: NDArray[np.float32]) -> None:
    rows = np.arange(0, 900, 2)
    nearest, distance = nearest_cells(values, rows, rows, other_than_self=True)
    expected = all_distances(values, rows, rows)
    np.fill_diagonal(expected, np.inf)
    assert (nearest != rows).all()
    np.testing.assert_allclose(distance, expected.min(axis=1), rtol=1e-6)


def test_a_copy_of_a_cell_is_another_cell() -> None:
    values = np.array([[0, 0], [0, 0], [3, 4]], dtype=np.float32)
    nearest, distance = nearest_cells(values, np.arange(3), np.arange(3), other_than_self=True)
    np.testing.assert_array_equal(nearest[:2], [1, 0])
    np.testing.assert_allclose(distance, [0, 0, 5])


def test_where_there_is_no_cell_none_is_found(values: NDArray[np.float32]) -> None:
    nearest, distance = nearest_cells(values, np.array([3]), np.array([3, 4]), other_than_self=True)
    assert nearest.tolist() == [NONE, 3]
    assert distance[0] == np.inf
    assert nearest_cells(values, np.empty(0, np.int64), np.array([3]))[0].tolist() == [NONE]


def test_threads_and_chunks_change_nothing(
    values: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "PROBES_AT_ONCE", 10)
    rows, probes = np.arange(0, 900, 2), np.arange(900)
    nearest, distance = nearest_cells(values, rows, probes, n_threads=1)
    for n_threads, chunk in [(4, 2**20), (2, 37)]:
        monkeypatch.setattr(neighbours, "CHUNK_CELLS", chunk)
        again = nearest_cells(values, rows, probes, n_threads=n_threads)
        np.testing.assert_array_equal(again[0], nearest)
        np.testing.assert_array_equal(again[1], distance)


def test_progress_is_told_in_cells(values: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "CHUNK_CELLS", 400)
    told: list[int] = []
    nearest_cells(values, np.arange(900), np.array([0]), advance=told.append)
    assert told == [400, 400, 100]


@pytest.mark.parametrize(("at", "what"), [(0, "1 of 450 cells"), (1, "1 of 2 cells to look from")])
def test_a_vector_that_is_not_finite_is_refused(values: NDArray[np.float32], at: int, what: str) -> None:
    values[at, 3] = np.nan
    with pytest.raises(EmbeddingError, match=f"{what} have a value that is not finite"):
        nearest_cells(values, np.arange(0, 900, 2), np.array([1, 5]))
