"""How far a run has come: what, with the weights, decides everything that follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curate.train.fit.plan import Stopped


@dataclass
class Progress:
    """How far a run has come, and what it has cost.

    Attributes
    ----------
    epoch, next_batch
        Where the loader goes on: the batch of this rank, in this epoch.
    step, n_cells
        Optimiser steps taken; cells seen, over all ranks.
    seconds
        Of all runs together, validation and checkpoints included.
    training_s, waiting_s
        Spent on steps, waiting for their batches included; spent waiting for batches.
    energy_joules
        None where it cannot be read.
    best_step, best_loss
        The validation with the smallest loss.
    n_worse
        Validations since.
    stopped
        What ended the run; None while it is under way.
    """

    epoch: int = 0
    next_batch: int = 0
    step: int = 0
    n_cells: int = 0
    seconds: float = 0.0
    training_s: float = 0.0
    waiting_s: float = 0.0
    energy_joules: float | None = None
    best_step: int | None = None
    best_loss: float | None = None
    n_worse: int = 0
    stopped: Stopped | None = None

    @property
    def n_epochs(self) -> int:
        """Epochs begun."""
        return self.epoch + (self.next_batch > 0)

    def advance(self, *, n_batches: int, n_cells: int) -> None:
        """Count a step of an epoch of `n_batches`."""
        self.step += 1
        self.n_cells += n_cells
        self.next_batch += 1
        if self.next_batch == n_batches:
            self.epoch, self.next_batch = self.epoch + 1, 0
