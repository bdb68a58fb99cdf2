"""A whole network, trained with its head on counts of cells."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from curate.errors import ModelError
from curate.evaluate.finetune.head import CPU, Head, cells_of, parameters_of
from curate.evaluate.finetune.loop import Limits, minimise
from curate.progress import progress
from curate.train.loader.batch import Batch
from curate.train.models.network import Network
from curate.train.shards.shards import Shard

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array
    from torch import Tensor

    from curate.evaluate.finetune.settings import FineTuneSettings
    from curate.train.models.model import Model


def takes_gradients(model: Model) -> bool:
    """Return whether the whole of a model can be fine-tuned."""
    return isinstance(model, Network)


def train_full(
    network: Network,
    head: Head,
    counts: csr_array,
    labels: NDArray[np.str_],
    settings: FineTuneSettings,
    *,
    seed: int,
    what: str = "a network",
) -> tuple[Network, Head]:
    """Train copies of a network and of its head together.

    The network learns at `encoder_learning_rate`, without weight decay. Its dropout is as in its own
    training; the statistics of batch norms stay those that it has, so that a cell's vector does not depend
    on the others, as when it embeds.

    Parameters
    ----------
    head
        That was trained on the network's vectors of the same cells, from the same seed.
    counts
        Raw counts [n_cells, n_genes] in the genes of the network.
    labels
        [n_cells].

    Returns
    -------
    network, head
        In eval mode; those given are as they were.

    Raises
    ------
    ModelError
        When the embeddings carry no gradients, the loss is no number, or the GPU has not enough memory.
    """
    network, layers = deepcopy(network), deepcopy(head.layers)
    device = next((each.device for each in network.parameters()), CPU)
    layers.to(device)
    _, cells = cells_of(labels, settings, seed=seed, device=device)
    both = nn.ModuleDict({"network": network, "head": layers})
    read = _Reader(network, counts, device)

    def scores(rows: NDArray[np.int64]) -> Tensor:
        vectors = network.embed_batch(read(rows)).float()
        if torch.is_grad_enabled() and not vectors.requires_grad:
            raise ModelError(f"the vectors of {what} carry no gradients; fine-tune its head only")
        found: Tensor = layers(vectors)
        return found

    def prepare() -> None:
        both.train()
        for each in network.modules():
            if isinstance(each, _BatchNorm):
                each.eval()

    limits = Limits(settings.full_epochs, settings.full_patience, settings.max_steps)
    n_most = limits.n_steps(-(-cells.learned.size // settings.batch_size))
    encoder = [each for each in network.parameters() if each.requires_grad]
    with progress(f"Fine-tuning {what}", n_most, unit="steps") as advance:
        curve = minimise(
            both,
            scores,
            cells,
            [
                {"params": encoder, "lr": settings.encoder_learning_rate, "weight_decay": 0.0},
                parameters_of(layers, settings),
            ],
            limits,
            batch_size=settings.batch_size,
            seed=seed,
            what=what,
            prepare=prepare,
            advance=advance,
        )
    return network, Head(head.classes, layers, curve)


class _Reader:
    """Batches of any rows of counts, as the network embeds them."""

    def __init__(self, network: Network, counts: csr_array, device: torch.device) -> None:
        self._encoding = network.encoding()
        self._device = device
        self._shard = Shard(
            "cells",
            0,
            counts.indptr.astype(np.int64),
            counts.indices.astype(np.uint32),
            counts.data.astype(np.uint32),
        )

    def __call__(self, rows: NDArray[np.int64]) -> Batch:
        x, lengths = self._encoding.encode([(self._shard, rows, np.arange(rows.size))], rows.size)
        return Batch(x=x, rows=torch.from_numpy(rows), labels={}, lengths=lengths).to(self._device)
