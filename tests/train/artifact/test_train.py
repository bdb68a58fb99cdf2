"""From a manifest to a trained model in the workspace."""

from __future__ import annotations

import errno
import json
import resource
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import torch

from curate.cli.train_lines import how, lines
from curate.errors import ModelError, ShardError, TrainingError, WriteError
from curate.train.artifact import Artifact
from curate.train.artifact.asking import ask
from curate.train.artifact.train import train
from curate.train.artifact.unfinished import unfinished
from curate.train.fit.plan import Budget, FitPlan
from curate.train.models.settings import Settings
from curate.train.shards import Shards
from curate.train.shards.materialize import materialize

if TYPE_CHECKING:
    from curate.manifests.manifest import Manifest
    from curate.train.models.model import Model
    from curate.workspace import Workspace

FILES = ["README.md", "config.json", "genes.parquet", "metrics.parquet", "run.json", "weights.safetensors"]


def stop(monkeypatch: pytest.MonkeyPatch, toy: type[Model], error: BaseException | None) -> None:
    monkeypatch.setattr(toy, "stops", error)


def plan(**changed: Any) -> FitPlan:
    return FitPlan(Path(), **changed)


def test_a_folder_holds_weights_genes_log_card_and_run(trained: Artifact, fresh_manifest: Manifest) -> None:
    assert sorted(path.name for path in trained.path.iterdir()) == FILES
    header = trained.header
    assert trained.name == f"toy-random-n300-s0-v1-{trained.id[:8]}"
    assert header.asked.manifest == fresh_manifest.id
    assert header.trained_on.manifest_ref == "random-n300-s0@v1"
    assert sum(header.trained_on.n_cells.values()) == 300
    assert (header.n_dims, header.n_parameters) == (5, 5 * 120)
    assert (header.cost.n_steps, header.cost.waiting_fraction, header.cost.energy_joules) == (2, 0.125, 3.0)
    assert header.environment.software["torch"] == str(torch.__version__)
    assert trained.metrics().filter(pl.col("split") == "val")["value"].to_list() == [2.5, 1.75]
    trained.verify()


