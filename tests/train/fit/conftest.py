"""A network small enough to be checked by hand: a linear autoencoder of expression."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import torch
from torch import nn

from curate.train.fit.plan import FitPlan
from curate.train.loader import Dense
from curate.train.models.network import Network
from curate.train.models.settings import NetworkSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

    from curate.train.loader import Batch, Encoding
    from curate.train.shards import Shards

DYING_RANK = "DYING_RANK"
TINY = NetworkSettings(n_dims=4, batch_size=16, max_epochs=3, learning_rate=1e-2)


class Linear(Network):
    """Encodes and decodes by a matrix each, with noise, so that it needs its seeds."""

    name = "linear"
    summary = "A linear autoencoder."
    reference = "none"
    presets: ClassVar = {"tiny": TINY}
    settings: NetworkSettings

    def __init__(self, settings: Any, genes: Any, facts: Any) -> None:
        super().__init__(settings, genes, facts)
        self.encode = nn.Linear(genes.n_genes, settings.n_dims)
        self.decode = nn.Linear(settings.n_dims, genes.n_genes)
        self.dropout = nn.Dropout(0.1)

    def encoding(self) -> Encoding:
        return Dense(self.genes.n_genes)

    def embed_batch(self, batch: Batch) -> Tensor:
        vectors: Tensor = self.encode(batch.x)
        return vectors

    def losses(self, batch: Batch, *, step: int) -> Mapping[str, Tensor]:
        masked = batch.x * (torch.rand(batch.x.shape, device=batch.x.device) > 0.2)
        rebuilt = self.decode(self.encode(self.dropout(masked)))
        squares = (rebuilt - batch.x).square().mean()
        size = self.encode.weight.square().mean()
        return {"loss": squares + 0.01 * size, "squares": squares, "size": size}


@pytest.fixture
def network(shards: Shards) -> Callable[..., Linear]:
    """Make a network of the shards, of one seed, with settings changed."""

    def make(*, seed: int = 0, kind: type[Linear] = Linear, **changes: Any) -> Linear:
        return kind.create(shards, TINY.model_copy(update=changes), seed=seed)

    return make


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., FitPlan]:
    """Make a plan in a folder of the test's own."""

    def make(folder: str = "run", **changes: Any) -> FitPlan:
        return FitPlan(tmp_path / folder, accelerator="cpu", **changes)

    return make


class Noiseless(Linear):
    """Draws nothing at random."""

    def losses(self, batch: Batch, *, step: int) -> Mapping[str, Tensor]:
        rebuilt = self.decode(self.encode(batch.x))
        return {"loss": (rebuilt - batch.x).square().mean()}


class Dying(Noiseless):
    """Is killed in a step of the rank that the environment names."""

    def losses(self, batch: Batch, *, step: int) -> Mapping[str, Tensor]:
        if step == 6 and self.training and os.environ["LOCAL_RANK"] == os.environ.get(DYING_RANK):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().losses(batch, step=step)
