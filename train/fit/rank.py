"""The training of one rank: batches, Lightning, and what is done after every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer

from curate.train.fit.budget import known_steps
from curate.train.fit.quiet import quiet
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
    loader = training_loader(network, shards, plan, rank=rank)
    n_batches = len(loader)
    step_cells = min(loader.batch_size, loader.n_cells) * plan.devices
    n_steps = known_steps(plan.budget, network.settings, n_batches=n_batches, step_cells=step_cells)
    validation = Validation(network, shards, plan, rank=rank)
    stream = Stream(loader, checkpoint.progress)
    step = Step(network, checkpoint.progress, checkpoint.losses, seed=plan.seed, rank=rank, n_steps=n_steps)
    run = Run(network, plan, checkpoint, stream, validation, n_batches=n_batches)
    network.train()
    try:
        with quiet():
            trainer = Trainer(
                accelerator=plan.accelerator,
                devices=plan.devices,
                precision="bf16-mixed" if plan.precision == "bf16" else "32-true",
                plugins=[LightningEnvironment()],
                callbacks=[run],
                max_epochs=-1,
                limit_val_batches=0,
                num_sanity_val_steps=0,
                use_distributed_sampler=False,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                default_root_dir=plan.folder,
            )
            trainer.fit(step, stream)
    finally:
        stream.close()
