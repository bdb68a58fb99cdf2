"""What every task of evaluation promises, whatever it is: on simulated cells, with small models."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_array

from curate.build.build import build
from curate.errors import EvaluationError
from curate.evaluate.data import EvaluationData
from curate.evaluate.evaluate import evaluate
from curate.evaluate.metrics import METRICS
from curate.evaluate.results import RESULT_SCHEMA, read_results
from curate.evaluate.subject import Subject, trained
from curate.evaluate.subject import baselines as representations
from curate.evaluate.tasks import TASKS
from curate.manifests.registry import Registry
from curate.train.artifact.train import train
from curate.train.fit.plan import Budget, FitPlan
from curate.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.gene_space import GeneSpace

N_CELLS, N_GENES = 288, 160
TYPES = ("B cell", "monocyte", "natural killer cell")
PERTURBATIONS = ("control", "STAT1", "IRF9", "JAK2")
DONORS = ("donor 1", "donor 2", "donor 3")
every_task = pytest.mark.parametrize("name", TASKS)


@pytest.fixture(scope="module")
def workspace(atlas_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a manifest of 300 cells of the simulated atlas, that is read by nobody else."""
    import shutil

    root = tmp_path_factory.mktemp("tasks") / "workspace"
    shutil.copytree(atlas_workspace, root)
    return Workspace.find(root)


@pytest.fixture(scope="module")
def artifacts(workspace: Workspace) -> list[Subject]:
    """A small network of three steps; the data were not drawn from what it was trained on."""
    [built] = build(
        workspace.corpus(), registry=Registry(workspace.manifests_path), strategy="random", n_cells=300
    )
    manifest = replace(built, workspace=workspace)
    plan = FitPlan(Path(), budget=Budget(max_steps=3), accelerator="cpu")
    small = {"n_dims": 8, "n_hidden": (16,)}
    made = train("masked", manifest, workspace=workspace, preset="tiny", changes=small, plan=plan)
    return [trained(made.artifact, workspace=workspace, accelerator="cpu")]


@pytest.fixture(scope="module")
def genes(artifacts: list[Subject]) -> GeneSpace:
    return artifacts[0].model().genes


