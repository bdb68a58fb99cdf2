"""Cells of three types in labelled counts, and a network of two layers that reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import polars as pl
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn

from curate.evaluate.data import EvaluationData
from curate.evaluate.subject import Subject
from curate.gene_space import GeneSpace
from curate.train.loader import Dense
from curate.train.models.model import Facts
from curate.train.models.network import Network
from curate.train.models.settings import NetworkSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from curate.train.artifact import Artifact
    from curate.train.loader import Batch, Encoding
    from curate.train.models.model import Model

N_CELLS, N_GENES, N_TYPES = 240, 30, 3
TYPES = ("B cell", "monocyte", "natural killer cell")


class Small(Network):
    """Two layers with dropout and batch norm."""

    name = "small"
    summary = "two layers"
    reference = "none"
    presets: ClassVar = {}
    settings: NetworkSettings

    def __init__(self, settings: Any, genes: Any, facts: Any) -> None:
        super().__init__(settings, genes, facts)
        self.first = nn.Linear(genes.n_genes, 16)
        self.norm = nn.BatchNorm1d(16)
        self.dropout = nn.Dropout(0.1)
        self.last = nn.Linear(16, settings.n_dims)

    def encoding(self) -> Encoding:
        return Dense(self.genes.n_genes)

    def embed_batch(self, batch: Batch) -> Tensor:
        vectors: Tensor = self.last(self.dropout(torch.relu(self.norm(self.first(batch.x)))))
        return vectors

    def losses(self, batch: Batch, *, step: int) -> Mapping[str, Tensor]:
        raise NotImplementedError


@dataclass(eq=False)
class Held(Subject):
    """A model in memory, as if it had been opened."""

    held: Model | None = None

    @property
    def id(self) -> str:
        return self.name

    @property
    def model_key(self) -> str:
        return "small"

    def model(self) -> Model:
        assert self.held is not None
        return self.held


def genes() -> GeneSpace:
    names = tuple(f"ENSG{i:011d}" for i in range(N_GENES))
    return GeneSpace(names, tuple(f"G{i}" for i in range(N_GENES)))


@pytest.fixture
def data() -> EvaluationData:
    """240 cells of 30 genes: three types, the first of half of the cells, each with ten genes of its own."""
    rng = np.random.default_rng(0)
    kind = np.array([0, 1, 0, 2])[np.arange(N_CELLS) % 4]
    rates = np.full((N_TYPES, N_GENES), 1.0)
    for each in range(N_TYPES):
        rates[each, 10 * each : 10 * each + 10] = 3
    return EvaluationData(
        name="cells",
        path=Path("cells.h5ad"),
        counts=csr_array(rng.poisson(rates[kind]).astype(np.uint32)),
        obs_names=pl.Series([f"cell {i}" for i in range(N_CELLS)]),
        obs=pl.DataFrame({"cell_type": [TYPES[each] for each in kind]}),
        var_names=pl.Series(genes().feature_ids),
        var=pl.DataFrame({"feature_name": genes().feature_names}),
    )


@pytest.fixture
def network() -> Small:
    """An untrained network of 4 dimensions."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Small(NetworkSettings(n_dims=4), genes(), Facts()).eval()


@pytest.fixture
def subject(network: Small) -> Held:
    """The network as what is evaluated."""
    return Held("small-1", "untrained", cast("Artifact", SimpleNamespace(id="small-1")), held=network)
