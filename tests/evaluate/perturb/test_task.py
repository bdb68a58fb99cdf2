"""The tasks `perturb` and `perturb-unseen` on a simulated screen, and what they refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from curate.errors import EvaluationError
from curate.evaluate.evaluate import evaluate
from curate.evaluate.subject import Subject
from curate.evaluate.tasks import TASKS
from curate.evaluate.tasks.perturb import PerturbSettings, screen_of

if TYPE_CHECKING:
    from typing import Any

    from curate.evaluate.data import EvaluationData
    from curate.evaluate.results import Score

SETTINGS = PerturbSettings(min_cells=10, n_top=6, max_cells=50)
ERRORS = {"change_mse", "change_weighted_mse", "energy_distance"}


def baselines(data: EvaluationData, task: str = "perturb", **changes: Any) -> list[Score]:
    return TASKS[task].baselines(data, SETTINGS.model_copy(update=changes), seed=0)


def of(found: list[Score], method: str, metric: str, part: str = "") -> float:
    [value] = [
        each.value for each in found if (each.method, each.metric, each.part) == (method, metric, part)
    ]
    return value


def test_what_was_seen_in_other_donors_is_predicted_in_a_new_one(screen: EvaluationData) -> None:
    found = baselines(screen)
    assert of(found, "no-change", "change_pearson") == 0.0
    assert of(found, "no-change", "direction_accuracy") == 0.5
    assert of(found, "no-change", "discrimination") == 0.5
    assert of(found, "no-change", "de_overlap") == pytest.approx(6 / 60)
    for name in ("training-mean", "control-knn", "replicate", "replicate-interpolated"):
        assert of(found, name, "change_pearson") > 0.85
        assert of(found, name, "discrimination") == 1.0
        assert of(found, name, "de_overlap") > 0.9
        assert of(found, name, "change_weighted_r2") > 0.9
        assert of(found, name, "energy_distance") < of(found, "no-change", "energy_distance") / 3


def test_a_mean_of_others_does_not_tell_new_perturbations_apart(screen: EvaluationData) -> None:
    found = baselines(screen, "perturb-unseen")
    assert of(found, "training-mean", "discrimination") < 0.5
    assert of(found, "replicate", "discrimination") == 1.0
    assert (
        of(found, "training-mean", "change_weighted_r2") < of(found, "replicate", "change_weighted_r2") - 0.5
    )


def test_parts_are_named_by_their_columns_and_add_up(screen: EvaluationData) -> None:
    found = [
        each for each in baselines(screen) if each.method == "training-mean" and each.metric == "change_mse"
    ]
    values = {each.part: each.value for each in found}
    assert set(values) == {
        "",
        *(f"perturbation=P{i}" for i in range(4)),
        *(f"donor_id={name}" for name in "abc"),
    }
    for column in ("perturbation", "donor_id"):
        parts = [value for part, value in values.items() if part.startswith(column)]
        assert np.mean(parts) == pytest.approx(values[""])
    assert {each.part: each.n_cells for each in found}[""] == 480


def test_strata_are_told_apart(screen: EvaluationData) -> None:
    found = baselines(screen, stratum_column="cell_type")
    assert of(found, "training-mean", "change_pearson", "cell_type=x") > 0.8


def test_dynamic_ranges_say_which_metrics_can_tell(screen: EvaluationData) -> None:
    found = baselines(screen)
    for metric, perfect in (("change_pearson", 1.0), ("change_mse", 0.0)):
        low, high = of(found, "no-change", metric), of(found, "replicate", metric)
        expected = (high - low) / (perfect - low)
        assert of(found, "no-change", "dynamic_range", f"metric={metric}") == pytest.approx(expected)
        assert expected > 0.8
        # Of the same data, the mean over donors leaves little to gain.
        assert of(found, "training-mean", "dynamic_range", f"metric={metric}") < expected


def test_a_representation_is_tried_with_every_head(screen: EvaluationData) -> None:
    subject = Subject("pca", "baseline")
    table = evaluate("perturb", [subject], screen, SETTINGS)
    whole = table.filter(pl.col("part") == "")
    tried = whole.filter(pl.col("model") == "pca")
    assert set(zip(tried["method"], tried["setting"], strict=True)) == {
        ("knn", "zero-shot"),
        ("linear", "head"),
        ("mlp", "head"),
    }
    pearson = whole.filter(pl.col("metric") == "change_pearson")
    assert (pearson.filter(pl.col("model") == "pca")["normalised"] > 0.9).all()
    by_method = dict(zip(pearson["method"], pearson["normalised"], strict=True))
    assert (by_method["no-change"], by_method["replicate"]) == (0.0, 1.0)


def test_a_representation_of_the_data_does_not_see_perturbed_cells(screen: EvaluationData) -> None:
    seen = []

    class Watched(Subject):
        def embed(self, data: EvaluationData) -> np.ndarray:
            seen.append(set(data.labels("perturbation").tolist()))
            return super().embed(data)

    TASKS["perturb"].evaluate(
        Watched("pca", "baseline"), screen, SETTINGS.model_copy(update={"heads": ("knn",)}), seed=0
    )
    assert seen == [{"control"}]


def test_the_order_of_cells_decides_nothing_but_the_lots(screen: EvaluationData) -> None:
    first, again = baselines(screen), baselines(screen)
    assert first == again


def test_genes_that_are_targets_do_not_tell_perturbations_apart(screen: EvaluationData) -> None:
    held, _ = screen_of(screen, SETTINGS, seed=0, hold_out="context")
    assert np.flatnonzero(~held.not_targets).tolist() == [10]


def test_what_is_left_out_is_noticed(screen: EvaluationData) -> None:
    labels = screen.obs["perturbation"].to_list()
    labels[:3] = ["unassigned"] * 3
    labels[40:75] = ["P1"] * 35  # five cells are left of P0 in donor a
    data = replace(screen, obs=screen.obs.with_columns(pl.Series("perturbation", labels)), notices=[])
    baselines(data)
    assert data.notices == [
        "3 of 600 cells have no label that says anything; left out",
        "a has too few cells of P0 5 (10 are needed); left out",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"perturbation_column": "perturbaton"}, "for perturbations; did you mean 'perturbation'"),
        ({"context_column": "line"}, "for contexts"),
        ({"control": ("contrl",)}, "no control cell is labelled 'contrl'; did you mean 'control'"),
        ({"min_cells": 99}, "no perturbation has 99 cells beside 99 controls"),
        ({"n_top": 61}, "60 genes, and the 61 that differ most are asked for; lower n_top"),
    ],
    ids=["no such perturbations", "no such contexts", "no such control", "too few cells", "too few genes"],
)
def test_what_cannot_be_tried_is_refused(
    screen: EvaluationData, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        baselines(screen, **changes)


def test_data_without_control_cells_are_refused(screen: EvaluationData) -> None:
    with pytest.raises(EvaluationError, match=r"no control cells: none of the 4 perturbations"):
        baselines(screen.take(screen.labels("perturbation") != "control"))


def test_data_of_one_context_are_refused_but_for_new_perturbations(screen: EvaluationData) -> None:
    data = screen.take(screen.labels("donor_id") == "a")
    with pytest.raises(EvaluationError, match=r"one context only \(a\)"):
        baselines(data)
    assert of(baselines(data, "perturb-unseen"), "replicate", "discrimination") == 1.0


def test_one_control_may_be_named_without_a_list() -> None:
    assert PerturbSettings.model_validate({"control": "DMSO"}).control == ("DMSO",)
