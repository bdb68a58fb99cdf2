"""Training cells a second of each model: the trainer beside a bare loop over the same network."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import click

from benchmarks.measure import python, run
from benchmarks.table import Row, report

WAITING = 0.05
LEAST = 0.9
MODELS = ("scvi", "masked", "contrastive", "geneformer")

NOTES = (
    "one process a model; loops and trainer take as many steps, in turns; without validation and checkpoints",
    "neither the first steps are counted nor the trainer's last checkpoint",
    "bare loop: losses, backward, clip_grad_norm_, fused AdamW, over batches of the same loader, "
    "2 threads); in memory: over 4 batches that are held",
    "where model and loader share the cores, the loader takes its part: the difference of the two loops",
    "waiting: share of the training time in which the trainer waited for batches",
)


@click.command()
@click.argument("shards", type=click.Path(exists=True, path_type=Path))
@click.option("--model", "models", multiple=True, default=MODELS, show_default=True)
@click.option("--preset", default="tiny", show_default=True)
@click.option("--steps", default=40, show_default=True)
@click.option("--turns", default=3, show_default=True)
@click.option("--accelerator", default="auto", show_default=True)
def command(
    shards: Path, *, models: tuple[str, ...], preset: str, steps: int, turns: int, accelerator: str
) -> None:
    """Train each model on SHARDS (made by `curate materialize`) for some steps."""
    rows = []
    for model in models:
        arguments = [model, shards, preset, steps, turns, accelerator]
        done = run(python("benchmarks.train_run", *arguments), n_runs=1)
        rows += _rows(model, preset, json.loads(done.output.splitlines()[-1]))
    report("train", "Training", rows, notes=NOTES)


def _rows(model: str, preset: str, found: dict[str, Any]) -> list[Row]:
    pace = {name: statistics.median(found[name]) for name in ("trainer", "loop", "memory")}
    ratios = {
        name: statistics.median(a / b for a, b in zip(found["trainer"], found[name], strict=True))
        for name in ("loop", "memory")
    }
    waiting = statistics.median(found["waiting"])
    what = f"{model} {preset}, {found['n_parameters']:,} parameters, batches of {found['batch_size']}"
    return [
        Row(
            f"{what}: cells a second, beside a bare loop",
            f"{pace['trainer']:,.0f}",
            f"{pace['loop']:,.0f}",
            f"{ratios['loop']:.2f} x",
            f">= {LEAST:g} x",
            ratios["loop"] >= LEAST,
        ),
        Row("… beside one with batches in memory", "", f"{pace['memory']:,.0f}", f"{ratios['memory']:.2f} x"),
        Row("… waiting for data", f"{waiting:.1%}", target=f"< {WAITING:.0%}", met=waiting < WAITING),
    ]
