"""The options of `curate train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from curate.cli.numbers import SEED
from curate.train.fit.plan import FitPlan, Precision

if TYPE_CHECKING:
    from collections.abc import Callable

POSITIVE = click.IntRange(min=1)
PRESETS = ("tiny", "study", "large")
ACCELERATORS = ("auto", "cpu", "gpu")
A_FOLDER = click.Path(file_okay=False, path_type=Path)


def training_options(function: Callable[..., None]) -> Callable[..., None]:
    """Offer what a training can be told."""
    default = FitPlan(Path())
    options = [
        click.option("--preset", type=click.Choice(PRESETS), default="study", show_default=True),
        click.option(
            "--set",
            "items",
            multiple=True,
            metavar="KEY=VALUE",
            help="A setting of the model instead of the preset's; repeatable.",
        ),
        click.option("--loss", help="As --set loss=…, for models that know several."),
        click.option("--batch-size", type=POSITIVE, help="As --set batch_size=…: cells of a step."),
        click.option(
            "--task",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="A task document: what the model is for, for models that know tasks.",
        ),
        click.option("--seed", type=SEED, default=0, show_default=True),
        click.option("--max-steps", type=POSITIVE, help="Budget: optimiser steps."),
        click.option(
            "--max-cells", type=POSITIVE, help="Budget: training cells seen, one twice counts twice."
        ),
        click.option(
            "--max-minutes", type=click.FloatRange(min=0, min_open=True), help="Budget: of training."
        ),
        click.option(
            "--max-epochs", type=POSITIVE, help="As --set max_epochs=…; so many, however few the cells."
        ),
        click.option(
            "--take-checkpoint",
            "takes_checkpoint",
            is_flag=True,
            help="Take no further step: make the model of the last checkpoint of this training, broken off.",
        ),
        click.option("--untrained", "is_untrained", is_flag=True, help="Take no step: the control."),
        click.option(
            "--weighted",
            "is_weighted",
            is_flag=True,
            help="Draw cells in proportion to the weights of the manifest.",
        ),
        click.option(
            "--shards", type=A_FOLDER, help="Shards of the manifest.  [default: those of the workspace]"
        ),
        click.option(
            "--verify/--no-verify",
            default=None,
            help="Compare shards with their sha256 first.  [default: up to 4 GiB of them]",
        ),
        click.option(
            "--precision",
            type=click.Choice(get_args(Precision)),
            default=default.precision,
            show_default=True,
        ),
        click.option("--accelerator", type=click.Choice(ACCELERATORS), default="auto", show_default=True),
        click.option("--devices", type=POSITIVE, default=default.devices, show_default=True),
        click.option(
            "--validation-steps", type=POSITIVE, help="Steps between validations.  [default: an epoch]"
        ),
        click.option(
            "--validation-cells",
            type=POSITIVE,
            default=default.validation_cells,
            show_default=True,
            help="Most validation cells of each.",
        ),
        click.option(
            "--checkpoint-steps", type=POSITIVE, default=default.checkpoint_steps, show_default=True
        ),
        click.option(
            "--threads",
            "n_threads",
            type=POSITIVE,
            default=default.n_threads,
            show_default=True,
            help="Batches made at the same time.",
        ),
        click.option("--tensorboard", type=A_FOLDER, help="A folder for TensorBoard's events."),
        click.option(
            "--log-csv",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Write the log as CSV too, in a folder that is made where there is none.",
        ),
        click.option("--name", help="Of the model.  [default: MODEL-MANIFEST-vVERSION-ID]"),
    ]
    for option in reversed(options):
        function = option(function)
    return function
