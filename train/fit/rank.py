"""The training of one rank: batches, Lightning, and what is done after every step."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import torch

from curate.errors import TrainingError
from curate.train.fit.budget import known_steps
from curate.train.fit.display import Display
from curate.train.fit.engine import make_trainer, quiet
from curate.train.fit.events import Events
from curate.train.fit.run import Run
from curate.train.fit.step import Step
from curate.train.fit.stream import Stream, training_loader
from curate.train.fit.validation import Validation

if TYPE_CHECKING:
    from curate.train.fit.checkpoint import Checkpoint
    from curate.train.fit.plan import FitPlan
    from curate.train.models.network import Network
    from curate.train.shards.shards import Shards


def train_rank(network: Network, shards: Shards, plan: FitPlan, checkpoint: Checkpoint, *, rank: int) -> None:
    """Train until something ends the run; `checkpoint`, whose weights the network has, follows it."""
    progress = checkpoint.progress
    loader = training_loader(network, shards, plan, rank=rank)
    n_batches = len(loader)
    step_cells = min(loader.batch_size, loader.n_cells) * plan.devices
    n_steps = known_steps(plan.budget, network.settings, n_batches=n_batches, step_cells=step_cells)
    validation = Validation(network, shards, plan, rank=rank)
    with ExitStack() as stack:
        stream = stack.enter_context(closing(Stream(loader, progress)))
        display = events = None
        if rank == 0:
            display = stack.enter_context(closing(Display(network.name, progress)))
            if plan.tensorboard is not None:
                events = stack.enter_context(closing(Events(plan.tensorboard, step=progress.step)))
        step = Step(network, progress, checkpoint.losses, seed=plan.seed, rank=rank, n_steps=n_steps)
        run = Run(
            network,
            plan,
            checkpoint,
            stream=stream,
            validation=validation,
            n_batches=n_batches,
            n_steps=n_steps,
            display=display,
            events=events,
        )
        network.train()
        try:
            with quiet():
                make_trainer(plan, run).fit(step, stream)
        except (MemoryError, RuntimeError) as fault:
            if (of := _lacks_memory(fault)) is None:
                raise
            raise TrainingError(_out_of_memory(network.settings.batch_size, plan, of=of)) from fault


def _lacks_memory(fault: Exception) -> str | None:
    """Return what has not enough memory; None where that is not the fault."""
    if isinstance(fault, torch.cuda.OutOfMemoryError):
        return "the GPU"
    # What torch raises for the processor is a RuntimeError like any other.
    return "this machine" if isinstance(fault, MemoryError) or "CPUAllocator" in str(fault) else None


def _out_of_memory(batch_size: int, plan: FitPlan, *, of: str) -> str:
    less = f"batch_size {batch_size // 2}" if batch_size > 1 else "a smaller preset"
    other = "" if plan.precision == "bf16" else ", or precision bf16"
    return f"{of} has not enough memory for batches of {batch_size:,} cells; try {less}{other}"