@pytest.fixture
def data(genes: GeneSpace) -> EvaluationData:
    """288 cells whose types, donors, batches and perturbations change what they express.

    No columns are left out: whatever a task asks for by its default settings is among them.
    """
    rng = np.random.default_rng(0)
    i = np.arange(N_CELLS)
    names = genes.feature_ids[:N_GENES]
    labels = {
        "cell_type": (TYPES, i % 3),
        "perturbation": (PERTURBATIONS, i // 3 % 4),
        "donor_id": (DONORS, i // 12 % 3),
        "batch": (("batch 1", "batch 2"), i // 36 % 2),
    }
    log_rate = np.full((N_CELLS, N_GENES), np.log(0.5))
    for number, (values, codes) in enumerate(labels.values()):
        for code in range(len(values)):
            raised = rng.choice(N_GENES, N_GENES // 10, replace=False)
            log_rate[np.ix_(codes == code, raised)] += (2.0, 1.5, 0.5, 0.5)[number]
    obs = {name: np.array(values)[codes] for name, (values, codes) in labels.items()}
    return EvaluationData(
        name="simulated",
        path=Path("simulated.h5ad"),
        counts=csr_array(rng.poisson(np.exp(log_rate)).astype(np.uint32)),
        obs_names=pl.Series([f"cell {each}" for each in i]),
        obs=pl.DataFrame(obs | {"donor": obs["donor_id"], "context": obs["donor_id"]}),
        var_names=pl.Series(names),
        var=pl.DataFrame({"feature_name": genes.feature_names[:N_GENES]}),
        label="simulated",
    )


def fresh(artifacts: Sequence[Subject]) -> list[Subject]:
    """Return them as if they had just been opened, without manifests: the data were not drawn from any."""
    return [replace(each, _model=None, _vectors={}, manifest=None) for each in artifacts]


def tried(name: str, data: EvaluationData, artifacts: Sequence[Subject], **options: Any) -> pl.DataFrame:
    card = TASKS[name]
    subjects = [*fresh(artifacts), *(representations() if card.on_representations else [])]
    return evaluate(name, subjects, data, card.with_changes({}), **options)


class Tried:
    """Tables by the name of their task, each made once, and the folders that they are kept in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tables: dict[str, pl.DataFrame] = {}

    def folder(self, name: str) -> Path:
        return self._folder / name

    def table(self, name: str, data: EvaluationData, artifacts: Sequence[Subject]) -> pl.DataFrame:
        if name not in self._tables:
            self._tables[name] = tried(name, data, artifacts, folder=self.folder(name))
        return self._tables[name]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Tried:
    return Tried(tmp_path_factory.mktemp("results"))


@pytest.fixture
def table(name: str, kept: Tried, data: EvaluationData, artifacts: list[Subject]) -> pl.DataFrame:
    return kept.table(name, data, artifacts)


@every_task
def test_a_card_says_what_the_task_is(name: str) -> None:
    card = TASKS[name]
    assert card.name == name
    assert 10 < len(card.summary) < 120
    assert card.reference
    assert card.settings.model_config["frozen"]
    assert len(card.metrics) == len(set(card.metrics))
    assert set(card.metrics) <= set(METRICS)
    assert card.headline
    assert set(card.headline) <= set(card.metrics)
    assert METRICS[card.headline[0]].higher_is_better is not None
    assert all(METRICS[metric].version >= 1 for metric in card.metrics)


@every_task
def test_rows_are_those_of_the_schema_and_metrics_those_of_the_card(name: str, table: pl.DataFrame) -> None:
    card = TASKS[name]
    assert dict(table.schema) == RESULT_SCHEMA
    assert table.height > 0
    assert set(table["task"]) == {name}
    assert set(table["metric"]) <= set(card.metrics)
    assert set(card.headline[:1]) <= set(table["metric"])
    required = ("kind", "model", "setting", "method", "dataset", "dataset_id", "part", "metric", "value")
    assert not sum(table[column].null_count() for column in required)
    assert set(table["label"]) == {"simulated"}
    assert (table["n_cells"] >= 0).all()
    for row in table.select("metric", "metric_version", "higher_is_better").unique().iter_rows():
        held = METRICS[row[0]]
        assert row[1:] == (held.version, held.higher_is_better)
    key = ["kind", "model_name", "setting", "method", "part", "metric"]
    assert not table.select(key).is_duplicated().any()


@every_task
def test_a_whole_has_a_finite_headline_for_every_model(
    name: str, table: pl.DataFrame, artifacts: list[Subject]
) -> None:
    whole = table.filter(pl.col("part") == "", pl.col("metric") == TASKS[name].headline[0])
    models = whole.filter(pl.col("kind") == "trained")
    assert set(models["model_name"]) <= {each.name for each in artifacts}
    assert models.height > 0
    assert all(math.isfinite(value) for value in models["value"])


@every_task
def test_baselines_stand_in_the_table_and_the_trivial_one_among_them(name: str, table: pl.DataFrame) -> None:
    card = TASKS[name]
    held = table.filter(pl.col("kind") == "baseline")
    assert held.height > 0
    if card.on_representations:
        assert {"hvg", "pca"} <= set(held["model"])
    for method in (card.trivial, card.replicate):
        if method:
            assert method in set(held["method"])
    if card.trivial:
        trivial = table.filter(pl.col("method") == card.trivial)
        assert trivial["value"].to_list() == trivial["trivial"].to_list()
    if card.replicate:
        assert table["normalised"].drop_nulls().len() > 0


@every_task
def test_the_same_seed_gives_the_same_values_and_data_and_models_stay_as_they_are(
    name: str, table: pl.DataFrame, data: EvaluationData, artifacts: list[Subject]
) -> None:
    counts, obs = data.counts.copy(), data.obs.clone()
    files = {path: path.read_bytes() for each in artifacts for path in _files(each)}
    again = evaluate(name, fresh(artifacts), data, TASKS[name].with_changes({}))
    assert again.height > 0
    same = table.filter(pl.col("model_name").is_in(again["model_name"].unique().to_list()))
    assert again.drop("seconds").equals(same.drop("seconds"), null_equal=True)
    assert data.counts.dtype == counts.dtype
    for part in ("data", "indices", "indptr"):
        assert np.array_equal(getattr(data.counts, part), getattr(counts, part))
    assert data.obs.equals(obs)
    assert files == {path: path.read_bytes() for each in artifacts for path in _files(each)}


@every_task
def test_what_was_found_is_found_again_without_computing(
    name: str,
    kept: Tried,
    table: pl.DataFrame,
    data: EvaluationData,
    artifacts: list[Subject],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = sorted(kept.folder(name).iterdir())
    assert read_results(files).height == table.height

    def computing(*args: Any, **options: Any) -> list[Any]:
        raise AssertionError("it was computed again")

    place, _, attribute = TASKS._places[name].partition(":")  # type: ignore[attr-defined]
    card = replace(TASKS[name], evaluate=computing, baselines=computing)
    monkeypatch.setattr(import_module(f"curate.evaluate.tasks.{place}"), attribute, card)
    found = tried(name, data, artifacts, folder=kept.folder(name))
    assert found.equals(table, null_equal=True)
    with pytest.raises(AssertionError, match="computed again"):
        tried(name, data, artifacts, folder=kept.folder(name), seed=1)
    assert sorted(kept.folder(name).iterdir()) == files


@every_task
def test_a_column_that_is_not_there_is_named(
    name: str, data: EvaluationData, artifacts: list[Subject]
) -> None:
    card = TASKS[name]
    columns = [
        key
        for key, field in card.settings.model_fields.items()
        if key.endswith("_column") and field.get_default(call_default_factory=True)
    ]
    for column in columns:
        settings = card.with_changes({column: "no such column"})
        with pytest.raises(EvaluationError, match="no such column") as caught:
            evaluate(name, fresh(artifacts), data, settings)
        assert "\n" not in str(caught.value)


@every_task
def test_settings_that_are_not_there_are_refused_with_the_nearest(name: str) -> None:
    with pytest.raises(EvaluationError, match=f"task {name} has no setting 'nonsense'"):
        TASKS[name].with_changes({"nonsense": 1})


def _files(subject: Subject) -> list[Path]:
    assert subject.artifact is not None
    return sorted(path for path in subject.artifact.path.rglob("*") if path.is_file())
