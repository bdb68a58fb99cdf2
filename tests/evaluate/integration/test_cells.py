from __future__ import annotations

import re

import numpy as np
import pytest

from curate.errors import EvaluationError
from curate.evaluate.integration.cells import choose_cells
from curate.evaluate.integration.controls import shuffled_within

LABELS = np.array(["T cell", "B cell"] * 20)
BATCHES = np.array(["p1"] * 20 + ["p2"] * 20)


def test_labels_and_batches_become_numbers() -> None:
    cells = choose_cells(LABELS, BATCHES, seed=0, n_neighbors=10)
    assert cells.label_names == ("B cell", "T cell")
    assert cells.labels[:3].tolist() == [1, 0, 1]
    assert cells.batches.tolist() == [0] * 20 + [1] * 20
    assert cells.notes == ()


def test_cells_without_label_or_batch_are_left_out_with_a_notice() -> None:
    labels, batches = LABELS.copy(), BATCHES.copy()
    labels[3] = "NA"
    batches[7] = "nan"
    cells = choose_cells(labels, batches, seed=0, n_neighbors=10, label_column="type")
    assert cells.n_cells == 38
    assert not {3, 7} & {*cells.rows.tolist()}
    assert cells.notes == ("2 cells without type or batch left out",)


def test_a_batch_with_one_cell_is_left_out_with_a_notice() -> None:
    batches = BATCHES.astype("<U9")
    batches[0] = "p9"
    cells = choose_cells(LABELS, batches, seed=0, n_neighbors=10)
    assert cells.batch_names == ("p1", "p2")
    assert cells.notes == ("1 value of batch with one cell left out (p9)",)


def test_what_has_one_cell_after_another_was_left_out_is_left_out_too() -> None:
    labels = LABELS.astype("<U9")
    batches = BATCHES.astype("<U9")
    # The two cells of label "rare" are one in p1 and one alone in p9.
    labels[[0, 1]] = "rare"
    batches[1] = "p9"
    cells = choose_cells(labels, batches, seed=0, n_neighbors=10)
    assert cells.label_names == ("B cell", "T cell")
    assert cells.n_cells == 38


def test_cells_drawn_are_nested_and_follow_the_seed() -> None:
    labels, batches = np.tile(LABELS, 10), np.tile(BATCHES, 10)
    few, many = (choose_cells(labels, batches, seed=3, max_cells=n, n_neighbors=10) for n in (50, 200))
    assert few.n_cells == 50
    assert {*few.rows.tolist()} < {*many.rows.tolist()}
    assert few.notes == ("50 of 400 cells drawn at random, seed 3",)
    other = choose_cells(labels, batches, seed=4, max_cells=50, n_neighbors=10)
    assert other.rows.tolist() != few.rows.tolist()


@pytest.mark.parametrize(
    ("labels", "batches", "n_neighbors", "message"),
    [
        (LABELS, np.full(40, "p1"), 10, "one batch only (p1) in batch among 40 cells"),
        (np.full(40, "T cell"), BATCHES, 10, "one label only (T cell) in label among 40 cells"),
        (np.full(40, "unknown"), BATCHES, 10, "no batch of two cells in batch among 0 cells"),
        (LABELS, BATCHES, 40, "40 cells for 40 neighbours; set n_neighbors to at most 39"),
    ],
)
def test_what_cannot_be_integrated_is_refused(
    labels: np.ndarray, batches: np.ndarray, n_neighbors: int, message: str
) -> None:
    with pytest.raises(EvaluationError, match=re.escape(message)):
        choose_cells(labels, batches, seed=0, n_neighbors=n_neighbors)


def test_rows_are_shuffled_within_their_groups_alone() -> None:
    groups = np.array([0, 1, 0, 2, 1, 0, 1])
    vectors = np.arange(7.0)[:, None]
    found = shuffled_within(vectors, groups, rng=np.random.default_rng(1))
    for group in range(3):
        assert sorted(found[groups == group, 0]) == sorted(vectors[groups == group, 0])
    orders = {
        tuple(shuffled_within(vectors, groups, rng=np.random.default_rng(seed))[:, 0]) for seed in range(300)
    }
    # All 3! orders of each of two groups.
    assert len(orders) == 36
