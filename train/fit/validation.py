"""The losses of validation cells: the same cells and masks each time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING

import torch

from curate.train.fit.seeds import seed_validation
from curate.train.loader import ShardLoader

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from torch import Tensor

    from curate.train.fit.plan import FitPlan
    from curate.train.loader.batch import Batch
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

    def losses(self, precision: AbstractContextManager[None], device: torch.device, *, step: int) -> LossSums:
        """Return the losses of the validation cells of this rank.

        Parameters
        ----------
        precision
            In which to compute them.
        step
            Steps taken, for the network.
        """
        self._loader.set_epoch(0)
        batches = islice(self._loader, self.n_batches)
        numbers = count(self._rank, self._n_ranks)
        with precision:
            found = loss_sums(self.network, batches, numbers, device, step=step)
        self.network.train()
        return found


@dataclass(frozen=True)
class LossSums:
    """Losses of some cells, so that those of several ranks can be added.

    Attributes
    ----------
    sums, n_cells
        Float64 [n losses]: the sum of each over the cells of the batches that have it, and how many these
        are.
    """

    names: tuple[str, ...]
    sums: Tensor
    n_cells: Tensor

    @property
    def means(self) -> dict[str, float]:
        """The mean of each; a loss that no batch has is left out."""
        held = zip(self.names, self.sums.tolist(), self.n_cells.tolist(), strict=True)
        return {name: total / n for name, total, n in held if n}


def loss_sums(
    network: Network, batches: Iterable[Batch], numbers: Iterable[int], device: torch.device, *, step: int
) -> LossSums:
    """Return the losses of the cells of some batches, in eval mode; one that is NaN is none.

    Parameters
    ----------
    numbers
        One for each batch, from which the global generators are seeded.
    device
        That of the network.
    step
        Steps taken, for the network.
    """
    names: tuple[str, ...] = ()
    sizes, found = [], []
    network.eval()
    with torch.no_grad():
        for number, batch in zip(numbers, batches, strict=False):
            seed_validation(number, device)
            losses = network.losses(batch.to(device), step=step)
            names = tuple(losses)
            found.append(torch.stack([value.float().reshape(()) for value in losses.values()]))
            sizes.append(len(batch.rows))
    # One transfer for all.
    values = torch.stack(found).cpu().double()
    is_there = ~values.isnan()
    # That one is no number, where it has to be one, is to be seen.
    is_there[:, names.index("loss")] = True
    n_cells = torch.tensor(sizes, dtype=torch.float64)[:, None] * is_there
    return LossSums(names, (values.where(is_there, 0) * n_cells).sum(0), n_cells.sum(0))


def mean_losses(
    network: Network, batches: Iterable[Batch], numbers: Iterable[int], device: torch.device, *, step: int
) -> tuple[int, dict[str, float]]:
    """Return how many cells there are in some batches, and the means over them of the losses.

    As `loss_sums`; a loss that no batch has is left out.
    """
    found = loss_sums(network, batches, numbers, device, step=step)
    return int(found.n_cells.max()), found.means
