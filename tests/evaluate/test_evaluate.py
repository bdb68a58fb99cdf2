"""The way of an evaluation: subjects, controls, baselines, and what is found again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_array
from sklearn.neighbors import KNeighborsClassifier

from curate.errors import EvaluationError
from curate.evaluate.data import EvaluationData, logged
from curate.evaluate.evaluate import evaluate
from curate.evaluate.leakage import Leaked
from curate.evaluate.metrics import METRICS
from curate.evaluate.open import open_data
from curate.evaluate.probes.split import split_cells
from curate.evaluate.subject import baselines, control_of, trained
from curate.evaluate.tasks import TASKS
from curate.evaluate.tasks.classify import ClassifySettings

if TYPE_CHECKING:
    from pathlib import Path

    from curate.train.artifact import Artifact
    from curate.workspace import Workspace

KNN = ClassifySettings(probes=("knn",), label_column="tissue")


def test_a_model_its_control_and_the_baselines_stand_in_one_table(
    workspace: Workspace, artifact: Artifact, outside: Path
) -> None:
    subject = trained(artifact, workspace=workspace)
    control = control_of(subject, workspace)
    table = evaluate("classify", [subject, control, *baselines()], open_data(str(outside)), KNN)
    held = table.select("model", "kind").unique().sort("kind", "model").rows()
    assert held == [
        *(("hvg", "baseline"), ("logistic-on-genes", "baseline"), ("majority", "baseline")),
        *(("pca", "baseline"), ("pca", "trained"), ("pca", "untrained")),
    ]
    of_model = table.filter(pl.col("kind") == "trained")
    assert of_model["strategy"].unique().to_list() == ["random"]
    assert of_model["n_train_cells"].unique().to_list() == [artifact.header.trained_on.n_cells["train"]]
    assert of_model["model_id"].unique().to_list() == [artifact.id]
    assert table["trivial"].null_count() < table.height


def test_the_score_is_that_of_sklearn_on_the_model_s_vectors(
    workspace: Workspace, artifact: Artifact, outside: Path
) -> None:
    data = open_data(str(outside))
    subject = trained(artifact, workspace=workspace)
    table = evaluate("classify", [subject], data, KNN, seed=3)
    counts, _ = data.aligned(artifact.load().genes)
    vectors = artifact.load().embed(counts)
    labels = data.labels("tissue")
    split = split_cells(labels, seed=3)
    probe = KNeighborsClassifier(5).fit(vectors[split.train], labels[split.train])
    expected = probe.score(vectors[split.test], labels[split.test])
    found = table.filter(
        (pl.col("kind") == "trained") & (pl.col("metric") == "accuracy") & (pl.col("part") == "")
    )["value"].item()
    assert found == pytest.approx(expected)


def test_the_same_asked_again_is_found(
    workspace: Workspace, artifact: Artifact, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, folder = open_data(str(outside)), workspace.results_path
    subject = trained(artifact, workspace=workspace)
    first = evaluate("classify", [subject], data, KNN, folder=folder)
    assert len(list(folder.iterdir())) == 2
    card = TASKS["classify"]
    monkeypatch.setattr(type(subject), "embed", lambda *_: pytest.fail("computed again"))
    monkeypatch.setitem(card.baselines.__globals__, "logged", lambda *_: pytest.fail("computed again"))
    again = evaluate("classify", [subject], data, KNN, folder=folder)
    assert again.equals(first)


def test_notices_stand_beside_the_results_of_each_subject_and_seed(
    workspace: Workspace, artifact: Artifact, outside: Path
) -> None:
    def few() -> EvaluationData:
        data = open_data(str(outside))
        # Most counts are in a gene that the model does not know.
        data.var_names = pl.Series([*data.var_names[:-1], "ENSG99999999999"])
        data.var = data.var.select(feature_name=data.var_names)
        data.counts = csr_array(data.counts.toarray() + 500 * (np.arange(data.n_genes) == data.n_genes - 1))
        return data

    first, folder = few(), workspace.results_path
    subject = trained(artifact, workspace=workspace)
    for seed in (0, 1):
        evaluate("classify", [subject], first, KNN, seed=seed, folder=folder)
    assert any("the model sees" in each for each in first.notices)
    assert len(first.notices) == 2
    # The vectors were made for the first seed, and the notice is of the second too.
    again = few()
    evaluate("classify", [subject], again, KNN, seed=1, folder=folder, with_baselines=False)
    assert sorted(again.notices) == sorted(first.notices)


def test_another_seed_or_setting_is_another_result(
    workspace: Workspace, artifact: Artifact, outside: Path
) -> None:
    data, folder = open_data(str(outside)), workspace.results_path
    subject = trained(artifact, workspace=workspace)
    for seed, settings in ((0, KNN), (1, KNN), (0, KNN.model_copy(update={"n_neighbors": 3}))):
        evaluate("classify", [subject], data, settings, seed=seed, folder=folder)
    assert len(list(folder.iterdir())) == 6


def test_another_version_of_a_metric_is_another_result(
    cells: EvaluationData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ClassifySettings(ontology="no")
    evaluate("classify", [], cells, settings, folder=tmp_path)
    monkeypatch.setitem(METRICS, "accuracy", replace(METRICS["accuracy"], version=9))
    table = evaluate("classify", [], cells, settings, folder=tmp_path)
    assert table.filter(pl.col("metric") == "accuracy")["metric_version"].unique().to_list() == [9]
    assert len(list(tmp_path.iterdir())) == 2


def test_what_the_gate_found_of_the_same_data_is_not_taken_from_an_earlier_time(
    workspace: Workspace, artifact: Artifact, outside: Path
) -> None:
    data, subject = open_data(str(outside)), trained(artifact, workspace=workspace)

    def said(n_seen: int) -> str:
        table = evaluate(
            "classify",
            [subject],
            data,
            KNN,
            folder=workspace.results_path,
            with_baselines=False,
            allow_leakage=True,
            look=lambda data, manifest: Leaked(np.zeros(data.n_cells, bool), n_seen),
        )
        return str(table["leakage"][0])

    assert said(3) == "allowed: 3 cells of random-n400-s0@v1"
    assert said(0) == "none"


def test_a_control_takes_no_step_and_has_the_settings_of_its_model(
    workspace: Workspace, artifact: Artifact
) -> None:
    control = control_of(trained(artifact, workspace=workspace), workspace)
    assert control.kind == "untrained"
    assert control.artifact is not None
    assert control.artifact.header.asked.settings == artifact.header.asked.settings
    assert control.artifact.header.cost.n_steps == 0


def test_representations_of_the_data_are_those_of_scanpy(cells: EvaluationData) -> None:
    import scanpy as sc
    from anndata import AnnData

    hvg, pca = (each.embed(cells) for each in baselines())
    held = AnnData(cells.counts.toarray().astype(np.float64))
    sc.pp.normalize_total(held, target_sum=1e4)
    sc.pp.log1p(held)
    np.testing.assert_allclose(hvg, held.X, rtol=1e-5)
    sc.pp.scale(held, max_value=10)
    sc.pp.pca(held, n_comps=39)
    expected = np.asarray(held.obsm["X_pca"])
    np.testing.assert_allclose(np.abs(pca[:, :5]), np.abs(expected[:, :5]), atol=1e-2)


def test_a_baseline_has_no_model() -> None:
    with pytest.raises(EvaluationError, match="hvg is a baseline and has no model"):
        baselines()[0].model()


def test_an_unknown_task_is_told_with_the_nearest(cells: EvaluationData) -> None:
    with pytest.raises(EvaluationError, match=r"no task named 'clasify'.*classify"):
        evaluate("clasify", baselines(), cells, KNN)


def test_log_expression_of_a_cell_without_counts_is_zero(cells: EvaluationData) -> None:
    counts = cells.counts.copy()
    counts.data[: counts.indptr[1]] = 0
    assert logged(counts)[[0]].sum() == 0