def test_the_same_again_is_found_whatever_it_is_called(
    toy: type[Model],
    fresh_workspace: Workspace,
    fresh_manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = train("toy", fresh_manifest, workspace=fresh_workspace, name="mine")
    stop(monkeypatch, toy, AssertionError("trained again"))
    again = train("toy", fresh_manifest, workspace=fresh_workspace)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.artifact.path == first.artifact.path


@pytest.mark.parametrize(
    "change",
    [
        {"changes": {"rate": 0.25}},
        {"preset": "large"},
        {"is_untrained": True},
        {"plan": plan(seed=1)},
        {"plan": plan(budget=Budget(max_cells=100))},
        {"plan": plan(precision="bf16")},
        {"plan": plan(validation_steps=3)},
    ],
    ids=lambda change: ", ".join(change),
)
def test_whatever_decides_gives_another_id(
    trained: Artifact, fresh_workspace: Workspace, fresh_manifest: Manifest, change: dict[str, Any]
) -> None:
    other = train("toy", fresh_manifest, workspace=fresh_workspace, **change)
    assert other.is_new
    assert other.artifact.id != trained.id


@pytest.mark.parametrize(
    "free",
    [{"n_threads": 5}, {"accelerator": "cpu"}, {"checkpoint_steps": 7}, {"folder": Path("elsewhere")}],
    ids=lambda free: ", ".join(free),
)
def test_what_does_not_decide_leaves_the_id(
    trained: Artifact, fresh_workspace: Workspace, fresh_manifest: Manifest, free: dict[str, Any]
) -> None:
    again = train("toy", fresh_manifest, workspace=fresh_workspace, plan=replace(plan(), **free))
    assert again.artifact.id == trained.id
    assert not again.is_new


def test_an_untrained_control_has_the_same_start_and_one_id_whatever_the_budget(
    toy: type[Model], fresh_workspace: Workspace, fresh_manifest: Manifest
) -> None:
    control = train("toy", fresh_manifest, workspace=fresh_workspace, is_untrained=True).artifact
    other = plan(budget=Budget(max_steps=5), precision="bf16", devices=2)
    again = train("toy", fresh_manifest, workspace=fresh_workspace, is_untrained=True, plan=other)
    assert not again.is_new
    assert control.header.stopped == "untrained"
    assert control.header.cost.n_steps == 0
    assert control.metrics().is_empty()
    shards = Shards.open(fresh_workspace.shards_path / "random-n300-s0" / "v0001")
    start = toy.create(shards, toy.presets["study"], seed=0)
    for name, value in control.load().state_dict().items():
        assert torch.equal(value, start.state_dict()[name])


def test_drawing_by_weights_gives_another_id(fresh_manifest: Manifest) -> None:
    settings = Settings(n_dims=3)
    ids = {
        ask("toy", settings, fresh_manifest, plan(is_weighted=yes), None, 0, is_untrained=False).id
        for yes in (False, True)
    }
    assert len(ids) == 2


def test_a_killed_run_goes_on_in_its_folder(
    toy: type[Model],
    fresh_workspace: Workspace,
    fresh_manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop(monkeypatch, toy, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train("toy", fresh_manifest, workspace=fresh_workspace, name="mine")
    assert [(each.name, each.broken_off) for each in unfinished(fresh_workspace.models_path)] == [
        ("mine", None)
    ]
    assert not (fresh_workspace.models_path / "mine").exists()
    stop(monkeypatch, toy, None)
    made = train("toy", fresh_manifest, workspace=fresh_workspace, name="mine").artifact
    # Toy says that it found the checkpoint.
    assert made.header.cost.seconds == 0.25
    assert sorted(path.name for path in made.path.iterdir()) == FILES
    assert unfinished(fresh_workspace.models_path) == []


def test_an_interrupted_run_of_another_model_is_neither_gone_on_with_nor_removed(
    toy: type[Model],
    fresh_workspace: Workspace,
    fresh_manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop(monkeypatch, toy, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train("toy", fresh_manifest, workspace=fresh_workspace, name="mine")
    stop(monkeypatch, toy, None)
    with pytest.raises(ModelError, match=r"\.mine\.partial holds an interrupted run of another settings \("):
        train("toy", fresh_manifest, workspace=fresh_workspace, name="mine", preset="tiny")
    made = train("toy", fresh_manifest, workspace=fresh_workspace, name="mine").artifact
    assert made.header.cost.seconds == 0.25


def test_what_a_training_that_diverged_had_written_is_kept(
    toy: type[Model],
    fresh_workspace: Workspace,
    fresh_manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop(monkeypatch, toy, TrainingError("training diverged at step 7"))
    with pytest.raises(TrainingError, match=r"^training diverged at step 7$"):
        train("toy", fresh_manifest, workspace=fresh_workspace, name="mine")
    kept = fresh_workspace.models_path / ".mine.partial" / "run" / "checkpoint"
    assert kept.read_text() == "half-way"
    assert not (fresh_workspace.models_path / "mine").exists()


@pytest.mark.parametrize("at", ["weights.safetensors", "metrics.parquet", "README.md", "run.json"])
def test_a_full_disk_leaves_nothing_under_the_name(
    toy: type[Model],
    fresh_workspace: Workspace,
    fresh_manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
    at: str,
) -> None:
    replaced = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.name == at:
            raise OSError(errno.ENOSPC, "No space left on device")
        return replaced(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(WriteError, match=r"could not write .*: No space left on device"):
            train("toy", fresh_manifest, workspace=fresh_workspace, name="mine")
    assert not (fresh_workspace.models_path / "mine").exists()
    made = train("toy", fresh_manifest, workspace=fresh_workspace, name="mine").artifact
    made.verify()


def test_a_disk_that_is_full_in_the_midst_of_the_weights_is_one_line(
    toy: type[Model], fresh_workspace: Workspace, fresh_manifest: Manifest, tmp_path: Path
) -> None:
    shards = materialize(fresh_manifest, tmp_path / "shards")
    model = toy.create(shards, toy.presets["study"], seed=0)
    (tmp_path / "model").mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(WriteError, match=r"could not write .*weights.safetensors: .*File too large"):
            model.save(tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "model").iterdir()) == []


def test_a_name_that_another_model_has_is_refused(
    toy: type[Model], fresh_workspace: Workspace, fresh_manifest: Manifest
) -> None:
    train("toy", fresh_manifest, workspace=fresh_workspace, name="mine")
    with pytest.raises(ModelError, match=r"mine holds another model \(.*give this one another --name"):
        train("toy", fresh_manifest, workspace=fresh_workspace, name="mine", preset="tiny")


@pytest.mark.parametrize("name", ["../up", ".hidden", "a b", "-x", ""])
def test_a_name_that_is_no_folder_name_is_refused(
    toy: type[Model], fresh_workspace: Workspace, fresh_manifest: Manifest, name: str
) -> None:
    with pytest.raises(ModelError, match="cannot name a model"):
        train("toy", fresh_manifest, workspace=fresh_workspace, name=name)


def test_shards_are_written_once_and_said_to_be(
    toy: type[Model], fresh_workspace: Workspace, fresh_manifest: Manifest
) -> None:
    said: list[str] = []
    train("toy", fresh_manifest, workspace=fresh_workspace, say=said.append)
    train("toy", fresh_manifest, workspace=fresh_workspace, preset="tiny", say=said.append)
    assert len(said) == 1
    assert "writing the shards of random-n300-s0@v1: 300 cells, about 0 MB" in said[0]


def test_fewer_dimensions_than_asked_for_are_said_and_written_down(
    fresh_workspace: Workspace, fresh_manifest: Manifest
) -> None:
    said: list[str] = []
    made = train("pca", fresh_manifest, workspace=fresh_workspace, changes={"n_dims": 500}, say=said.append)
    header = made.artifact.header
    assert said[-1].startswith(f"{header.n_dims} dimensions instead of 500: the training cells")
    assert header.n_dims < 120 < header.asked.settings["n_dims"]
    assert made.artifact.load().settings.n_dims == header.n_dims


def changed_shard(workspace: Workspace) -> Path:
    """Change a count, and nothing of the file's size."""
    path = next((workspace.shards_path / "random-n300-s0" / "v0001").glob("train-*.data.npy"))
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    return path


def test_shards_that_changed_after_their_checksum_are_refused(
    trained: Artifact, fresh_workspace: Workspace, fresh_manifest: Manifest
) -> None:
    path = changed_shard(fresh_workspace)
    with pytest.raises(ShardError, match=rf"{path.name} has changed since it was written"):
        train("toy", fresh_manifest, workspace=fresh_workspace, preset="tiny")
    assert not list(fresh_workspace.models_path.glob("*tiny*"))


def test_large_shards_are_compared_when_asked_for_only(
    trained: Artifact,
    fresh_workspace: Workspace,
    fresh_manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changed_shard(fresh_workspace)
    monkeypatch.setattr("curate.train.artifact.shards.VERIFIED_BYTES", 1000)
    with pytest.raises(ShardError, match="has changed"):
        train("toy", fresh_manifest, workspace=fresh_workspace, preset="tiny", verify=True)
    assert train("toy", fresh_manifest, workspace=fresh_workspace, preset="tiny").is_new


def test_it_is_written_down_whether_shards_were_compared(
    toy: type[Model], fresh_workspace: Workspace, fresh_manifest: Manifest
) -> None:
    made = [
        train("toy", fresh_manifest, workspace=fresh_workspace, verify=verify, plan=plan(seed=seed)).artifact
        for seed, verify in enumerate([None, None, False])
    ]
    digest = Shards.open(fresh_workspace.shards_path / "random-n300-s0" / "v0001").digest
    held = [each.header.shards for each in made]
    assert [each.checked for each in held if each] == ["written", "compared", "no"]
    assert {each.digest for each in held if each} == {digest}
    cards = [each.text() for each in made]
    assert [f"(digest {digest})" in card for card in cards] == [True] * 3
    assert ["not compared with their sha256" in card for card in cards] == [False, False, True]


def test_a_model_of_shards_that_nobody_compared_is_not_taken_for_a_verified_one(
    trained: Artifact, fresh_workspace: Workspace, fresh_manifest: Manifest
) -> None:
    shutil.rmtree(trained.path)
    changed_shard(fresh_workspace)
    spoilt = train("toy", fresh_manifest, workspace=fresh_workspace, verify=False).artifact
    assert spoilt.id == trained.id
    with pytest.raises(
        ModelError, match=r"was fitted to shards that were not compared .*; remove the folder to train it"
    ):
        train("toy", fresh_manifest, workspace=fresh_workspace, verify=True)
    assert lines(spoilt)["shards"] == "not compared with their sha256"
    assert "shards not compared" in how(spoilt.header)


def test_a_run_that_was_begun_on_shards_that_nobody_compared_stays_so(
    toy: type[Model],
    fresh_workspace: Workspace,
    fresh_manifest: Manifest,
    trained: Artifact,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.rmtree(trained.path)
    stop(monkeypatch, toy, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train("toy", fresh_manifest, workspace=fresh_workspace, verify=False)
    stop(monkeypatch, toy, None)
    made = train("toy", fresh_manifest, workspace=fresh_workspace, verify=True).artifact
    assert made.header.shards is not None
    assert made.header.shards.checked == "no"


@pytest.mark.parametrize("name", [None, "mine"])
def test_a_damaged_model_is_not_there_already(
    toy: type[Model], fresh_workspace: Workspace, fresh_manifest: Manifest, name: str | None
) -> None:
    made = train("toy", fresh_manifest, workspace=fresh_workspace, name=name).artifact
    assert made.damage is None
    path = made.path / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"weights.safetensors .*remove the folder and train it again$"):
        train("toy", fresh_manifest, workspace=fresh_workspace, name=name)
    assert "weights.safetensors has" in (Artifact.open(made.path).damage or "")
    shutil.rmtree(made.path)
    assert train("toy", fresh_manifest, workspace=fresh_workspace, name=name).is_new


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_is_none_is_refused_and_leaves_nothing(
    toy: type[Model], fresh_workspace: Workspace, fresh_manifest: Manifest, seed: int
) -> None:
    with pytest.raises(ModelError, match=rf"seed {seed} is out of range; give a whole number from 0 to"):
        train("toy", fresh_manifest, workspace=fresh_workspace, plan=plan(seed=seed))
    with pytest.raises(ShardError, match=rf"seed {seed} is out of range"):
        materialize(fresh_manifest, fresh_workspace.root / "other", seed=seed)
    assert not fresh_workspace.models_path.exists() or not list(fresh_workspace.models_path.iterdir())
    assert not (fresh_workspace.root / "other").exists()
    assert train("toy", fresh_manifest, workspace=fresh_workspace, plan=plan(seed=2**63 - 1)).is_new


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"is_weighted": True}, ShardError, "random-n300-s0@v1 has no weights"),
        ({"accelerator": "gpu"}, ModelError, "1 GPU was asked for, torch sees none; give accelerator cpu"),
    ],
    ids=["weights", "gpu"],
)
def test_what_is_not_there_is_refused_before_shards_are_written(
    fresh_workspace: Workspace,
    fresh_manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
    wrong: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(error, match=message):
        train("masked", fresh_manifest, workspace=fresh_workspace, preset="tiny", plan=plan(**wrong))
    assert not fresh_workspace.shards_path.exists() or not list(fresh_workspace.shards_path.iterdir())


def test_wrong_shards_are_refused_though_the_model_is_there(
    trained: Artifact, fresh_workspace: Workspace, fresh_manifest: Manifest
) -> None:
    of_another = type(fresh_manifest).load("random-n200-s0", workspace=fresh_workspace)
    train("toy", of_another, workspace=fresh_workspace)
    with pytest.raises(ShardError, match="holds shards of manifest random-n200-s0@v1"):
        train(
            "toy",
            fresh_manifest,
            workspace=fresh_workspace,
            shards=fresh_workspace.shards_path / "random-n200-s0" / "v0001",
        )


def test_shards_of_another_manifest_are_refused(
    trained: Artifact, fresh_workspace: Workspace, fresh_manifest: Manifest
) -> None:
    of_another = type(fresh_manifest).load("random-n200-s0", workspace=fresh_workspace)
    folder = fresh_workspace.shards_path / "random-n300-s0" / "v0001"
    with pytest.raises(
        ShardError, match=r"holds shards of manifest random-n300-s0@v1 .*not of random-n200"
    ) as caught:
        train("toy", of_another, workspace=fresh_workspace, shards=folder)
    assert str(caught.value).endswith(
        "name the folder of its own, or leave --shards out for those of the workspace"
    )
    shutil.move(folder, fresh_workspace.shards_path / "random-n200-s0" / "v0001")
    with pytest.raises(
        ShardError, match=r"not of random-n200.*; move that folder away, and its own are written"
    ):
        train("toy", of_another, workspace=fresh_workspace)


def test_shards_of_another_order_give_another_model(
    trained: Artifact, fresh_workspace: Workspace, fresh_manifest: Manifest, tmp_path: Path
) -> None:
    materialize(fresh_manifest, tmp_path / "other", seed=4)
    other = train("toy", fresh_manifest, workspace=fresh_workspace, shards=tmp_path / "other").artifact
    assert other.header.asked.shards_seed == 4
    assert other.id != trained.id


def test_a_model_that_knows_no_tasks_refuses_one(
    toy: type[Model], fresh_workspace: Workspace, fresh_manifest: Manifest
) -> None:
    from curate.build.task.task import Task
    from curate.task import TaskDocument

    document = TaskDocument.model_validate(
        {"name": "monocytes", "kind": "classification", "wanted": {"cell_types": ["CL:0000860"]}}
    )
    with pytest.raises(ModelError, match="model toy does not use tasks"):
        train(
            "toy",
            fresh_manifest,
            workspace=fresh_workspace,
            task=Task.open(document, fresh_manifest.corpus()),
        )


def test_the_run_is_json_that_another_program_reads(trained: Artifact) -> None:
    content = json.loads((trained.path / "run.json").read_text())
    assert content["asked"]["settings"] == {"n_dims": 5, "rate": 0.5}
    assert content["asked"]["budget"] == {"max_steps": None, "max_cells": None, "max_minutes": None}
    assert set(content["files"]) == set(FILES) - {"run.json"}


def test_a_trained_model_is_another_than_its_control(
    trained: Artifact, fresh_workspace: Workspace, fresh_manifest: Manifest
) -> None:
    control = train("toy", fresh_manifest, workspace=fresh_workspace, is_untrained=True).artifact
    weights = [each.load().state_dict()["weights.weight"].numpy() for each in (trained, control)]
    assert not np.array_equal(*weights)
