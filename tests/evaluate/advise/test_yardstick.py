"""How a representation is read from its results."""

from __future__ import annotations

import pytest

from curate.errors import EvaluationError
from curate.evaluate.advise.yardstick import Yardstick
from curate.evaluate.results import Score, rows
from curate.evaluate.tasks.classify import ClassifySettings

SCORES = [
    Score("zero-shot", "centroid", "macro_f1", 0.9, 10),
    Score("zero-shot", "knn", "macro_f1", 0.5, 10),
    Score("zero-shot", "knn", "macro_f1", 0.7, 10),
    Score("zero-shot", "knn", "macro_f1", 0.1, 5, "cell_type=NK cell"),
    Score("zero-shot", "knn", "calibration_error", 0.2, 10),
]


def read(metric: str, method: str | None = None) -> tuple[float, float]:
    yardstick = Yardstick("classify", ClassifySettings(), metric, method, (0, 1))
    return yardstick.read(rows(SCORES, {}), "pbmc")


def test_a_score_is_the_mean_of_the_evaluation_seeds_by_nearest_neighbours() -> None:
    assert read("macro_f1") == pytest.approx((0.6, 1))


def test_the_method_may_be_another() -> None:
    assert read("macro_f1", "centroid") == pytest.approx((0.9, 1))


def test_where_lower_is_better_the_sign_is_turned() -> None:
    assert read("calibration_error") == pytest.approx((-0.2, -1))


def test_a_method_that_gives_none_is_told_with_those_that_do() -> None:
    with pytest.raises(EvaluationError, match=r"no macro_f1 of method mlp on pbmc; methods .* centroid, knn"):
        read("macro_f1", "mlp")
