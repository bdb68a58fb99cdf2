"""Training batches without end, made while the model works, and how long it waited for them."""

from __future__ import annotations

import time
from itertools import chain, repeat
from typing import TYPE_CHECKING

from curate.errors import ModelError
from curate.threads import ahead
from curate.train.loader import ShardLoader

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from curate.train.fit.plan import FitPlan
    from curate.train.fit.state import Progress
    from curate.train.loader import Batch
    from curate.train.models.network import Network
    from curate.train.shards.shards import Shards


def training_loader(network: Network, shards: Shards, plan: FitPlan, *, rank: int) -> ShardLoader:
    """Return the loader of the training cells of a rank.

    All batches are full, except where there are fewer cells than one batch: what is left of an epoch, less
    than a batch of each rank, is left out, other cells each time.

    Raises
    ------
    ModelError
        When cells are to be drawn by two sorts of weights.
    """
    size, n_cells = network.settings.batch_size, shards.n_cells("train")
    weights = network.sampling_weights(shards)
    if weights is not None and plan.is_weighted:
        raise ModelError(
            f"model {network.name} draws training cells by weights of its own, and those of the manifest "
            "were asked for; leave these out"
        )
    return ShardLoader(
        shards,
        network.training_encoding(),
        batch_size=size,
        labels=network.labels(),
        mask=network.mask(),
        weighting="sample" if plan.is_weighted or weights is not None else "none",
        weights=weights,
        seed=plan.seed,
        drop_last=n_cells >= size,
        rank=rank,
        n_ranks=plan.devices,
        n_threads=plan.n_threads,
    )


def check_cells(network: Network, shards: Shards, plan: FitPlan) -> None:
    """Refuse training cells that are no batch for each rank.

    Raises
    ------
    ModelError
        Saying which batch size would do.
    """
    size, n_cells = network.settings.batch_size, shards.n_cells("train")
    if plan.devices > 1 and n_cells < size * plan.devices:
        raise ModelError(
            f"{n_cells:,} training cells are no batch of {size} for each of {plan.devices} ranks; use a "
            f"batch_size of at most {max(n_cells // plan.devices, 1)}"
        )


class Stream:
    """The batches of one epoch after another, from where a run stands.

    A thread takes them from the loader ahead of the model, across the borders of epochs too.

    Attributes
    ----------
    waiting_s
        Time that the model has waited for batches.
    """

    def __init__(self, loader: ShardLoader, progress: Progress) -> None:
        self.waiting_s = 0.0
        # That the checkpoint is of these shards and settings has been seen (`check_same_run`).
        loader.set_epoch(progress.epoch, next_batch=progress.next_batch)
        self._batches = _endless(loader)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches for ever."""
        while True:
            started = time.perf_counter()
            batch = next(self._batches)
            self.waiting_s += time.perf_counter() - started
            yield batch

    def close(self) -> None:
        """End the threads."""
        self._batches.close()


def _endless(loader: ShardLoader) -> Generator[Batch]:
    yield from ahead(chain.from_iterable(repeat(loader)))
