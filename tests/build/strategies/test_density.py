from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from curate.build.strategies import density_distances, density_search
from curate.build.strategies.density import DENSITY, density, prepare
from curate.build.strategies.density_distances import (
    find_distances,
    intrinsic_dimension,
    reference_rows,
)
from curate.build.strategies.density_search import References
from curate.errors import SelectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.build.selection import Selection

N_CELLS = 2_000


def points(n_cells: int = N_CELLS) -> NDArray[np.float32]:
    rng = np.random.default_rng(5)
    spread = np.where(np.arange(n_cells) % 10 > 0, 0.3, 2.0)
    return (rng.normal(size=(n_cells, 3)) * spread[:, None] + 5).astype(np.float32)


def keys(n_cells: int = N_CELLS, seed: int = 0) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(0, 2**64, n_cells, dtype=np.uint64)


def chosen(
    embedding: NDArray[np.float32] | None,
    n: int = 100,
    *,
    own: NDArray[np.uint64] | None = None,
    **parameters: Any,
) -> Selection:
    n_cells = N_CELLS if embedding is None else embedding.shape[0]
    own = keys(n_cells) if own is None else own
    return density(pl.DataFrame(), embedding, n, keys=own, rng=np.random.default_rng(0), **parameters)


def two_clusters(n_dims: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Two clouds of one shape far from each other, one of a tenth of the cells of the other."""
    rng = np.random.default_rng(1)
    is_rare = np.arange(22_000) >= 20_000
    embedding = rng.uniform(size=(22_000, n_dims)) + 50 * is_rare[:, None]
    return embedding.astype(np.float32), is_rare


@pytest.mark.parametrize(("references", "n_dims"), [(22_000, 2), (5_000, 2), (22_000, 6)])
def test_a_cluster_ten_times_as_rare_is_taken_ten_times_as_often(references: int, n_dims: int) -> None:
    embedding, is_rare = two_clusters(n_dims)
    for power, times in ((1.0, 10), (0.5, 10**0.5), (0.0, 1)):
        rows = chosen(embedding, 1_000, power=power, references=references).rows
        rate = is_rare[rows].sum() / 2_000 / ((~is_rare[rows]).sum() / 20_000)
        assert rate == pytest.approx(times, rel=0.25)


def test_by_power_one_a_cloud_becomes_even() -> None:
    rng = np.random.default_rng(7)
    # On the unit interval with a density of 2 x.
    embedding = np.sqrt(rng.uniform(size=(20_000, 1))).astype(np.float32)
    rows = chosen(embedding, 2_000, power=1, outliers=0.001, references=20_000).rows
    counts, _ = np.histogram(embedding[rows, 0], bins=np.linspace(0.1, 1, 7))
    assert counts.max() / counts.min() < 1.35


def test_distances_rank_cells_by_their_known_density() -> None:
    rng = np.random.default_rng(2)
    centers, shares = np.array([[0, 0, 0], [8, 0, 0], [0, 9, 0]]), np.array([0.7, 0.25, 0.05])
    own = rng.choice(3, p=shares, size=30_000)
    embedding = (centers[own] + rng.normal(size=(30_000, 3))).astype(np.float32)
    squared = ((embedding[:, None] - centers) ** 2).sum(axis=2)
    truth = (shares * np.exp(-squared / 2)).sum(axis=1)
    for n_references, least in ((30_000, 0.95), (3_000, 0.95), (300, 0.8)):
        found = find_distances(embedding, reference_rows(keys(30_000), n_references), 15)
        assert spearmanr(-found.values, truth)[0] > least


@pytest.mark.parametrize("power", [0.3, 1.0])
def test_weighted_means_of_the_chosen_are_those_of_all(power: float) -> None:
    embedding, means = points(), []
    for seed in range(200):
        own = keys(seed=seed)
        selection = chosen(embedding, 400, own=own, power=power, outliers=0.05)
        assert selection.weights is not None
        means.append((selection.weights[:, None] * embedding[selection.rows]).sum(axis=0) / N_CELLS)
    error = np.std(means, axis=0) / np.sqrt(len(means))
    assert (np.abs(np.mean(means, axis=0) - embedding.mean(axis=0)) < 4 * error).all()


def test_outliers_come_no_more_often_than_the_sparsest_of_the_others() -> None:
    embedding = points()
    embedding[:20] += 10 * (1 + np.arange(20))[:, None].astype(np.float32)
    times = np.zeros((2, N_CELLS))
    for seed in range(60):
        for i, outliers in enumerate((0.0, 0.05)):
            rows = chosen(embedding, 60, own=keys(seed=seed), outliers=outliers, power=1, max_ratio=1e9).rows
            times[i, rows] += 1
    assert times[0, :20].mean() > 2 * times[1, :20].mean()
    assert times[1, :20].mean() > 0
    assert chosen(embedding, 60, outliers=0.05).notes["n_outliers"] == 100


@pytest.mark.parametrize("max_ratio", [1.0, 4.0, 1e30])
def test_chances_lie_within_a_factor_of_that_of_the_median_cell(max_ratio: float) -> None:
    embedding = points()
    # The weights of a choice of few cells are inverse to the chances.
    weights = np.concatenate(
        [
            np.asarray(chosen(embedding, 40, own=keys(seed=seed), max_ratio=max_ratio).weights)
            / np.asarray(chosen(embedding, 40, own=keys(seed=seed), max_ratio=1.0).weights)[0]
            for seed in range(5)
        ]
    )
    spread = weights.max() / weights.min()
    if max_ratio == 1:
        assert spread < 1.5
    elif max_ratio == 4:
        assert 8 < spread < 24
    else:
        assert spread > 100


def test_a_noisy_data_set_does_not_crowd_out_the_others() -> None:
    rng = np.random.default_rng(1)
    is_noisy = np.arange(5_000) < 500
    spread = np.where(is_noisy, 4.0, 1.0)[:, None]
    embedding = (rng.normal(size=(5_000, 20)) * spread + 30 * is_noisy[:, None]).astype(np.float32)
    shares = [is_noisy[chosen(embedding, 250, max_ratio=each).rows].mean() for each in (30, 1e30)]
    assert shares[0] < 0.85
    assert shares[1] > 0.97


def test_outliers_that_are_dropped_are_never_chosen() -> None:
    embedding = points()
    embedding[:20] += 100
    embedding[:20] *= np.arange(1, 21, dtype=np.float32)[:, None]
    rows = chosen(embedding, 1_980, outliers=0.01, drop_outliers=True).rows
    np.testing.assert_array_equal(rows, np.arange(20, N_CELLS))
    for n in (1_981, N_CELLS):
        with pytest.raises(SelectionError, match=r"only 1,980 of 2,000 have a weight above 0"):
            chosen(embedding, n, outliers=0.01, drop_outliers=True)


def test_cells_with_many_copies_are_dense_but_not_without_a_chance() -> None:
    embedding = points()
    embedding[:1_000] = embedding[0]
    selection = chosen(embedding, 300)
    assert 0 < (selection.rows < 1_000).mean() < 0.3
    assert chosen(embedding, N_CELLS - 1).rows.size == N_CELLS - 1


def test_where_every_cell_has_copies_enough_there_is_no_density() -> None:
    copies = np.repeat(points(20), 20, axis=0)
    with pytest.raises(SelectionError, match="every cell of 400 has 15 neighbours at its own place"):
        chosen(copies, 10)
    assert chosen(copies, 10, neighbours=25).rows.size == 10


@pytest.mark.parametrize("n_cells", [2, 3, 5, 15, 16])
def test_few_cells_have_fewer_neighbours(n_cells: int) -> None:
    selection = chosen(points(n_cells), n_cells - 1)
    assert selection.rows.size == n_cells - 1
    assert selection.notes["n_neighbours"] == min(15, n_cells - 1)
    assert selection.notes["n_references"] == n_cells


def test_one_cell_is_chosen() -> None:
    np.testing.assert_array_equal(chosen(points(1), 1).rows, [0])


def test_the_order_of_the_cells_does_not_matter() -> None:
    order = np.random.default_rng(2).permutation(N_CELLS)
    for references in (100, 1_500, 5_000):
        there = chosen(points()[order], own=keys()[order], references=references)
        here = chosen(points(), references=references)
        np.testing.assert_array_equal(np.sort(order[there.rows]), here.rows)
        by_row = np.argsort(order[there.rows])
        np.testing.assert_array_equal(np.asarray(there.weights)[by_row], here.weights)


def test_blocks_and_threads_change_nothing() -> None:
    rows = reference_rows(keys(), 1_500)
    whole = find_distances(points(), rows, 15, block_cells=N_CELLS, n_threads=1)
    parts = find_distances(points(), rows, 15, block_cells=77, n_threads=3)
    np.testing.assert_array_equal(parts.values, whole.values)
    assert parts.dimension == whole.dimension


def test_what_is_prepared_changes_nothing_and_is_searched_once_a_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = [(n, seed) for n in (50, 200) for seed in (0, 1)]
    apart = [chosen(points(), n, own=keys(seed=seed)).rows for n, seed in asked]
    searches: list[int] = []

    def counted(*arguments: Any, **others: Any) -> NDArray[np.float32]:
        searches.append(1)
        return kth_distances(*arguments, **others)

    kth_distances = density_search.kth_distances
    monkeypatch.setattr(density_distances, "kth_distances", counted)
    shared = prepare(points(), **DENSITY.resolve({}))
    together = [chosen(points(), n, own=keys(seed=seed), **shared).rows for n, seed in asked]
    for rows, same in zip(apart, together, strict=True):
        np.testing.assert_array_equal(rows, same)
    assert len(searches) == 2


def test_references_are_the_cells_of_the_smallest_keys_in_their_order() -> None:
    own = np.array([5, 3, 9, 3, 1], dtype=np.uint64)
    np.testing.assert_array_equal(reference_rows(own, 3), [4, 1, 3])
    np.testing.assert_array_equal(reference_rows(own, 70), [4, 1, 3, 0, 2])


@pytest.mark.parametrize("n_dims", [1, 2, 5])
def test_the_intrinsic_dimension_is_that_of_the_plane_the_cells_lie_in(n_dims: int) -> None:
    rng = np.random.default_rng(0)
    turned, _ = np.linalg.qr(rng.normal(size=(20, n_dims)))
    embedding = (rng.uniform(size=(8_000, n_dims)) @ turned.T).astype(np.float32)
    rows = np.arange(8_000)
    squared = References.of(embedding, rows).squared_distances(embedding, rows, 15, n_kept=15)
    assert intrinsic_dimension(squared, 20) == pytest.approx(n_dims, rel=0.12)


def test_the_intrinsic_dimension_is_the_one_computed_by_hand() -> None:
    squared = np.array([[1.0, 16.0], [4.0, 16.0], [0.0, 3.0]], dtype=np.float32)
    # The mean of log(4 / 1) and log(4 / 2); the third row tells nothing.
    assert intrinsic_dimension(squared, 50) == pytest.approx(1.0)
    assert intrinsic_dimension(np.sqrt(np.sqrt(squared)), 50) == pytest.approx(8 / (3 * np.log(2)))
    assert intrinsic_dimension(np.ones((4, 3), dtype=np.float32), 50) == 50
    assert intrinsic_dimension(np.zeros((4, 3), dtype=np.float32), 50) == 1


def test_notes_say_what_was_found() -> None:
    notes = chosen(points(), references=700, neighbours=9).notes
    assert (notes["n_neighbours"], notes["n_references"], notes["n_outliers"]) == (9, 700, 20)
    assert 2 < float(notes["intrinsic_dimension"]) <= 3
    assert 1 < float(notes["effective_size"]) < 100


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("references", [2, 5_000])
def test_values_that_are_not_finite_are_refused(value: float, references: int) -> None:
    embedding = points()
    embedding[40, 2] = value
    with pytest.raises(SelectionError, match=f"holds {value} at row 40, dimension 2"):
        chosen(embedding, references=references)


def test_distances_beyond_float32_are_refused() -> None:
    with pytest.raises(SelectionError, match="beyond float32; divide it by a number"):
        chosen(points() * np.float32(1e30))


def test_cells_at_one_point_are_refused() -> None:
    with pytest.raises(SelectionError, match="the embedding tells no density"):
        chosen(np.full((90, 3), 0.1, dtype=np.float32), 5)


def test_an_embedding_is_needed_and_of_these_cells() -> None:
    with pytest.raises(SelectionError, match="density needs an embedding"):
        chosen(None)
    with pytest.raises(SelectionError, match=r"shape \(7, 3\) for 9 cells"):
        chosen(points(7), 5, own=keys(9))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("neighbours", 0, "neighbours=0 must be a whole number from 1; 15 is usual"),
        ("references", 1, "references=1 must be a whole number from 2; 65,536 is usual"),
        ("power", -1, "power=-1 must lie between 0 and 10, 0 and 10 included"),
        ("max_ratio", 0.5, "max_ratio=0.5 must lie between 1 and 1e\\+30, 1 and 1e\\+30 included"),
        ("outliers", 1, "outliers=1 must lie between 0 and 1, 0 included"),
        ("drop_outliers", "some", "neither yes nor no"),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: object, message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        DENSITY.resolve({name: value})
