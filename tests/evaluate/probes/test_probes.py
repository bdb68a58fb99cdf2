"""Probes: on points that lie as the labels say, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import EvaluationError
from curate.evaluate.probes import PROBES
from curate.evaluate.probes.probes import knn
from curate.evaluate.probes.split import split_cells


@pytest.mark.parametrize("name", ["knn", "centroid", "logistic"])
def test_points_apart_are_told_apart(name: str) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c"], 30)
    points = rng.normal(size=(90, 4)) + 10 * np.repeat(np.eye(3, 4), 30, axis=0)
    guess = PROBES[name](points[::2], labels[::2], points[1::2])
    assert guess.labels.tolist() == labels[1::2].tolist()
    assert guess.confidence is None or (guess.confidence > 0.8).all()


def test_the_majority_takes_the_most_frequent_label() -> None:
    guess = PROBES["majority"](np.zeros((3, 1)), np.array(["a", "b", "b"]), np.zeros((2, 1)))
    assert guess.labels.tolist() == ["b", "b"]
    assert guess.confidence == pytest.approx(2 / 3)


def test_neighbours_vote() -> None:
    points = np.array([[0.0], [1], [2], [10], [11]])
    guess = knn(points, np.array(["a", "b", "b", "a", "a"]), np.array([[0.4]]), n_neighbors=3)
    assert guess.labels.tolist() == ["b"]
    assert guess.confidence == pytest.approx(2 / 3)


def test_fewer_cells_than_neighbours_are_refused() -> None:
    with pytest.raises(EvaluationError, match="4 labelled cells for 5 neighbours"):
        knn(np.zeros((4, 1)), np.array(list("aabb")), np.zeros((1, 1)))


@pytest.mark.parametrize("name", ["centroid", "logistic"])
def test_one_class_is_refused(name: str) -> None:
    with pytest.raises(EvaluationError, match=r"one class only \(a\)"):
        PROBES[name](np.zeros((4, 1)), np.array(list("aaaa")), np.zeros((1, 1)))


def test_cells_are_cut_80_to_20_within_every_label() -> None:
    labels = np.array(["a"] * 50 + ["b"] * 30 + ["unknown"] * 7 + ["c"])
    split = split_cells(labels, seed=0)
    assert (split.n_unknown, split.too_few) == (7, ("c",))
    assert sorted([*split.train, *split.test]) == list(range(80))
    assert np.unique(labels[split.test], return_counts=True)[1].tolist() == [10, 6]
    assert split_cells(labels, seed=0).test.tolist() == split.test.tolist()
    assert split_cells(labels, seed=1).test.tolist() != split.test.tolist()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a"] * 9 + ["b"], r"1 label with two cells or more among 10 cells"),
        (["unknown"] * 9, r"0 labels with two cells"),
        (["a", "a", "b", "b"], r"0.2 of 4 cells leaves 1 to test on, of 2 labels"),
    ],
)
def test_cells_that_cannot_be_cut_are_refused(labels: list[str], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        split_cells(np.array(labels), seed=0)
