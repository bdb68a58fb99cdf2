"""One model, trained by the trainer and by bare loops, in turns."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import polars as pl
import torch

from curate.train.fit.losses import LOG_STEPS
from curate.train.fit.plan import Budget, FitPlan
from curate.train.fit.stream import training_loader
from curate.train.fit.trainer import fit
from curate.train.models import MODELS
from curate.train.models.network import Network
from curate.train.shards import Shards

if TYPE_CHECKING:
    from collections.abc import Iterator

    from curate.train.loader import Batch, ShardLoader

WARM_UP = 3
HELD = 4


@click.command()
@click.argument("model")
@click.argument("folder", type=Path)
@click.argument("preset")
@click.argument("steps", type=int)
@click.argument("turns", type=int)
@click.argument("accelerator")
def main(model: str, folder: Path, preset: str, steps: int, turns: int, accelerator: str) -> None:
    """Print cells a second of each way, turn by turn, as JSON."""
    shards = Shards.open(folder)
    kind: Any = MODELS[model]
    network = kind.create(shards, kind.presets[preset], seed=0)
    assert isinstance(network, Network)
    found: dict[str, Any] = {"trainer": [], "loop": [], "memory": [], "waiting": []}
    on_gpu = accelerator == "gpu" or (accelerator == "auto" and torch.cuda.is_available())
    device = torch.device("cuda" if on_gpu else "cpu")
    for _ in range(turns):
        with tempfile.TemporaryDirectory() as run:
            plan = FitPlan(
                Path(run),
                accelerator=accelerator,
                budget=Budget(max_steps=WARM_UP + steps),
                validation_cells=0,
                checkpoint_steps=WARM_UP + steps + 1,
            )
            loader = training_loader(network, shards, plan, rank=0)
            held = [batch for batch, _ in zip(loader, range(HELD), strict=False)]
            loader.set_epoch(0)
            found["loop"].append(_loop(network, _endless(loader), steps, device))
            found["memory"].append(_loop(network, _again(held), steps, device))
            done = fit(network, shards, plan)
            # Between the tenth and the last row of the log: neither the first steps nor the last checkpoint.
            rows = done.metrics.filter(pl.col("step") >= LOG_STEPS)
            n_cells, seconds = rows["n_cells"], rows["seconds"]
            found["trainer"].append((n_cells[-1] - n_cells[0]) / (seconds[-1] - seconds[0]))
            found["waiting"].append(done.waiting_fraction)
    found["n_parameters"] = sum(each.numel() for each in network.parameters())
    found["batch_size"] = network.settings.batch_size
    print(json.dumps(found))


def _loop(network: Network, batches: Iterator[Batch], steps: int, device: torch.device) -> float:
    """Return cells a second."""
    network.to(device).train()
    trained = [each for each in network.parameters() if each.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-4, fused=True)
    n_cells, started = 0, 0.0
    for step, batch in zip(range(WARM_UP + steps), batches, strict=False):
        if step == WARM_UP:
            _wait(device)
            n_cells, started = 0, time.perf_counter()
        optimiser.zero_grad()
        network.losses(batch.to(device), step=step)["loss"].backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        n_cells += len(batch.rows)
    _wait(device)
    return n_cells / (time.perf_counter() - started)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _endless(loader: ShardLoader) -> Iterator[Batch]:
    while True:
        yield from loader


def _again(held: list[Batch]) -> Iterator[Batch]:
    while True:
        yield from held


if __name__ == "__main__":
    main()
