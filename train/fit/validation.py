"""The losses of validation cells: the same cells and masks each time."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import torch

from curate.errors import ModelError
from curate.train.fit.seeds import seed_validation
from curate.train.loader import ShardLoader

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor

    from curate.train.fit.plan import FitPlan
    from curate.train.models.network import Network
    from curate.train.shards.shards import Shards


class Validation:
    """Reads the first validation cells, as many as the plan says; each rank its share of them.

    Attributes
    ----------
    n_batches
        Of this rank; 0 where there are no validation cells.
    """

    def __init__(self, network: Network, shards: Shards, plan: FitPlan, *, rank: int) -> None:
        self.network = network
        self._n_ranks, self._rank = plan.devices, rank
        n_cells = min(plan.validation_cells, shards.n_cells("val"))
        size = min(network.settings.batch_size, n_cells // plan.devices)
        self.n_batches = 0
        if size == 0:
            return
        self._loader = ShardLoader(
            shards,
            network.training_encoding(),
            split="val",
            batch_size=size,
            labels=network.labels(),
            mask=network.mask(),
            is_shuffled=False,
            rank=rank,
            n_ranks=plan.devices,
            n_threads=plan.n_threads,
        )
        # Whole batches of every rank, unless that is all there is.
        is_all = plan.validation_cells >= shards.n_cells("val")
        self.n_batches = len(self._loader) if is_all else n_cells // (size * plan.devices)

    def sums(
        self, precision: AbstractContextManager[None], device: torch.device, *, step: int
    ) -> dict[str, Tensor]:
        """Return the sums over cells of the losses, and the number of cells as "n", float64 scalars each."""
        sums: dict[str, Tensor] = {}
        self.network.eval()
        self._loader.set_epoch(0)
        with torch.no_grad(), precision:
            for number, batch in enumerate(islice(self._loader, self.n_batches)):
                seed_validation(number * self._n_ranks + self._rank)
                n = len(batch.rows)
                losses = self.network.losses(batch.to(device), step=step)
                for name, value in {**losses, "n": torch.ones((), device=device)}.items():
                    summed = value.detach().double().reshape(()) * n
                    sums[name] = sums[name] + summed if name in sums else summed
        self.network.train()
        return sums


def means(sums: dict[str, float], *, step: int) -> dict[str, float]:
    """Return the mean losses of validation.

    Raises
    ------
    ModelError
        When "loss" is no number.
    """
    n_cells = sums.pop("n")
    found = {name: value / n_cells for name, value in sums.items()}
    if not abs(found["loss"]) < float("inf"):
        raise ModelError(
            f"the loss of {n_cells:,.0f} validation cells is {found['loss']} after step {step:,}; lower "
            "learning_rate or clip_norm; the last good checkpoint is kept"
        )
    return found
