"""Runs that are killed and started again, each in a forked process: ``python killed_runs.py SHARDS OUT``.

Beside the checkpoint of each run, OUT gets its weights and log when it ends: ``<run>.pt``, ``<run>.parquet``.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch

# Before the forks, which share it.
import curate.train.fit.rank  # noqa: F401
from curate.train.fit import checkpoint
from curate.train.fit.plan import FitPlan
from curate.train.fit.trainer import fit
from curate.train.shards import Shards
from tests.train.fit.conftest import TINY, Linear

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from curate.train.loader import Batch

SHARDS, OUT = Path(sys.argv[1]), Path(sys.argv[2])
SETTINGS = TINY.model_copy(update={"schedule": "cosine", "warmup_steps": 5, "patience": None})


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Killed(Linear):
    """Is killed in the midst of a step."""

    at: int | None = None

    def losses(self, batch: Batch, *, step: int) -> Mapping[str, Tensor]:
        if step == self.at and self.training:
            kill()
        return super().losses(batch, step=step)


def run(name: str, at: int | None = None, n_writes: int | None = None) -> None:
    """Train; killed in a step, or in the midst of writing a checkpoint after `n_writes` of them."""
    Killed.at = at
    written = [0]
    save_file = safetensors.torch.save_file

    def save_part(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
        save_file(tensors, path, metadata)
        written[0] += 1
        if n_writes is not None and written[0] > n_writes:
            os.truncate(path, path.stat().st_size // 2)
            kill()

    vars(checkpoint)["save_file"] = save_part
    shards = Shards.open(SHARDS)
    network = Killed.create(shards, SETTINGS, seed=0)
    plan = FitPlan(OUT / name, accelerator="cpu", checkpoint_steps=4, n_threads=1 + len(name) % 2)
    report = fit(network, shards, plan)
    torch.save(network.state_dict(), OUT / f"{name}.pt")
    report.metrics.write_parquet(OUT / f"{name}.parquet")


def forked(name: str, **when: int | None) -> int:
    """Run in a process of its own; return how it ended: its exit code, or minus the signal."""
    pid = os.fork()
    if pid == 0:
        try:
            run(name, **when)
        except Exception:  # noqa: BLE001 (the parent process asks for the exit code)
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    # 14 steps an epoch, a checkpoint every 4: steps after the last checkpoint are lost
    codes = [forked("whole"), *(forked("killed", at=at) for at in (2, 6, 22))]
    codes += [forked("killed", n_writes=1), forked("killed")]
    print(codes)
