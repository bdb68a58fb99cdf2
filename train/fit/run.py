"""What is done after every step of a run.

1. count it;
2. add its losses to those of the next row of the log;
3. see whether a limit has been reached;
4. validate where that is due, keep the best weights, see whether patience has ended;
5. write a checkpoint where that is due;
6. stop.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback

from curate.train.fit.budget import ended
from curate.train.fit.checkpoint import copied
from curate.train.fit.losses import LOG_STEPS
from curate.train.fit.validation import means

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from torch import Tensor

    from curate.train.fit.checkpoint import Checkpoint
    from curate.train.fit.plan import FitPlan
    from curate.train.fit.stream import Stream
    from curate.train.fit.validation import Validation
    from curate.train.loader import Batch
    from curate.train.models.network import Network


class Run(Callback):
    """Leads a run from checkpoint to checkpoint."""

    def __init__(
        self,
        network: Network,
        plan: FitPlan,
        checkpoint: Checkpoint,
        stream: Stream,
        validation: Validation,
        *,
        n_batches: int,
    ) -> None:
        self.network, self.plan, self.checkpoint = network, plan, checkpoint
        self.stream, self.validation, self.n_batches = stream, validation, n_batches
        self._before_s = checkpoint.progress.seconds
        self._waited_before_s = checkpoint.progress.waiting_s

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Give the optimiser the state that it had."""
        if self.checkpoint.optimiser:
            [optimiser] = trainer.optimizers
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": self.checkpoint.optimiser, "param_groups": groups})
        self._started = self._step_ended = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, module: Any, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Go through the stages."""
        progress, losses, plan = self.checkpoint.progress, self.checkpoint.losses, self.plan
        where = module.where
        is_epoch_end = progress.advance(
            n_batches=self.n_batches, n_cells=len(batch.rows) * trainer.world_size
        )
        self._look_at_clock()

        losses.add(module.values, where=where)

        stopped = ended(plan.budget, self.network.settings, progress)
        if plan.budget.max_minutes is not None and trainer.world_size > 1:
            stopped = trainer.strategy.broadcast(stopped)

        is_due = is_epoch_end if plan.validation_steps is None else progress.step % plan.validation_steps == 0
        is_validated = self.validation.n_batches > 0 and (is_due or stopped is not None)
        is_kept = is_validated or stopped is not None or progress.step % plan.checkpoint_steps == 0
        if is_kept or progress.step % LOG_STEPS == 0:
            losses.read()
        if stopped is not None or progress.step % LOG_STEPS == 0:
            row = losses.take()
            self.checkpoint.log.add(progress, "train", self._mean_over_ranks(trainer, row))
        if is_validated and self._validate(trainer, module.device) and stopped is None:
            stopped = "patience"

        progress.stopped = stopped
        if is_kept or stopped is not None:
            self._keep(trainer)
        self._step_ended = time.perf_counter()
        trainer.should_stop = stopped is not None

    def _look_at_clock(self) -> None:
        now = time.perf_counter()
        progress = self.checkpoint.progress
        progress.seconds = self._before_s + now - self._started
        progress.training_s += now - self._step_ended
        progress.waiting_s = self._waited_before_s + self.stream.waiting_s

    def _validate(self, trainer: Trainer, device: torch.device) -> bool:
        """Validate; return whether patience has ended."""
        progress = self.checkpoint.progress
        precision = trainer.precision_plugin.val_step_context()
        sums = self.validation.sums(precision, device, step=progress.step)
        added = trainer.strategy.reduce(torch.stack(list(sums.values())), reduce_op="sum")
        found = means(dict(zip(sums, added.tolist(), strict=True)), step=progress.step)
        self.checkpoint.log.add(progress, "val", found)
        if progress.best_loss is None or found["loss"] < progress.best_loss:
            progress.best_step, progress.best_loss, progress.n_worse = progress.step, found["loss"], 0
            if trainer.is_global_zero:
                self.checkpoint.best = copied(self.network.state_dict())
        else:
            progress.n_worse += 1
        patience = self.network.settings.patience
        return not self.plan.budget.is_fixed and patience is not None and progress.n_worse >= patience

    def _mean_over_ranks(self, trainer: Trainer, row: dict[str, float]) -> dict[str, float]:
        if trainer.world_size == 1:
            return row
        values = torch.tensor(list(row.values()), dtype=torch.float64, device=trainer.strategy.root_device)
        mean: Tensor = trainer.strategy.reduce(values, reduce_op="mean")
        return dict(zip(row, mean.tolist(), strict=True))

    def _keep(self, trainer: Trainer) -> None:
        """Write a checkpoint, on the first rank."""
        if not trainer.is_global_zero:
            return
        [optimiser] = trainer.optimizers
        state = optimiser.state_dict()["state"]
        self.checkpoint.model = copied(self.network.state_dict())
        self.checkpoint.optimiser = {number: copied(each) for number, each in state.items()}
        self.checkpoint.write(self.plan.folder)
