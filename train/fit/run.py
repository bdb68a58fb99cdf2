"""What is done after every step of a run.

1. count it, and what it has cost;
2. see whether a limit has been reached;
3. read the losses at the first step and every few, refuse those that are no numbers, write a row of the log;
4. validate where that is due, keep the best weights, see whether patience has ended;
5. write a checkpoint where that is due;
6. show how far it is, and stop or go on.

Every rank goes through the same stages at the same steps; the first one writes and shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback

from curate.errors import CurateError, TrainingError
from curate.train.fit.budget import ended, round_steps, share_done
from curate.train.fit.checkpoint import copied
from curate.train.fit.cost import Meter
from curate.train.fit.energy import Energy
from curate.train.fit.losses import LOG_STEPS
from curate.train.fit.validation import LossSums

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from torch import Tensor

    from curate.train.fit.checkpoint import Checkpoint
    from curate.train.fit.display import Display
    from curate.train.fit.events import Events
    from curate.train.fit.plan import FitPlan, Stopped
    from curate.train.fit.stream import Stream
    from curate.train.fit.validation import Validation
    from curate.train.loader import Batch
    from curate.train.models.network import Network


class Run(Callback):
    """Leads a run from checkpoint to checkpoint.

    Parameters
    ----------
    checkpoint
        Where it begins; it follows the run.
    n_batches, n_steps
        Steps of an epoch; of the run, where that is known.
    display, events
        Of the first rank.
    """

    def __init__(
        self,
        network: Network,
        plan: FitPlan,
        checkpoint: Checkpoint,
        *,
        stream: Stream,
        validation: Validation,
        n_batches: int,
        n_steps: int | None,
        display: Display | None,
        events: Events | None,
    ) -> None:
        self.network, self.plan, self.checkpoint = network, plan, checkpoint
        self.stream, self.validation = stream, validation
        self.n_batches, self.n_steps = n_batches, n_steps
        self.validation_steps = plan.validation_steps or round_steps(network.settings, n_batches=n_batches)
        self.display, self.events = display, events

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Give the optimiser the state that it had, and start the clock."""
        if self.checkpoint.optimiser:
            [optimiser] = trainer.optimizers
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": self.checkpoint.optimiser, "param_groups": groups})
        on_gpu = trainer.strategy.root_device.type == "cuda"
        energy = Energy(n_gpus=trainer.world_size if on_gpu else 0)
        self.meter = Meter(self.checkpoint.progress, self.stream, energy)

    def on_train_batch_end(
        self, trainer: Trainer, module: Any, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Go through the stages."""
        progress, losses, plan = self.checkpoint.progress, self.checkpoint.losses, self.plan
        losses.add(module.values, where=module.where)

        progress.advance(n_batches=self.n_batches, n_cells=len(batch.rows) * trainer.world_size)
        self.meter.end_step()

        stopped = self._ended(trainer)

        is_due = progress.step % self.validation_steps == 0
        is_validated = self.validation.n_batches > 0 and (is_due or stopped is not None)
        is_kept = is_validated or stopped is not None or progress.step % plan.checkpoint_steps == 0
        is_logged = stopped is not None or progress.step == 1 or progress.step % LOG_STEPS == 0
        if is_kept or is_logged:
            losses.read()
        if is_logged:
            self._log(trainer)

        if is_validated and self._validate(trainer, module.device) and stopped is None:
            stopped = "patience"
            if not is_logged:
                self._log(trainer)

        progress.stopped = stopped
        if is_kept:
            self._keep(trainer)

        if self.display is not None:
            share = share_done(plan.budget, progress, n_steps=self.n_steps)
            self.display.show(progress, share=1.0 if stopped else share)
        trainer.should_stop = stopped is not None
        self.meter.begin_step()

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Write the log up to where training broke off; the checkpoint stays as it is."""
        if isinstance(exception, (TrainingError, RuntimeError, MemoryError)) and trainer.is_global_zero:
            row = self.checkpoint.losses.take()
            if row:
                self._tell("train", row)
            try:
                self.checkpoint.log.write(self.plan.folder)
            except CurateError:
                # What is to be said is why training ended.
                return

    def _ended(self, trainer: Trainer) -> Stopped | None:
        stopped = ended(self.plan.budget, self.checkpoint.progress, n_steps=self.n_steps)
        if self.plan.budget.max_minutes is not None and trainer.world_size > 1:
            # Clocks differ, and all ranks must end at the same step.
            stopped = trainer.strategy.broadcast(stopped)
        return stopped

    def _validate(self, trainer: Trainer, device: torch.device) -> bool:
        """Validate; return whether patience has ended."""
        progress = self.checkpoint.progress
        precision = trainer.precision_plugin.val_step_context()
        found = self.validation.losses(precision, device, step=progress.step)
        shares = torch.stack([found.sums, found.n_cells])
        total: Tensor = trainer.strategy.reduce(_on(trainer, shares), reduce_op="sum")
        found = LossSums(found.names, *total.cpu())
        means = found.means
        if not abs(means["loss"]) < float("inf"):
            raise TrainingError(
                f"training diverged: the loss of {found.n_cells.max():,.0f} validation cells is "
                f"{means['loss']} after step {progress.step:,}; lower learning_rate or clip_norm"
            )
        self.meter.look()
        self._tell("val", means)
        if progress.best_loss is None or means["loss"] < progress.best_loss:
            progress.best_step, progress.best_loss, progress.n_worse = progress.step, means["loss"], 0
            if trainer.is_global_zero:
                self.checkpoint.best = copied(self.network.state_dict())
        else:
            progress.n_worse += 1
        patience = self.network.settings.patience
        return not self.plan.budget.is_fixed and patience is not None and progress.n_worse >= patience

    def _keep(self, trainer: Trainer) -> None:
        """Write a checkpoint, on the first rank."""
        self.checkpoint.sums_of_others = _of_all_ranks(trainer, self.checkpoint.losses.sums)[1:]
        if not trainer.is_global_zero:
            return
        [optimiser] = trainer.optimizers
        state = optimiser.state_dict()["state"]
        for name, value in self.network.named_parameters():
            if not bool(value.isfinite().all()):
                raise TrainingError(
                    f"training diverged: after step {self.checkpoint.progress.step:,} weights of {name} are "
                    "not finite; lower learning_rate or clip_norm"
                )
        self.checkpoint.model = copied(self.network.state_dict())
        self.checkpoint.optimiser = {number: copied(each) for number, each in state.items()}
        self.meter.look()
        self.checkpoint.write(self.plan.folder)

    def _log(self, trainer: Trainer) -> None:
        """Write a row of the log: the means over the steps since the row before."""
        self.meter.look_at_energy()
        self._tell("train", _mean_over_ranks(trainer, self.checkpoint.losses.take()))

    def _tell(self, split: str, values: dict[str, float]) -> None:
        """Write down the values after a step: in the log, on the screen, as events."""
        progress = self.checkpoint.progress
        self.checkpoint.log.add(progress, split, values)
        if self.display is not None:
            self.display.add(split, values)
        if self.events is not None:
            self.events.add(split, values, step=progress.step)


def _mean_over_ranks(trainer: Trainer, row: dict[str, float]) -> dict[str, float]:
    if trainer.world_size == 1:
        return row
    values = _on(trainer, torch.tensor(list(row.values()), dtype=torch.float64))
    mean: Tensor = trainer.strategy.reduce(values, reduce_op="mean")
    return dict(zip(row, mean.tolist(), strict=True))


def _of_all_ranks(trainer: Trainer, sums: dict[str, float]) -> list[dict[str, float]]:
    """Return the sums of every rank."""
    if trainer.world_size == 1 or not sums:
        return [sums]
    own = torch.zeros(trainer.world_size, len(sums), dtype=torch.float64)
    own[trainer.global_rank] = torch.tensor(list(sums.values()), dtype=torch.float64)
    found: Tensor = trainer.strategy.reduce(_on(trainer, own), reduce_op="sum")
    return [dict(zip(sums, row, strict=True)) for row in found.tolist()]


def _on(trainer: Trainer, values: Tensor) -> Tensor:
    """Return the values where ranks can exchange them."""
    return values if trainer.world_size == 1 else values.to(trainer.strategy.root_device)
