"""Lightning as our engine: device, precision and ranks are its part; files, words and Ctrl-C are not."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.strategies.ddp import DDPStrategy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightning.pytorch import Callback

    from curate.train.fit.plan import FitPlan

LOGGERS = ("lightning.pytorch", "lightning.fabric")
#: Starts of warnings that a user can do nothing about: of how Lightning uses torch, and advice of both.
WARNINGS = (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    r"Found .* module\(s\) in eval mode",
)


def make_trainer(plan: FitPlan, callback: Callback) -> Trainer:
    """Return Lightning's trainer, which does nothing but steps: the callback decides when it stops."""
    return Trainer(
        accelerator=plan.accelerator,
        devices=plan.devices,
        # A model may leave parameters out of a loss.
        strategy=DDPStrategy(find_unused_parameters=True) if plan.devices > 1 else "auto",
        precision="bf16-mixed" if plan.precision == "bf16" else "32-true",
        # Whatever scheduler of a cluster started this process: it knows nothing of our ranks.
        plugins=[LightningEnvironment()],
        callbacks=[callback],
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


@contextmanager
def quiet() -> Iterator[None]:
    """Show no notes and tips of Lightning while the block runs, and raise KeyboardInterrupt as ever."""
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        with warnings.catch_warnings():
            for start in WARNINGS:
                warnings.filterwarnings("ignore", message=start)
            yield
    except SystemExit as ending:
        # Lightning makes this of Ctrl-C, and is deaf to it from then on.
        if isinstance(ending.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if is_main:
            signal.signal(signal.SIGINT, handler)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
