from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from curate.build.strategies.density_search import N_NEAR, References, kth_distances

if TYPE_CHECKING:
    from numpy.typing import NDArray


def points(n_cells: int = 6_000, n_dims: int = 12, *, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    centers = 4 * rng.normal(size=(20, n_dims))
    spread = rng.uniform(0.3, 1.5, size=20)
    own = rng.integers(20, size=n_cells)
    cells = centers[own] + spread[own, None] * rng.normal(size=(n_cells, n_dims))
    return (cells * np.arange(1, n_dims + 1) ** -0.5).astype(np.float32)


def by_sklearn(embedding: NDArray[np.float32], rows: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """The k-th nearest reference by brute force; a reference does not find itself."""
    search = NearestNeighbors(algorithm="brute").fit(embedding[rows].astype(np.float64))
    distances, found = search.kneighbors(embedding.astype(np.float64), k + 1)
    itself = rows[found] == np.arange(len(embedding))[:, None]
    distances[itself] = np.inf
    return np.asarray(np.sort(distances, axis=1)[:, k - 1])


@pytest.mark.parametrize("n_references", [2, 16, 64, 65, 700, 4_000])
def test_where_all_leaves_may_be_searched_distances_are_exact(n_references: int) -> None:
    embedding = points()
    rows = np.random.default_rng(1).permutation(6_000)[:n_references]
    k = min(15, n_references - 1)
    references = References.of(embedding[rows], rows)
    assert references.centers.shape[1] <= N_NEAR
    found = kth_distances(embedding, references, k, n_searched=N_NEAR)
    np.testing.assert_allclose(found, by_sklearn(embedding, rows, k), rtol=1e-5)


def test_by_default_hardly_a_distance_is_longer_than_the_exact_one() -> None:
    embedding = points(20_000, 30)
    rows = np.random.default_rng(1).permutation(20_000)[:10_000]
    references = References.of(embedding[rows], rows)
    assert references.centers.shape[1] > N_NEAR
    ratio = kth_distances(embedding, references, 15) / by_sklearn(embedding, rows, 15)
    assert ratio.min() > 1 - 1e-5
    assert ratio.mean() < 1.005
    assert np.quantile(ratio, 0.99) < 1.05


def test_all_distances_up_to_the_kth_ascend_and_end_with_it() -> None:
    embedding, rows = points(500), np.arange(500)
    references = References.of(embedding, rows)
    squared = references.squared_distances(embedding, rows, 5, n_kept=5)
    assert (np.diff(squared, axis=1) >= 0).all()
    np.testing.assert_allclose(np.sqrt(squared[:, 0]), by_sklearn(embedding, rows, 1), rtol=1e-5)
    np.testing.assert_array_equal(np.sqrt(squared[:, 4]), kth_distances(embedding, references, 5))


def test_three_cells_on_a_line_find_what_one_finds_by_hand() -> None:
    line = np.array([[0.0], [1.0], [5.0]], dtype=np.float32)
    references = References.of(line[[2, 0, 1]], np.array([2, 0, 1]))
    np.testing.assert_array_equal(kth_distances(line, references, 1), [1, 1, 4])
    np.testing.assert_array_equal(kth_distances(line, references, 2), [5, 4, 5])


def test_a_copy_of_a_cell_is_found_and_the_cell_itself_is_not() -> None:
    copied = np.vstack([points(300), points(300)[:1], points(300)[:1]])
    references = References.of(copied, np.arange(302))
    assert (kth_distances(copied, references, 2)[[0, 300, 301]] == 0).all()
    assert (kth_distances(copied, references, 3)[[0, 300, 301]] > 0).all()


def test_blocks_and_threads_change_nothing() -> None:
    embedding = points()
    rows = np.random.default_rng(1).permutation(6_000)[:5_000]
    references = References.of(embedding[rows], rows)
    whole = kth_distances(embedding, references, 15, block_cells=10_000, n_threads=1)
    for block_cells, n_threads in ((10_000, 4), (331, 1), (331, 3)):
        parts = kth_distances(embedding, references, 15, block_cells=block_cells, n_threads=n_threads)
        np.testing.assert_array_equal(parts, whole)


def test_fewer_references_than_neighbours_leave_the_distance_open() -> None:
    references = References.of(points(4), np.arange(4))
    assert np.isinf(kth_distances(points(4), references, 4)).all()
