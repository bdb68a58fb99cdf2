"""Classification: by hand, against scikit-learn, and along the ontology."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from curate.errors import EvaluationError
from curate.evaluate.metrics.classification import (
    OVERALL,
    Predictions,
    accuracy,
    by_class,
    calibration_error,
    macro_f1,
)
from curate.ontology import Ontology

T_CELL, CD4, CD8, B_CELL = "CL:0000084", "CL:0000624", "CL:0000625", "CL:0000236"


def test_four_cells_by_hand() -> None:
    held = Predictions.of(["a", "a", "b", "c"], ["a", "b", "b", "b"])
    assert accuracy(held) == 0.5
    # a: precision 1, recall 1/2; b: 1/3 and 1; c: 0.
    assert macro_f1(held) == pytest.approx((2 / 3 + 0.5 + 0) / 3)
    assert by_class(held).rows() == [
        ("a", 1.0, 0.5, pytest.approx(2 / 3), 2),
        ("b", pytest.approx(1 / 3), 1.0, 0.5, 1),
        ("c", 0.0, 0.0, 0.0, 1),
    ]


def test_metrics_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.choice(list("abcd"), 200).tolist(), rng.choice(list("abce"), 200).tolist()
    held = Predictions.of(truth, predicted)
    kwargs = {"average": "macro", "zero_division": 0.0}
    assert {name: metric(held) for name, metric in OVERALL.items()} == pytest.approx(
        {
            "accuracy": float(np.mean(np.array(truth) == np.array(predicted))),
            "macro_f1": f1_score(truth, predicted, **kwargs),
            "micro_f1": f1_score(truth, predicted, average="micro"),
            "macro_precision": precision_score(truth, predicted, **kwargs),
            "macro_recall": recall_score(truth, predicted, labels=list("abcd"), **kwargs),
        }
    )


def test_a_predicted_descendant_is_right_and_an_ancestor_wrong() -> None:
    held = Predictions.of([T_CELL, CD4, CD4, B_CELL], [CD4, T_CELL, CD8, T_CELL])
    assert accuracy(held) == 0
    forgiven = held.forgiving(Ontology.load(), lambda label: label)
    assert [held.classes[k] for k in forgiven.predicted] == [T_CELL, T_CELL, CD8, T_CELL]
    assert accuracy(forgiven) == 0.25


def test_a_label_without_a_term_only_fits_itself() -> None:
    held = Predictions.of([T_CELL, "odd"], ["odd", "odd"])
    forgiven = held.forgiving(Ontology.load(), lambda label: label if label.startswith("CL:") else None)
    assert accuracy(forgiven) == 0.5


def test_calibration_by_hand() -> None:
    confidence = np.array([0.9, 0.9, 0.5, 0.5])
    held = Predictions.of(["a", "a", "b", "b"], ["a", "a", "b", "a"], confidence=confidence)
    # Two at 0.9, both right: gap 0.1; two at 0.5, one right: gap 0.
    assert calibration_error(held) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("confidence", "error"),
    [
        # Bins of 1/15: from 9/15 = 0.6 and from 10/15 = 0.667, where tenths would be one bin.
        ((0.61, 0.69), (0.39 + 0.69) / 2),
        # Both from 0.667 to 0.733, where tenths would be two.
        ((0.68, 0.72), (0.72 - 0.32) / 2),
    ],
)
def test_calibration_is_of_15_bins(confidence: tuple[float, float], error: float) -> None:
    # The first is right, the second wrong.
    held = Predictions.of(["a", "a"], ["a", "b"], confidence=np.array(confidence))
    assert calibration_error(held) == pytest.approx(error)


def test_calibration_without_probabilities_is_refused() -> None:
    with pytest.raises(EvaluationError, match="gives no probabilities"):
        calibration_error(Predictions.of(["a"], ["a"]))


def test_labels_of_different_numbers_of_cells_are_refused() -> None:
    with pytest.raises(EvaluationError, match="2 true and 1 predicted labels"):
        Predictions.of(["a", "b"], ["a"])
