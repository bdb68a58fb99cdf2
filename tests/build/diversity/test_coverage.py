"""coverage: the distance from a cell to the nearest chosen one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from curate.build.diversity import coverage
from curate.build.diversity.coverage import (
    Coverage,
    choose_probes,
    coverage_distance,
    summarise_distances,
    usual_radius,
)
from curate.build.diversity.neighbours import nearest_cells
from curate.errors import EmbeddingError


def test_a_case_computed_by_hand() -> None:
    embedding = np.array([[0, 0], [3, 4], [6, 8], [0, 1]], dtype=np.float32)
    # From each cell to the nearest of the first and the third: 0, 5, 0, 1.
    found = coverage_distance(embedding, np.array([0, 2]), probes=np.arange(4))
    assert found == pytest.approx((0 + 5 + 0 + 1) / 4)


def test_it_agrees_with_all_distances_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "_BLOCK", 7)
    rng = np.random.default_rng(0)
    embedding = rng.normal(size=(200, 5)).astype(np.float32) + 100
    rows, probes = np.sort(rng.choice(200, 40, replace=False)), np.arange(0, 200, 3)
    distances = np.linalg.norm(embedding[probes, None] - embedding[None, rows], axis=2).min(axis=1)
    assert coverage_distance(embedding, rows, probes=probes) == pytest.approx(distances.mean(), abs=1e-4)


def test_chosen_cells_are_at_no_distance() -> None:
    embedding = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32) * 1e3
    assert coverage_distance(embedding, np.arange(50), probes=np.arange(50)) == 0


def test_of_very_many_chosen_cells_some_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "MOST_CHOSEN", 3)
    embedding = np.arange(9, dtype=np.float32)[:, None]
    # Of the nine the first, the middle and the last are looked at.
    assert coverage_distance(embedding, np.arange(9), probes=np.array([2, 4])) == pytest.approx(1.0)


def all_distances(values: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    difference = values[:, None].astype(np.float64) - values[None, rows]
    return np.asarray(np.sqrt((difference**2).sum(axis=2)).min(axis=1))


@pytest.fixture
def values() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32)


def measured(
    values: NDArray[np.float32], rows: NDArray[np.int64], left_out_fraction: float = 0.001
) -> Coverage:
    distance = nearest_cells(values, rows, np.arange(len(values)))[1]
    return summarise_distances(distance, radius=0.7, left_out_fraction=left_out_fraction, is_sample=False)


def test_coverage_of_all_cells_is_what_all_distances_say(values: NDArray[np.float32]) -> None:
    rows = np.arange(0, 400, 9)
    expected, found = all_distances(values, rows), measured(values, rows)
    assert found.covered == (expected <= 0.7).mean()
    assert 0.1 < found.covered < 0.9
    assert found.mean_distance == pytest.approx(expected.mean())
    assert found.covered_interval == (found.covered, found.covered)


@pytest.mark.parametrize(("left_out", "n_left_out"), [(0.0, 0), (0.0024, 0), (0.0025, 1), (0.05, 20)])
def test_partial_hausdorff_leaves_out_the_farthest(
    values: NDArray[np.float32], left_out: float, n_left_out: int
) -> None:
    rows = np.arange(0, 400, 9)
    expected = np.sort(all_distances(values, rows))[::-1][n_left_out]
    assert measured(values, rows, left_out_fraction=left_out).hausdorff == pytest.approx(expected)


def test_more_cells_never_cover_less(values: NDArray[np.float32]) -> None:
    order = np.random.default_rng(1).permutation(400)
    steps = [measured(values, np.sort(order[:n])) for n in (1, 5, 20, 60, 150, 400)]
    covered = [step.covered for step in steps]
    assert covered == sorted(covered)
    assert covered[0] < covered[-1] == 1
    for name in ("mean_distance", "hausdorff"):
        distances = [getattr(step, name) for step in steps]
        assert distances == sorted(distances, reverse=True)
        assert distances[-1] == 0


def test_intervals_hold_the_value_of_all_cells_nineteen_times_in_twenty(values: NDArray[np.float32]) -> None:
    distance = all_distances(values, np.arange(0, 400, 9))
    rng = np.random.default_rng(2)
    whole = summarise_distances(distance, radius=0.7, left_out_fraction=0.05, is_sample=False)
    held = []
    for _ in range(300):
        sample = distance[rng.integers(0, 400, 150)]
        part = summarise_distances(sample, radius=0.7, left_out_fraction=0.05)
        pairs = [
            (part.covered_interval, whole.covered),
            (part.mean_distance_interval, whole.mean_distance),
            (part.hausdorff_interval, whole.hausdorff),
        ]
        held.append([low <= value <= high for (low, high), value in pairs])
    assert (np.mean(held, axis=0) > 0.91).all()
    assert (np.mean(held, axis=0)[:2] < 0.99).all()


def test_probes_nest_and_do_not_depend_on_the_order_of_cells() -> None:
    identity = np.random.default_rng(0).integers(0, 2**63, 1000).astype(np.uint64)
    few, many = choose_probes(identity, 50), choose_probes(identity, 200)
    assert (few.size, many.size) == (50, 200)
    assert set(few.tolist()) <= set(many.tolist())
    shuffled = np.random.default_rng(1).permutation(1000)
    assert set(identity[shuffled][choose_probes(identity[shuffled], 50)].tolist()) == set(
        identity[few].tolist()
    )
    assert choose_probes(identity, None).tolist() == list(range(1000))
    assert choose_probes(identity, 1000).size == 1000


def test_the_usual_radius_is_the_median_distance_between_neighbours() -> None:
    values = np.array([[0], [1], [3], [7], [100]], dtype=np.float32)
    # From each to the nearest other: 1, 1, 2, 4, 93.
    assert usual_radius(values, np.arange(5)) == 2


def test_copies_make_no_radius() -> None:
    with pytest.raises(
        EmbeddingError, match="among 4 cells is 0, which makes no radius; give one with --radius"
    ):
        usual_radius(np.zeros((4, 2), dtype=np.float32), np.arange(4))
    with pytest.raises(EmbeddingError, match="among 1 cells is inf"):
        usual_radius(np.zeros((4, 2), dtype=np.float32), np.arange(1))
