"""Classification: splits, open sets, the ontology, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score

from curate.errors import EvaluationError
from curate.evaluate.metrics.classification import Predictions, hop_distance
from curate.evaluate.probes.probes import Guess
from curate.evaluate.subject import baselines as representations
from curate.evaluate.tasks.classify import (
    ABSENT,
    CLASSIFY,
    KNOWN,
    ClassifySettings,
    baselines,
    evaluate,
    labelled,
    scores,
)
from curate.ontology import Ontology

if TYPE_CHECKING:
    from curate.evaluate.data import EvaluationData
    from curate.evaluate.results import Score


def of(found: list[Score], metric: str, *, method: str = "knn", part: str = "") -> float:
    [value] = [
        each.value for each in found if (each.metric, each.method, each.part) == (metric, method, part)
    ]
    return value


def relabelled(cells: EvaluationData, labels: list[str]) -> EvaluationData:
    other = cells.take(np.arange(cells.n_cells))
    other.obs = other.obs.with_columns(pl.Series("cell_type", labels))
    return other


def test_types_that_lie_apart_are_told_apart(cells: EvaluationData) -> None:
    found = evaluate(representations()[1], cells, ClassifySettings(), seed=0)
    assert of(found, "macro_f1") > 0.9
    assert {each.method for each in found} == {"knn", "centroid", "logistic"}
    assert all(each.n_cells == 24 for each in found if each.part == "" and each.metric == "accuracy")


def test_the_majority_names_all_cells_alike(cells: EvaluationData) -> None:
    labels = ["B cell"] * 80 + ["monocyte"] * 40
    found = baselines(relabelled(cells, labels), ClassifySettings(), seed=0)
    assert of(found, "accuracy", method="majority") == pytest.approx(16 / 24)
    assert of(found, "macro_recall", method="majority") == pytest.approx(0.5)


def test_every_class_has_its_scores(cells: EvaluationData) -> None:
    found = evaluate(representations()[0], cells, ClassifySettings(probes=("knn",)), seed=0)
    parts = {each.part for each in found if each.metric == "recall"}
    assert parts == {"cell_type=B cell", "cell_type=natural killer cell", "cell_type=monocyte"}


def test_types_absent_from_training_are_reported_apart() -> None:
    truth = np.array(["a", "a", "b", "b", "c"])
    guess = Guess(np.array(["a", "b", "b", "a", "b"]), None)
    found = scores(
        guess, truth, ClassifySettings(ontology="no"), method="knn", trained_types=frozenset({"a"})
    )
    assert of(found, "accuracy", part=KNOWN) == 0.5
    assert of(found, "accuracy", part=ABSENT) == pytest.approx(1 / 3)
    # A type that is only guessed has no cells here, and no recall.
    assert of(found, "macro_recall", part=KNOWN) == 0.5
    assert of(found, "macro_recall", part=ABSENT) == pytest.approx((0.5 + 0) / 2)
    assert [each.n_cells for each in found if each.part == ABSENT] == [3, 3]


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"B cells": "CL:0000236"}, "'B cells', which is no cell_type of these cells; did you mean 'B cell'"),
        ({"B cell": "CL:9999999"}, "'CL:9999999', the term of 'B cell', is no term of the Cell Ontology"),
    ],
)
def test_terms_are_of_labels_and_of_the_ontology(
    cells: EvaluationData, terms: dict[str, str], message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        baselines(cells, ClassifySettings(terms=terms), seed=0)


def test_a_term_makes_a_type_known() -> None:
    truth = np.array(["natural killer cell", "monocyte"])
    guess = Guess(truth, None)
    found = scores(guess, truth, ClassifySettings(), method="knn", trained_types=frozenset({"CL:0000623"}))
    assert [each.n_cells for each in found if each.part == KNOWN] == [1, 1]


def test_a_predicted_descendant_is_right_and_an_ancestor_wrong() -> None:
    truth = np.array(["T cell", "T cell", "CD8-positive, alpha-beta T cell"])
    guess = Guess(np.array(["CD8-positive, alpha-beta T cell", "B cell", "T cell"]), None)
    found = scores(guess, truth, ClassifySettings(), method="knn")
    assert of(found, "accuracy") == 0
    assert of(found, "ontology_accuracy") == pytest.approx(1 / 3)
    forgiven = ["T cell", "B cell", "T cell"]
    expected = f1_score(truth, forgiven, average="macro", zero_division=0.0)
    assert of(found, "ontology_macro_f1") == pytest.approx(expected)


def test_hops_are_steps_of_the_ontology() -> None:
    ontology = Ontology.load()
    held = Predictions.of(["T cell", "T cell", "?"], ["T cell", "lymphocyte", "T cell"])
    mean, n = hop_distance(held, ontology, ontology.id_of)
    assert (mean, n) == (0.5, 2)


def test_labels_without_a_term_leave_the_ontology_out_unless_it_is_asked_for(cells: EvaluationData) -> None:
    other = relabelled(cells, [f"cluster {i % 2}" for i in range(cells.n_cells)])
    found = evaluate(representations()[0], other, ClassifySettings(), seed=0)
    assert not [each for each in found if each.metric == "ontology_macro_f1"]
    with pytest.raises(
        EvaluationError, match="none of the 2 labels of cell_type is a type of the Cell Ontology"
    ):
        evaluate(representations()[0], other, ClassifySettings(ontology="yes"), seed=0)
    terms = {"cluster 0": "B cell", "cluster 1": "CL:0000576"}
    named = evaluate(representations()[0], other, ClassifySettings(ontology="yes", terms=terms), seed=0)
    assert of(named, "ontology_accuracy") == of(named, "accuracy")


def test_labels_without_a_term_are_named(cells: EvaluationData) -> None:
    def said(labels: list[str], **settings: object) -> list[str]:
        other = relabelled(cells, labels)
        other.notices = []
        labelled(other, ClassifySettings(**settings), seed=0)
        return other.notices

    strange = [f"cluster {i % 2}" for i in range(cells.n_cells)]
    end = "name terms with --term LABEL=TERM (in a grid: terms)"
    assert said(strange) == [
        "none of 2 labels of cell_type has a term of the Cell Ontology, so it gives no scores: cluster 0, "
        f"cluster 1; {end}"
    ]
    half = ["cluster 0" if i % 2 else "B cell" for i in range(cells.n_cells)]
    assert said(half) == [
        "of 2 labels of cell_type, 1 without a term of the Cell Ontology, in whose scores such a label fits "
        f"only itself: cluster 0; {end}"
    ]
    assert said(half, terms={"cluster 0": "monocyte"}) == []
    assert said(half, ontology="no") == []
    many = [f"cluster {i % 12:02}" for i in range(cells.n_cells)]
    assert said(many)[0].endswith(f"cluster 08, cluster 09, …; {end}")


def test_a_group_stays_on_one_side(cells: EvaluationData) -> None:
    _, split = labelled(cells, ClassifySettings(group_column="group"), seed=0)
    groups = cells.labels("group")
    assert not set(groups[split.train]) & set(groups[split.test])
    assert len(split.train) + len(split.test) == cells.n_cells


def test_unknown_and_rare_labels_are_left_out_with_a_notice(cells: EvaluationData) -> None:
    labels = ["unknown"] * 3 + ["rare"] + cells.labels("cell_type").tolist()[4:]
    other = relabelled(cells, labels)
    _, split = labelled(other, ClassifySettings(), seed=0)
    assert len(split.train) + len(split.test) == cells.n_cells - 4
    assert other.notices == [
        "3 cells of unknown cell_type left out",
        "labels with too few cells left out: rare",
    ]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["B cell"] * 120, "1 label with two cells or more among 120 cells; a probe needs two"),
        (["unknown"] * 120, "0 labels with two cells"),
    ],
)
def test_one_class_only_is_refused(cells: EvaluationData, labels: list[str], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        evaluate(representations()[0], relabelled(cells, labels), ClassifySettings(), seed=0)


def test_fewer_cells_than_neighbours_are_refused(cells: EvaluationData) -> None:
    few = cells.take(np.arange(24))
    with pytest.raises(EvaluationError, match="19 labelled cells for 50 neighbours"):
        evaluate(representations()[0], few, ClassifySettings(n_neighbors=50), seed=0)


def test_a_column_that_is_not_there_is_told_with_the_nearest(cells: EvaluationData) -> None:
    with pytest.raises(EvaluationError, match=r"no obs column 'celltype' for labels.*cell_type"):
        evaluate(representations()[0], cells, ClassifySettings(label_column="celltype"), seed=0)


def test_a_setting_that_is_none_is_told_with_the_nearest() -> None:
    with pytest.raises(EvaluationError, match="task classify has no setting 'neighbours'"):
        CLASSIFY.with_changes({"neighbours": 3})
    with pytest.raises(EvaluationError, match=r"setting n_neighbors of task classify: .* given 0"):
        CLASSIFY.with_changes({"n_neighbors": 0})
