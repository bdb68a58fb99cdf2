"""Fine-tuning as `classify` asks for it: rows side by side, notices, and artifacts that stay as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
import torch
from click.testing import CliRunner

from curate.cli import curate
from curate.errors import EvaluationError
from curate.evaluate.evaluate import evaluate
from curate.evaluate.finetune.finetune import fine_tuned
from curate.evaluate.open import open_data
from curate.evaluate.results import read_results
from curate.evaluate.subject import baselines, control_of, trained
from curate.evaluate.tasks.classify import CLASSIFY, ClassifySettings, labelled
from curate.train.artifact.train import train
from curate.train.fit.plan import Budget, FitPlan

if TYPE_CHECKING:
    from click.testing import Result

    from curate.evaluate.data import EvaluationData
    from curate.evaluate.results import Score
    from curate.evaluate.subject import Subject
    from curate.manifests.manifest import Manifest
    from curate.workspace import Workspace

BOTH = ClassifySettings(fine_tune=("head", "full"), full_epochs=3, max_epochs=20)


def scores(subject: Subject, data: EvaluationData, settings: ClassifySettings = BOTH) -> list[Score]:
    return CLASSIFY.evaluate(subject, data, settings, seed=0)


def ways(found: list[Score]) -> set[tuple[str, str]]:
    return {(each.setting, each.method) for each in found}


FROZEN = {("zero-shot", "knn"), ("zero-shot", "centroid"), ("zero-shot", "logistic")}


def test_frozen_head_and_full_stand_side_by_side(subject: Subject, data: EvaluationData) -> None:
    found = scores(subject, data)
    assert ways(found) == {*FROZEN, ("head", "mlp"), ("full", "mlp")}
    for setting in ("head", "full"):
        held = {(each.metric, each.part) for each in found if each.setting == setting}
        assert {("macro_f1", ""), ("calibration_error", ""), ("epochs", "")} <= held
        assert ("recall", "cell_type=monocyte") in held
    assert {each.n_cells for each in found if each.metric == "macro_f1"} == {48}
    [notice] = data.notices
    assert notice.startswith("small-1 fine-tuned, seed 0: head ")
    assert ", full 3 epochs (best " in notice


def test_without_being_asked_nothing_is_trained(subject: Subject, data: EvaluationData) -> None:
    assert ways(scores(subject, data, ClassifySettings())) == FROZEN
    assert not data.notices


def test_only_what_is_asked_for_is_given(subject: Subject, data: EvaluationData) -> None:
    full = BOTH.model_copy(update={"fine_tune": ("full",)})
    assert ways(scores(subject, data, full)) == {*FROZEN, ("full", "mlp")}
    head = BOTH.model_copy(update={"fine_tune": ("head",)})
    assert ways(scores(subject, data, head)) == {*FROZEN, ("head", "mlp")}


@pytest.mark.parametrize("tunings", [("full",), ("head", "full")])
def test_what_takes_no_gradients_has_a_head_and_a_notice(
    tunings: tuple[str, ...], data: EvaluationData
) -> None:
    settings = BOTH.model_copy(update={"fine_tune": tunings})
    for subject in baselines():
        assert ways(scores(subject, data, settings)) == {*FROZEN, ("head", "mlp")}
    notices = [notice for notice in data.notices if "gradients" in notice]
    assert notices == [
        f"{name} takes no gradients: it has a head, and is not fine-tuned in full" for name in ("hvg", "pca")
    ]


def test_labels_of_cells_to_test_on_teach_nothing(subject: Subject, data: EvaluationData) -> None:
    labels, split = labelled(data, BOTH, seed=0)
    lies = labels.copy()
    lies[split.test] = "nothing"
    honest, lied = (fine_tuned(subject, data, each, split, BOTH, seed=0) for each in (labels, lies))
    for one, other in zip(honest, lied, strict=True):
        assert one.curve == other.curve
        assert one.guess.labels.tolist() == other.guess.labels.tolist()


def test_the_model_in_memory_stays_as_it_is(subject: Subject, data: EvaluationData) -> None:
    before = {name: value.clone() for name, value in subject.model().state_dict().items()}
    vectors = subject.embed(data).copy()
    scores(subject, data)
    assert not subject.model().training
    assert all(torch.equal(value, before[name]) for name, value in subject.model().state_dict().items())
    subject._vectors.clear()
    assert (subject.embed(data) == vectors).all()


def test_too_few_cells_for_a_validation_part_are_refused(subject: Subject, data: EvaluationData) -> None:
    with pytest.raises(EvaluationError, match=r"13 cells of 3 classes, the largest of [67]: .* leaves none"):
        scores(subject, data.take(np.arange(16)), BOTH.model_copy(update={"validation_fraction": 0.05}))


def test_one_class_is_refused(subject: Subject, data: EvaluationData) -> None:
    one = replace(data, obs=data.obs.with_columns(cell_type=pl.lit("B cell")))
    with pytest.raises(EvaluationError, match=r"1 label with two cells or more among 240 cells"):
        scores(subject, one)


@pytest.fixture
def masked(workspace: Workspace, manifest: Manifest) -> Subject:
    """A small masked autoencoder of three steps, in the workspace."""
    made = train(
        "masked",
        manifest,
        workspace=workspace,
        preset="tiny",
        changes={"n_dims": 8, "n_hidden": (16,)},
        plan=FitPlan(Path(), budget=Budget(max_steps=3), accelerator="cpu"),
    )
    return trained(made.artifact, workspace=workspace, accelerator="cpu")


def test_an_artifact_and_its_control_are_fine_tuned_alike_and_their_files_stay(
    masked: Subject, workspace: Workspace, outside: Path
) -> None:
    control = control_of(masked, workspace)
    files = {path: path.read_bytes() for path in workspace.models_path.rglob("*") if path.is_file()}
    assert len({path.parent for path in files}) >= 2

    settings = BOTH.model_copy(update={"label_column": "tissue"})

    def table() -> pl.DataFrame:
        subjects = [replace(each, _model=None, _vectors={}) for each in (masked, control)]
        return evaluate("classify", subjects, open_data(str(outside)), settings)

    first = table()
    assert {path: path.read_bytes() for path in workspace.models_path.rglob("*") if path.is_file()} == files
    held = first.filter(pl.col("metric") == "macro_f1", pl.col("part") == "", pl.col("kind") != "baseline")
    assert set(held.select("kind", "setting", "method").rows()) == {
        (kind, *way)
        for kind in ("trained", "untrained")
        for way in (*FROZEN, ("head", "mlp"), ("full", "mlp"))
    }
    assert set(first.filter(pl.col("kind") == "baseline")["method"]) == {"majority", "logistic-on-genes"}
    assert first["trivial"].filter(first["setting"] == "full").drop_nulls().len() > 0
    assert table().drop("seconds").equals(first.drop("seconds"))


def test_the_command_line_takes_head_full_or_both(
    workspace: Workspace, outside: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results.parquet"
    asked = ["-C", str(workspace.root), "evaluate", "classify", "--data", str(outside), "-o", str(out)]
    asked += ["--label-column", "tissue", "--set", "max_epochs=3"]

    def run(*more: str) -> Result:
        return CliRunner().invoke(curate, [*asked, *more], catch_exceptions=False)

    ran = run("--fine-tune", "both")
    assert ran.exit_code == 0, ran.output
    assert "mlp, head" in ran.output
    assert "pca takes no gradients" in ran.output
    assert set(read_results([out])["setting"]) == {"zero-shot", "head"}
    assert run("--fine-tune", "heads").exit_code == 2
    ran = run("--fine-tune", "head", "--set", "fine_tune=full")
    assert ran.exit_code == 2
    assert "--fine-tune and --set fine_tune say the same" in ran.output
