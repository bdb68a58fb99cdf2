"""A masked autoencoder: what hides half of a cell's genes must be told from the other half.

1. the loader hides genes of each cell, one by one or by whole gene programmes;
2. an encoder makes a short vector of what remains, scaled up by the share that was hidden;
3. a decoder makes expression of it; only the hidden genes count.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
import polars as pl
import torch
from pydantic import Field, model_validator
from torch import nn

from curate.documents import Listed
from curate.errors import ModelError
from curate.train.loader.encodings import Dense
from curate.train.loader.masks import ProgrammeMask, RandomMask
from curate.train.loader.programmes import read_gmt
from curate.train.models.model import Facts
from curate.train.models.network import Network
from curate.train.models.settings import NetworkSettings, Positive, Share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from curate.build.task.target import TaskTarget
    from curate.gene_space import GeneSpace
    from curate.train.loader.batch import Batch
    from curate.train.loader.masks import Mask
    from curate.train.loader.programmes import Programmes
    from curate.train.models.settings import Preset, Settings
    from curate.train.shards.shards import Shards

ORIGIN = ("source", "dataset_id")


class MaskedSettings(NetworkSettings):
    """Settings of `Masked`.

    Attributes
    ----------
    n_hidden
        Units of the encoder's hidden layers, as "512,256"; the decoder has the same, the other way round.
    dropout
        After each hidden layer.
    mask
        What is hidden: single genes, or whole gene programmes.
    mask_rate
        Share of the genes, or of the programmes.
    programmes
        A GMT file of gene programmes, read once; the model then holds them.
    loss_genes
        Which of the hidden genes count: all, or those that the cell's data set measured, the others being
        absent and not zero.
    output
        Of the decoder. The study's ends in a sigmoid, which cannot reach expression above 1.
    """

    n_hidden: Listed[Positive] = (512, 512, 256, 256)
    dropout: Share = 0.1
    mask: Literal["random", "programme"] = "random"
    mask_rate: Annotated[float, Field(gt=0, lt=1)] = 0.5
    programmes: str | None = None
    loss_genes: Literal["all", "measured"] = "all"
    output: Literal["linear", "sigmoid"] = "linear"

    @model_validator(mode="after")
    def _programmes_and_mask(self) -> Self:
        if self.programmes is not None and self.mask != "programme":
            raise ValueError(f"gene programmes and mask={self.mask}; set mask=programme, or leave them out")
        if self.programmes is None and self.mask == "programme":
            raise ValueError("masks of gene programmes without any; name a GMT file: programmes=FILE")
        return self


class MaskedFacts(Facts):
    """What the masks and the loss are made of.

    Attributes
    ----------
    programmes
        Number of genes of each gene programme.
    measured
        Sources and data sets of the cells, "source|dataset_id", where unmeasured genes do not count.
    """

    programmes: dict[str, int] = Field(default_factory=dict)
    measured: tuple[str, ...] = ()


class Masked(Network):
    """The masked autoencoder of the study (SSL).

    Expression is normalised to 10,000 counts a cell and log1p. An embedding is the encoder's vector of a cell
    none of whose genes is hidden.

    Attributes
    ----------
    programme_genes
        int64, the genes of the first gene programme, then of the second, and so on.
    is_measured
        bool [n_measured, n_genes], by the name in `facts.measured`.
    """

    name = "masked"
    summary = "a masked autoencoder: half of the genes are told from the other half"
    reference = "Richter et al. 2025, doi 10.1038/s42256-024-00934-3"
    facts_type = MaskedFacts
    presets: ClassVar[Mapping[Preset, MaskedSettings]] = {
        "tiny": MaskedSettings(n_dims=32, n_hidden=(128,), batch_size=128, min_steps=300),
        "study": MaskedSettings(
            n_dims=64, batch_size=8192, weight_decay=0.01, max_epochs=1000, output="sigmoid"
        ),
        "large": MaskedSettings(
            n_dims=128,
            n_hidden=(2048, 1024, 1024, 512),
            batch_size=4096,
            learning_rate=5e-4,
            weight_decay=0.01,
            max_epochs=100,
        ),
    }
    settings: MaskedSettings
    facts: MaskedFacts

    def __init__(self, settings: MaskedSettings, genes: GeneSpace, facts: MaskedFacts) -> None:
        super().__init__(settings, genes, facts)
        widths = [genes.n_genes, *settings.n_hidden, settings.n_dims]
        self.encoder = _layers(widths, settings.dropout)
        self.decoder = _layers(widths[::-1], settings.dropout)
        if settings.output == "sigmoid":
            self.decoder.append(nn.Sigmoid())
        self.programme_genes: Tensor
        self.is_measured: Tensor
        n_members, n_measured = sum(facts.programmes.values()), len(facts.measured)
        self.register_buffer("programme_genes", torch.zeros(n_members, dtype=torch.int64))
        self.register_buffer("is_measured", torch.ones((n_measured, genes.n_genes), dtype=torch.bool))

    @classmethod
    def learn(cls, shards: Shards, settings: Settings, task: TaskTarget | None) -> MaskedFacts:
        """Read gene programmes, and who measured the cells."""
        super().learn(shards, settings, task)
        assert isinstance(settings, MaskedSettings)
        sizes: dict[str, int] = {}
        if settings.mask == "programme":
            found = _programmes(settings, shards.genes)
            sizes = dict(zip(found.names, found.members.sum(axis=1).tolist(), strict=True))
        measured = _measured(shards)["origin"] if settings.loss_genes == "measured" else ()
        return MaskedFacts(programmes=sizes, measured=tuple(measured))

    def observe(self, shards: Shards, *, seed: int) -> None:
        """Take the genes of the programmes, and those that were measured."""
        if self.facts.programmes:
            genes = np.nonzero(_programmes(self.settings, shards.genes).members)[1]
            self.programme_genes.copy_(torch.from_numpy(genes))
        if self.facts.measured:
            presence = shards.genes.presence
            assert presence is not None
            rows = np.stack([presence.of(name) for name in _measured(shards)["measured"]])
            self.is_measured.copy_(torch.from_numpy(rows))

    def encoding(self) -> Dense:
        """Return normalised, log1p expression."""
        return Dense(self.genes.n_genes)

    def labels(self) -> dict[str, Sequence[str]]:
        """Return who measured a cell, where that counts."""
        return {"origin": ORIGIN} if self.facts.measured else {}

    def categories(self) -> dict[str, Sequence[str]]:
        """Return who measured a cell; of a cell of elsewhere all genes count."""
        return {"origin": self.facts.measured} if self.facts.measured else {}

    def mask(self) -> Mask:
        """Return which genes the loader hides."""
        if self.settings.mask == "random":
            return RandomMask(self.genes.n_genes, self.settings.mask_rate)
        sizes = list(self.facts.programmes.values())
        members = np.zeros((len(sizes), self.genes.n_genes), bool)
        members[np.repeat(np.arange(len(sizes)), sizes), self.programme_genes.cpu().numpy()] = True
        return ProgrammeMask(members, self.settings.mask_rate)

    def embed_batch(self, batch: Batch) -> Tensor:
        """Return the encoder's vectors."""
        vectors: Tensor = self.encoder(batch.x)
        return vectors

    def losses(self, batch: Batch, *, step: int) -> dict[str, Tensor]:
        """Return the mean squared error of the hidden genes."""
        assert batch.mask is not None
        n_seen = (~batch.mask).sum(dim=1, keepdim=True).clamp(min=1)
        # What remains is scaled up, so that a sum over all genes stays what it is when none are hidden.
        seen = batch.x.masked_fill(batch.mask, 0) * (self.genes.n_genes / n_seen)
        error = (self.decoder(self.encoder(seen)) - batch.x).square()
        counts = batch.mask
        if self.facts.measured:
            origin = batch.labels["origin"]
            counts = counts & (self.is_measured[origin] | (origin < 0)[:, None])
        return {"loss": (error * counts).sum() / counts.sum().clamp(min=1)}


def _layers(widths: Sequence[int], dropout: float) -> nn.Sequential:
    """Return linear layers with SELU and dropout between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.SELU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers[:-2])


def _programmes(settings: MaskedSettings, genes: GeneSpace) -> Programmes:
    assert settings.programmes is not None
    return read_gmt(Path(settings.programmes), genes)


def _measured(shards: Shards) -> pl.DataFrame:
    """Return `origin`, cells' labels as the loader orders them, and `measured`, who measured those cells."""
    origin = pl.concat_str([pl.col(name).cast(pl.String) for name in ORIGIN], separator="|")
    table = shards.obs(ORIGIN).select(origin.alias("origin")).with_columns(shards.measured())
    if n_unknown := table["origin"].null_count():
        raise ModelError(f"{n_unknown:,} cells name no data set, so that it is not known what was measured")
    return table.unique().sort("origin")
