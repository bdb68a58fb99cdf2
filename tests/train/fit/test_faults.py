"""What goes wrong in training is said in one line, and what was good is kept."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import torch
from safetensors import SafetensorError

from curate.errors import ModelError, TrainingError, WriteError
from curate.train.fit.checkpoint import Checkpoint
from curate.train.fit.log import LOG_FILE
from curate.train.fit.losses import Losses
from curate.train.fit.plan import Budget
from tests.train.fit.conftest import Linear

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

    from curate.train.fit.plan import FitPlan
    from curate.train.loader import Batch
    from curate.train.shards import Shards


class Diverging(Linear):
    """A part of its loss is no number from step 18 on."""

    def losses(self, batch: Batch, *, step: int) -> Mapping[str, Tensor]:
        found = dict(super().losses(batch, step=step))
        if step >= 18:
            found["size"] = found["size"] * float("nan")
            found["loss"] = found["loss"] + found["size"]
        return found


class Steep(Linear):
    """Its loss is finite at step 3, its gradients are not."""

    def losses(self, batch: Batch, *, step: int) -> Mapping[str, Tensor]:
        found = dict(super().losses(batch, step=step))
        if step == 3:
            found["loss"] = found["loss"] + (self.encode.weight * 0).abs().sqrt().sum()
        return found


class Large(Linear):
    """Needs more memory than any GPU has."""

    def losses(self, batch: Batch, *, step: int) -> Mapping[str, Tensor]:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 PiB")


def test_a_loss_that_is_no_number_ends_training_and_leaves_the_last_good_checkpoint(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    given = plan(checkpoint_steps=4)
    said = (
        r"diverged at step 19 \(epoch 2, batch 5, learning rate 0.01\): loss is nan, size is nan; "
        r"the last finite loss was \d[\d.e+-]*; lower learning_rate or clip_norm; the checkpoint of step 16 "
        r"is kept in .*run$"
    )
    with pytest.raises(TrainingError, match=said):
        network(kind=Diverging).fit(shards, given)
    found = Checkpoint.read(given.folder)
    assert found is not None
    assert found.progress.step == 16
    assert found.progress.best_step == 14
    assert all(bool(value.isfinite().all()) for value in (found.model | found.best).values())
    log = pl.read_parquet(given.folder / LOG_FILE).filter(metric="loss", split="train")
    # the rows of the first and every tenth step, and what came after them
    assert log["step"].to_list() == [1, 10, 18]
    assert log["value"].is_finite().all()


def test_a_loss_that_is_no_number_before_the_first_checkpoint_leaves_the_log_alone(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    given = plan(validation_steps=50)
    said = r"diverged at step 19 .*; no checkpoint had been written: nothing is kept but the log, in .*run$"
    with pytest.raises(TrainingError, match=said):
        network(kind=Diverging).fit(shards, given)
    assert [each.name for each in given.folder.iterdir()] == [LOG_FILE]


def test_a_gradient_that_is_no_number_ends_training(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    model = network(kind=Steep)
    with pytest.raises(TrainingError, match=r"diverged at step 4 .*: gradient_norm is nan"):
        model.fit(shards, plan())
    assert bool(model.encode.weight.isfinite().all())


def test_losses_that_are_read_later_name_the_step_that_was_no_number() -> None:
    losses = Losses()
    for step, value in enumerate([2.0, 1.0, float("inf"), float("nan")]):
        losses.add({"loss": torch.tensor(value)}, where=f"step {step}")
    with pytest.raises(TrainingError, match=r"at step 2: loss is inf; the last finite loss was 1;"):
        losses.read()


def test_a_gpu_without_enough_memory_is_told_which_batch_size_to_try(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    with pytest.raises(TrainingError, match="batches of 16 cells; try batch_size 8, or precision bf16; no"):
        network(kind=Large).fit(shards, plan())
    with pytest.raises(TrainingError, match="batches of 1 cells; try a smaller preset; no checkpoint"):
        network(kind=Large, batch_size=1).fit(shards, plan("other", precision="bf16"))


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("[enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: can't allocate")],
    ids=["numpy", "torch"],
)
def test_a_machine_without_enough_memory_is_one_line_too(
    network: Callable[..., Linear],
    plan: Callable[..., FitPlan],
    shards: Shards,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def lack(*args: Any, **kwargs: Any) -> None:
        raise error

    model = network()
    monkeypatch.setattr(Linear, "losses", lack)
    with pytest.raises(TrainingError, match="this machine has not enough memory for batches of 16 cells"):
        model.fit(shards, plan())


def test_other_faults_of_torch_keep_their_traceback(
    network: Callable[..., Linear],
    plan: Callable[..., FitPlan],
    shards: Shards,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    model = network()
    monkeypatch.setattr(Linear, "losses", fail)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        model.fit(shards, plan())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"budget": Budget(max_steps=0)}, "a budget of 0 steps allows no step"),
        ({"budget": Budget(max_minutes=-1)}, "a budget of -1 minutes allows no step"),
        ({"devices": 0}, "0 devices cannot train"),
        ({"checkpoint_steps": 0}, "checkpoints every 0 steps; give 1 or more"),
        ({"validation_steps": 0}, "validation every 0 steps; give 1 or more"),
    ],
)
def test_plans_that_make_no_sense_are_refused(
    network: Callable[..., Linear],
    plan: Callable[..., FitPlan],
    shards: Shards,
    changes: dict[str, Any],
    said: str,
) -> None:
    with pytest.raises(ModelError, match=said):
        network().fit(shards, plan(**changes))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    given = plan()
    with pytest.raises(ModelError, match="1 GPU was asked for, torch sees none; give acc"):
        network().fit(shards, type(given)(given.folder, accelerator="gpu"))


def test_tensorboard_that_is_not_installed_is_named(
    network: Callable[..., Linear],
    plan: Callable[..., FitPlan],
    shards: Shards,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "torch.utils.tensorboard":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModelError, match="TensorBoard is not installed: pip install tensorboard, or train"):
        network().fit(shards, plan(tensorboard=tmp_path / "events"))


def test_a_checkpoint_that_cannot_be_written_says_whether_there_is_one_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    checkpoint = Checkpoint({}, {"weight": torch.zeros(2)})
    with monkeypatch.context() as patched:
        patched.setattr("curate.train.fit.checkpoint.save_file", full)
        with pytest.raises(WriteError, match=r"No space left.*; it was the first one, and no step of"):
            checkpoint.write(tmp_path)
    checkpoint.write(tmp_path)
    monkeypatch.setattr("curate.train.fit.checkpoint.save_file", full)
    with pytest.raises(WriteError, match=r"No space left.*; the checkpoint before it is kept"):
        checkpoint.write(tmp_path)
