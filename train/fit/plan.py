"""How long and where a model is trained, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

Precision = Literal["32", "bf16"]
Stopped = Literal["epochs", "steps", "cells", "minutes", "patience", "untrained", "fitted", "checkpoint"]


@dataclass(frozen=True)
class Budget:
    """When to stop; whichever comes first. Without any, the epochs and patience of the settings.

    A budget holds whatever the loss on validation cells does: runs with the same budget cost the same.

    Attributes
    ----------
    max_steps
        Optimiser steps.
    max_cells
        Training cells seen, over all ranks; a step is not cut.
    max_minutes
        Of training, validation included.
    """

    max_steps: int | None = None
    max_cells: int | None = None
    max_minutes: float | None = None

    @property
    def is_fixed(self) -> bool:
        """Whether any is given."""
        return any(value is not None for value in (self.max_steps, self.max_cells, self.max_minutes))


@dataclass(frozen=True)
class FitPlan:
    """How a model is to be trained.

    Attributes
    ----------
    folder
        Where checkpoints and the log of the run lie meanwhile; a run that was killed goes on from there.
    seed
        Of the order of the cells, and of masks, dropout and sampling.
    accelerator, devices
        Of Lightning: "auto", "cpu", "gpu"; how many ranks.
    precision
        "bf16" where the device has it.
    checkpoint_steps
        Steps between checkpoints; also one at every validation.
    validation_steps
        Steps between validations; after every round when None, which is an epoch but for few cells.
    validation_cells
        Most validation cells that are read each time: the first of the split, which is shuffled.
    n_threads
        Batches that the loader makes at the same time.
    is_weighted
        Draw training cells in proportion to the weights of the manifest.
    tensorboard
        Folder for TensorBoard's events; none are written when None.
    """

    folder: Path
    seed: int = 0
    budget: Budget = field(default_factory=Budget)
    accelerator: str = "auto"
    devices: int = 1
    precision: Precision = "32"
    checkpoint_steps: int = 500
    validation_steps: int | None = None
    validation_cells: int = 20_000
    n_threads: int = 2
    is_weighted: bool = False
    tensorboard: Path | None = None


@dataclass(frozen=True)
class FitReport:
    """What training did.

    Attributes
    ----------
    stopped
        What ended it; "checkpoint" where nothing has, and what it had come to was taken.
    n_steps, n_cells, n_epochs
        Optimiser steps, training cells seen (one twice counts twice) over all ranks, epochs begun.
    seconds
        Of all runs together that led here.
    waiting_fraction
        Share of the training time in which the model waited for data.
    energy_joules
        Of processor and GPU, where they can be read.
    best_step, best_loss
        The validation whose weights were kept.
    metrics
        Columns step, n_cells, epoch, seconds, split, metric, value: float64, in order.
    """

    stopped: Stopped
    n_steps: int
    n_cells: int
    n_epochs: int
    seconds: float
    metrics: pl.DataFrame
    waiting_fraction: float | None = None
    energy_joules: float | None = None
    best_step: int | None = None
    best_loss: float | None = None
