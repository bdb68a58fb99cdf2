"""coverage: the distance from a cell to the nearest chosen one."""

import numpy as np
import pytest

from curate.build import coverage
from curate.build.coverage import coverage_distance


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
