"""The trainer: trains a network on shards, and goes on where a killed run stopped.

1. see how far the folder of the plan has come, and refuse it when it is of another run;
2. train from there (`Run` says what is done after every step) until a budget, the epochs or patience end;
3. give the network the weights that are kept, and report.

The same seed gives the same weights and metrics on one machine, whatever the threads and however often the
run was killed: the order of the cells follows from seed and epoch, the masks and dropout of a step from seed,
rank and step, the learning rate from the step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.errors import ModelError, TrainingError
from curate.train.fit import budget
from curate.train.fit.checkpoint import Checkpoint, check_same_run, copied, describe_run, step_reached
from curate.train.fit.devices import check_devices
from curate.train.fit.log import LOG_FILE
from curate.train.fit.plan import FitReport
from curate.train.fit.seeds import generators_kept
from curate.train.fit.stream import check_cells

if TYPE_CHECKING:
    from pathlib import Path

    from curate.train.fit.plan import FitPlan
    from curate.train.models.network import Network
    from curate.train.shards.shards import Shards


def fit(network: Network, shards: Shards, plan: FitPlan) -> FitReport:
    """Train a network in place.

    Raises
    ------
    ModelError
        When the training cells are too few for a batch, or something that the plan needs is not there.
    TrainingError
        When a loss is no number, there is not enough memory, or a rank has died, saying which checkpoint is
        kept, if any; or when the folder holds the checkpoint of another run.
    WriteError
        When a checkpoint cannot be written; the one before is kept.
    """
    checkpoint = _open_run(network, shards, plan)
    if checkpoint.progress.stopped is None:
        try:
            checkpoint = _train(network, shards, plan, checkpoint)
        except TrainingError as error:
            raise TrainingError(f"{error}; {_what_is_kept(plan.folder)}") from error
    return _close_run(network, checkpoint)


def take_checkpoint(network: Network, shards: Shards, plan: FitPlan) -> FitReport:
    """Give a network what a run that was broken off had come to; take no further step.

    Raises
    ------
    ModelError
        When the folder of the plan holds no checkpoint.
    TrainingError
        When it holds that of another run, or a damaged one.
    """
    checkpoint = _open_run(network, shards, plan)
    if not checkpoint.progress.step:
        raise ModelError(f"no checkpoint has been written in {plan.folder}; train it first")
    return _close_run(network, checkpoint)


def _what_is_kept(folder: Path) -> str:
    step = step_reached(folder)
    if step:
        return f"the checkpoint of step {step:,} is kept in {folder}"
    if (folder / LOG_FILE).exists():
        return f"no checkpoint had been written: nothing is kept but the log, in {folder}"
    return "no checkpoint had been written: nothing is kept"


def _open_run(network: Network, shards: Shards, plan: FitPlan) -> Checkpoint:
    budget.check(plan)
    run = describe_run(network, shards, plan)
    found = Checkpoint.read(plan.folder)
    if found is None:
        return Checkpoint(run, copied(network.state_dict()))
    check_same_run(found.run, run, plan.folder)
    return found


def _train(network: Network, shards: Shards, plan: FitPlan, checkpoint: Checkpoint) -> Checkpoint:
    check_devices(plan)
    check_cells(network, shards, plan)
    if plan.devices == 1:
        from curate.train.fit.rank import train_rank

        network.load_state_dict(checkpoint.model)
        with generators_kept():
            train_rank(network, shards, plan, checkpoint, rank=0)
        return checkpoint
    from curate.train.fit.ranks import train_ranks

    checkpoint.write(plan.folder)
    train_ranks(network, shards, plan)
    trained = Checkpoint.read(plan.folder)
    assert trained is not None
    return trained


def _close_run(network: Network, checkpoint: Checkpoint) -> FitReport:
    network.load_state_dict(checkpoint.kept)
    network.zero_grad(set_to_none=True)
    network.eval()
    progress = checkpoint.progress
    return FitReport(
        stopped=progress.stopped or "checkpoint",
        n_steps=progress.step,
        n_cells=progress.n_cells,
        n_epochs=progress.n_epochs,
        seconds=progress.seconds,
        metrics=checkpoint.log.table,
        waiting_fraction=progress.waiting_s / progress.training_s if progress.training_s else None,
        energy_joules=progress.energy_joules,
        best_step=progress.best_step,
        best_loss=progress.best_loss,
    )
