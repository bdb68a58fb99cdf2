"""`contrastive`: cells of one type are near one another on a sphere, whichever dataset they are from.

1. the types of the cells are compared through the Cell Ontology (`contrastive_types`);
2. cells are drawn so that types and datasets are balanced (`contrastive_sampling`);
3. an encoder puts them on the unit sphere, where pairs are pulled and pushed (`contrastive_losses`);
4. a decoder rebuilds their expression from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import polars as pl
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from curate.errors import ModelError
from curate.train.loader.encodings import Dense
from curate.train.models.contrastive_losses import Loss, Pairs, ntxent_loss, supcon_loss, triplet_loss
from curate.train.models.contrastive_sampling import (
    DATASET_CELLS,
    TYPE_CELLS,
    balanced_weights,
    with_share,
)
from curate.train.models.contrastive_types import NAME, TYPE, TypeFacts, alike_and_different, learn_types
from curate.train.models.network import Network
from curate.train.models.settings import NetworkSettings, Positive, Preset, Rate, Share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from curate.build.task.target import TaskTarget
    from curate.gene_space import GeneSpace
    from curate.train.loader.batch import Batch
    from curate.train.models.settings import Settings
    from curate.train.shards.shards import Shards


class ContrastiveSettings(NetworkSettings):
    """Settings of `contrastive`; the defaults are SCimilarity's, where nothing else is said.

    Attributes
    ----------
    hidden, n_hidden
        Units of a hidden layer, and hidden layers, of the encoder and of the decoder.
    dropout, input_dropout
        Before the hidden layers but the first; of the genes.
    loss
        "triplet", "supcon" or "ntxent".
    contrast_weight
        Share of the contrastive loss; the rest is of the reconstruction, the mean squared error of
        log-normalised expression.
    margin
        Of triplets, in Euclidean distance on the unit sphere.
    temperature
        Of supcon and ntxent (Khosla et al. 2020).
    across
        obs column in which positives differ; any two cells of a type are positives when None.
    task_share
        Least share of draws that the types of a task get.
    """

    n_dims: Positive = 128
    hidden: Positive = 1024
    n_hidden: Positive = 3
    dropout: Share = 0.5
    input_dropout: Share = 0.4
    loss: Loss = "triplet"
    contrast_weight: Share = 0.001
    margin: Rate = 0.05
    temperature: Rate = 0.1
    across: str | None = "dataset_id"
    task_share: float = Field(default=0.5, gt=0, lt=1)
    batch_size: Positive = 1000
    learning_rate: Rate = 5e-3
    weight_decay: float = Field(default=0.01, ge=0)
    schedule: Literal["constant", "linear", "cosine"] = "cosine"


class Contrastive(Network):
    """Metric learning on cell types, with a decoder beside it."""

    name: ClassVar[str] = NAME
    learns: ClassVar[str] = "the names of their cell types"
    summary: ClassVar[str] = (
        "Cells of a type lie together on a sphere, across datasets; types are compared by the Cell Ontology."
    )
    reference: ClassVar[str] = "Heimberg et al. 2024 (SCimilarity), doi 10.1038/s41586-024-08411-y"
    presets: ClassVar[Mapping[Preset, Settings]] = {
        "tiny": ContrastiveSettings(
            n_dims=32,
            hidden=128,
            n_hidden=1,
            dropout=0.1,
            input_dropout=0.2,
            batch_size=256,
            min_steps=150,
            learning_rate=1e-3,
            schedule="constant",
        ),
        "study": ContrastiveSettings(),
        "large": ContrastiveSettings(n_dims=256, hidden=2048),
    }
    facts_type: ClassVar[type[TypeFacts]] = TypeFacts
    absent: ClassVar[Mapping[str, str]] = {"contrast": "no triplet: the loss kept is reconstruction only"}
    settings: ContrastiveSettings
    alike: Tensor
    different: Tensor

    def __init__(self, settings: ContrastiveSettings, genes: GeneSpace, facts: TypeFacts) -> None:
        super().__init__(settings, genes, facts)
        hidden = [settings.hidden] * settings.n_hidden
        later = [settings.dropout] * (settings.n_hidden - 1)
        self.encoder = _layers([genes.n_genes, *hidden, settings.n_dims], [settings.input_dropout, *later])
        self.decoder = _layers([settings.n_dims, *hidden, genes.n_genes], [0.0, *later])
        alike, different = alike_and_different(facts)
        # They follow from the facts, and need no place in the file.
        self.register_buffer("alike", torch.from_numpy(alike), persistent=False)
        self.register_buffer("different", torch.from_numpy(different), persistent=False)

    @classmethod
    def learn(cls, shards: Shards, settings: Settings, task: TaskTarget | None) -> TypeFacts:
        """Look up the types of the cells; at the level of the task where there is one."""
        assert isinstance(settings, ContrastiveSettings)
        return learn_types(shards, across=settings.across, task=task)

    def encoding(self) -> Dense:
        """Return log-normalised expression, 10,000 counts a cell."""
        return Dense(self.genes.n_genes)

    def labels(self) -> Mapping[str, Sequence[str]]:
        """Return the type, and where positives differ in it the column `across`."""
        across = self.settings.across
        return {"type": (TYPE,)} | ({} if across is None else {"across": (across,)})

    def categories(self) -> Mapping[str, Sequence[str]]:
        """Return the types; a cell of another takes no part in the contrastive loss."""
        return {"type": self.facts.types}

    def sampling_weights(self, shards: Shards) -> NDArray[np.float64]:
        """Return weights that balance types and `across`; a task's types get `task_share` at least.

        Raises
        ------
        ModelError
            When the cells have other types than those that the model was made for.
        """
        texts = shards.obs([TYPE])[TYPE].cast(pl.String)
        if texts.drop_nulls().unique().sort().to_list() != list(self.facts.types):
            raise ModelError(
                f"{shards.path} has other types in {TYPE} than the {len(self.facts.types)} of the model; "
                "make the model from these shards"
            )
        rows = shards.rows("train")
        terms = texts[rows.start : rows.stop].replace_strict(
            list(self.facts.types), list(self.facts.terms), default=None, return_dtype=pl.String
        )
        codes = [(_codes(terms), TYPE_CELLS)]
        if self.settings.across is not None:
            codes.append(
                (_codes(shards.obs([self.settings.across], split="train").to_series()), DATASET_CELLS)
            )
        weights = balanced_weights(*codes)
        is_wanted = terms.is_in(list(self.facts.wanted)).fill_null(value=False).to_numpy()
        return with_share(weights, is_wanted, self.settings.task_share)

    def losses(self, batch: Batch, *, step: int) -> Mapping[str, Tensor]:
        """Return the loss, its parts, and the triplets that there are in the batch.

        In validation a batch without any has no contrast, and its loss is that of the reconstruction.
        """
        del step
        settings = self.settings
        vectors = self._on_sphere(batch.x)
        reconstruction = functional.mse_loss(self.decoder(vectors).float(), batch.x)
        pairs = Pairs.of(
            self.alike,
            self.different,
            types=batch.labels["type"],
            rows=batch.rows,
            across=batch.labels.get("across"),
        )
        metrics: dict[str, Tensor] = {}
        with torch.autocast(vectors.device.type, enabled=False):
            if settings.loss == "triplet":
                contrast, metrics = triplet_loss(
                    vectors, pairs, margin=settings.margin, is_training=self.training
                )
            elif settings.loss == "supcon":
                contrast = supcon_loss(vectors, pairs, temperature=settings.temperature)
            else:
                contrast = ntxent_loss(vectors, pairs, temperature=settings.temperature)
        loss = settings.contrast_weight * contrast + (1 - settings.contrast_weight) * reconstruction
        n_triplets = pairs.n_triplets
        of_triplets = {"contrast": contrast, **metrics}
        if not self.training:
            # A loss of 0 would be a perfect one.
            of_triplets = {
                name: value.where(n_triplets > 0, torch.nan) for name, value in of_triplets.items()
            }
        return {"loss": loss, "reconstruction": reconstruction, "triplets": n_triplets, **of_triplets}

    def embed_batch(self, batch: Batch) -> Tensor:
        """Return points of the unit sphere, float32 [b, n_dims]."""
        return self._on_sphere(batch.x)

    def _on_sphere(self, x: Tensor) -> Tensor:
        return functional.normalize(self.encoder(x).float())


def _layers(sizes: Sequence[int], dropouts: Sequence[float]) -> nn.Sequential:
    """Return hidden layers, each of dropout, weights, batch norm and PReLU, and a linear last one."""
    layers: list[nn.Module] = []
    for before, after, dropout in zip(sizes[:-2], sizes[1:-1], dropouts, strict=True):
        layers += [nn.Dropout(dropout), nn.Linear(before, after), nn.BatchNorm1d(after), nn.PReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


def _codes(values: pl.Series) -> NDArray[np.int64]:
    """Return a number for each value, -1 for none."""
    codes: NDArray[np.int64] = values.rank("dense").cast(pl.Int64).fill_null(0).to_numpy() - 1
    return codes
