"""Trainings that broke off: what is said, what is kept, and what can be made of it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import torch

from curate.errors import ModelError, TrainingError, WriteError
from curate.train.artifact.train import train
from curate.train.artifact.unfinished import unfinished
from curate.train.fit.checkpoint import Checkpoint
from curate.train.fit.plan import FitPlan
from curate.train.models import MODELS
from tests.train.fit.conftest import TINY, Linear

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from curate.manifests.manifest import Manifest
    from curate.train.loader import Batch
    from curate.workspace import Workspace

PLAN = FitPlan(Path(), accelerator="cpu", checkpoint_steps=4)


class Breaking(Linear):
    """Its loss is no number from a step on, or it is interrupted there."""

    presets: ClassVar = {"study": TINY, "tiny": TINY}
    at: ClassVar[int | None] = None
    interruption: ClassVar[BaseException | None] = None

    def losses(self, batch: Batch, *, step: int) -> Mapping[str, Tensor]:
        found = dict(super().losses(batch, step=step))
        if self.at is not None and step >= self.at:
            if self.interruption is not None:
                raise self.interruption
            found["loss"] = found["loss"] * float("nan")
        return found


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> type[Breaking]:
    """Breaking, for this test, a key of MODELS."""
    module = ModuleType("curate.train.models.linear")
    module.Breaking = Breaking  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(MODELS._places, "linear", "linear:Breaking")  # type: ignore[attr-defined]
    monkeypatch.setattr(Breaking, "at", None)
    monkeypatch.setattr(Breaking, "interruption", None)
    return Breaking


@pytest.fixture
def given(fresh_workspace: Workspace) -> dict[str, Any]:
    return {"workspace": fresh_workspace, "plan": PLAN, "name": "mine"}


def test_one_that_diverges_before_its_first_checkpoint_says_that_there_is_none(
    breaking: type[Breaking], given: dict[str, Any], fresh_manifest: Manifest
) -> None:
    breaking.at = 2
    said = r"diverged at step 3 .*loss is nan.*; no checkpoint had been written: nothing is kept but the log"
    with pytest.raises(TrainingError, match=said) as caught:
        train("linear", fresh_manifest, **given)
    assert "--take-checkpoint" not in str(caught.value)
    [left] = unfinished(given["workspace"].models_path)
    assert left.broken_off is not None
    assert (left.name, left.broken_off.checkpoint_step) == ("mine", 0)
    assert left.broken_off.why.startswith("training diverged at step 3")
    with pytest.raises(
        ModelError, match=r"holds no checkpoint; --take-checkpoint is for a training that was"
    ):
        train("linear", fresh_manifest, takes_checkpoint=True, **given)
    # It has nothing to lose: its name is free.
    breaking.at = None
    made = train("linear", fresh_manifest, changes={"learning_rate": 1e-3}, **given)
    assert made.is_new
    assert unfinished(given["workspace"].models_path) == []
    assert sorted(path.name for path in made.artifact.path.iterdir() if path.suffix == ".json") == [
        "config.json",
        "run.json",
    ]


@pytest.mark.parametrize("name", ["mine", None])
def test_the_checkpoint_of_one_that_diverged_becomes_a_model_of_its_own(
    breaking: type[Breaking], given: dict[str, Any], fresh_manifest: Manifest, name: str | None
) -> None:
    given["name"] = name
    breaking.at = 10
    said = (
        r"; the checkpoint of step 8 is kept in .*/run; the same command with --take-checkpoint makes a model"
    )
    with pytest.raises(TrainingError, match=said):
        train("linear", fresh_manifest, **given)
    [left] = unfinished(given["workspace"].models_path)
    kept = Checkpoint.read(left.path / "run")
    assert left.broken_off is not None
    assert kept is not None
    assert left.broken_off.checkpoint_step == kept.progress.step == 8
    with pytest.raises(ModelError, match="holds an interrupted run of another seed"):
        train("linear", fresh_manifest, **given | {"plan": FitPlan(Path(), seed=1), "name": left.name})
    taken = train("linear", fresh_manifest, takes_checkpoint=True, **given)
    assert taken.is_new
    artifact = taken.artifact
    artifact.verify()
    assert artifact.others == []
    header = artifact.header
    assert (header.stopped, header.cost.n_steps, header.asked.checkpoint_step) == ("checkpoint", 8, 8)
    assert header.broken_off is not None
    assert header.broken_off.startswith("training diverged at step 11")
    assert str(given["workspace"].root) not in header.broken_off
    assert "| broken off by | training diverged at step 11" in (artifact.path / "README.md").read_text()
    for key, value in artifact.load().state_dict().items():
        assert torch.equal(value, kept.kept[key])
    assert unfinished(given["workspace"].models_path) == []
    # Taken again it is found; the whole training is another model.
    assert not train("linear", fresh_manifest, takes_checkpoint=True, **given).is_new
    breaking.at = None
    if name is not None:
        with pytest.raises(ModelError, match=r"mine holds another model .*the checkpoint of step 8 of a run"):
            train("linear", fresh_manifest, **given)
    whole = train("linear", fresh_manifest, **given | {"name": None})
    assert whole.is_new
    assert (whole.artifact.header.stopped, whole.artifact.id) == ("epochs", header.asked.whole.id)


def test_the_checkpoint_of_one_that_was_interrupted_is_taken_too(
    breaking: type[Breaking], given: dict[str, Any], fresh_manifest: Manifest
) -> None:
    breaking.at, breaking.interruption = 6, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        train("linear", fresh_manifest, **given)
    taken = train("linear", fresh_manifest, takes_checkpoint=True, **given).artifact
    assert (taken.name, taken.header.asked.checkpoint_step, taken.header.broken_off) == ("mine", 4, None)


def test_an_error_that_is_no_divergence_keeps_the_checkpoint_of_before(
    breaking: type[Breaking], given: dict[str, Any], fresh_manifest: Manifest
) -> None:
    breaking.at, breaking.interruption = 6, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        train("linear", fresh_manifest, **given)
    breaking.interruption = ModelError("torch sees 0 GPUs")
    with pytest.raises(TrainingError, match=r"torch sees 0 GPUs.*--take-checkpoint makes a model of it"):
        train("linear", fresh_manifest, **given)
    breaking.at = None
    assert train("linear", fresh_manifest, **given).artifact.header.stopped == "epochs"


def test_a_full_disk_says_what_is_kept_and_where(
    breaking: type[Breaking],
    given: dict[str, Any],
    fresh_manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(self: Checkpoint, folder: Path) -> None:
        raise WriteError(f"could not write {folder}: No space left on device; nothing was changed")

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "write", full)
        with pytest.raises(
            WriteError,
            match=r"No space left on device; what was written before \(asked\.json.*\) is kept in ",
        ):
            train("linear", fresh_manifest, **given)
    assert [each.broken_off for each in unfinished(given["workspace"].models_path)] == [None]
    assert train("linear", fresh_manifest, **given).is_new
