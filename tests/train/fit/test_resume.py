"""A run that is killed and started again comes to what it would have come to."""

from __future__ import annotations

import ast
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
import pytest
import torch

from curate.errors import ModelError, WriteError
from curate.train.fit.checkpoint import CHECKPOINT_FILE, Checkpoint
from curate.train.fit.log import LOG_FILE
from curate.train.fit.plan import Budget
from tests.train.fit.conftest import Linear

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from curate.train.fit.plan import FitPlan
    from curate.train.loader import Batch
    from curate.train.shards import Shards

ROOT = Path(__file__).parents[3]


def test_runs_killed_in_a_step_or_in_writing_end_bit_equal(shards: Shards, tmp_path: Path) -> None:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    script = [sys.executable, "-m", "tests.train.fit.killed_runs", str(shards.path), str(tmp_path)]
    done = subprocess.run(
        script, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert ast.literal_eval(done.stdout) == [0, -9, -9, -9, -9, 0], done.stderr
    whole, killed = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("whole", "killed"))
    assert all(torch.equal(value, killed[name]) for name, value in whole.items())
    logs = [pl.read_parquet(tmp_path / f"{name}.parquet").drop("seconds") for name in ("whole", "killed")]
    assert logs[0].equals(logs[1])
    # what the killed runs left aside is gone
    assert sorted(each.name for each in (tmp_path / "killed").iterdir()) == [CHECKPOINT_FILE, LOG_FILE]


def test_a_run_goes_on_from_its_checkpoint_and_does_not_begin_anew(
    network: Callable[..., Linear],
    plan: Callable[..., FitPlan],
    shards: Shards,
) -> None:
    class Interrupted(Linear):
        """Is interrupted in step 20, and counts its steps."""

        steps: ClassVar[list[int]] = []
        is_interrupted = True

        def losses(self, batch: Batch, *, step: int) -> Mapping[str, Tensor]:
            if self.training:
                self.steps.append(step)
                if step == 20 and self.is_interrupted:
                    raise KeyboardInterrupt
            return super().losses(batch, step=step)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        network(kind=Interrupted).fit(shards, plan(checkpoint_steps=6))
    assert signal.getsignal(signal.SIGINT) is handler
    Interrupted.steps.clear()
    Interrupted.is_interrupted = False
    report = network(kind=Interrupted).fit(shards, plan(checkpoint_steps=6))
    assert Interrupted.steps == list(range(18, report.n_steps))
    assert report.n_cells == report.n_steps * 16


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"seed": 1}, "plan.seed is 0, not 1"),
        ({"budget": Budget(max_steps=9)}, "plan.budget.max_steps is 5, not 9"),
        ({"validation_cells": 8}, "plan.validation_cells is 20000, not 8"),
    ],
)
def test_the_checkpoint_of_another_plan_is_refused(
    network: Callable[..., Linear],
    plan: Callable[..., FitPlan],
    shards: Shards,
    change: dict[str, Any],
    what: str,
) -> None:
    given = plan(budget=Budget(max_steps=5))
    network().fit(shards, given)
    with pytest.raises(ModelError, match=f"holds the checkpoint of another run: its {what}; give another"):
        network().fit(shards, replace(given, **change))


def test_the_checkpoint_of_other_settings_is_refused(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    network().fit(shards, plan(budget=Budget(max_steps=5)))
    with pytest.raises(ModelError, match=r"its settings.learning_rate is 0.01, not 0.5"):
        network(learning_rate=0.5).fit(shards, plan(budget=Budget(max_steps=5)))


def test_a_damaged_checkpoint_is_refused(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    given = plan(budget=Budget(max_steps=5))
    network().fit(shards, given)
    path = given.folder / CHECKPOINT_FILE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"is damaged .* remove it to train from the start"):
        network().fit(shards, given)


def test_a_full_disk_leaves_the_last_good_checkpoint(
    network: Callable[..., Linear],
    plan: Callable[..., FitPlan],
    shards: Shards,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = plan(checkpoint_steps=4)
    write, n_written = Checkpoint.write, [0]

    def write_to_full_disk(self: Checkpoint, folder: Path) -> None:
        n_written[0] += 1
        size = folder / CHECKPOINT_FILE
        limit = size.stat().st_size // 2 if n_written[0] == 3 else resource.RLIM_INFINITY
        # What the kernel then says (EFBIG) takes the way of a disk that is full (ENOSPC).
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            write(self, folder)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    monkeypatch.setattr(Checkpoint, "write", write_to_full_disk)
    with pytest.raises(WriteError, match=r"could not write .*checkpoint.*: .*; the checkpoint before it is"):
        network().fit(shards, given)
    found = Checkpoint.read(given.folder)
    assert found is not None
    assert found.progress.step == 8
    assert sorted(each.name for each in given.folder.iterdir()) == [CHECKPOINT_FILE, LOG_FILE]
    report = network().fit(shards, given)
    assert report.stopped == "epochs"
