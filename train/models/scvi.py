"""scVI: scvi-tools' variational autoencoder, on batches of shards."""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import polars as pl
import torch
from pydantic import BeforeValidator, Field
from torch import nn

from curate.build.embeddings.hvg import highly_variable_genes
from curate.errors import ModelError
from curate.nearest import nearest
from curate.train.loader.encodings import Dense
from curate.train.loader.labels import read_labels
from curate.train.models.cells import TrainingCells
from curate.train.models.model import Facts
from curate.train.models.network import Network
from curate.train.models.settings import NetworkSettings, Positive, Rate, Share

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from curate.build.task.target import TaskTarget
    from curate.gene_space import GeneSpace
    from curate.train.fit.plan import FitPlan, FitReport
    from curate.train.loader.batch import Batch
    from curate.train.models.settings import Preset, Settings
    from curate.train.shards.shards import Shards

BATCH = "batch"


def _columns(value: Any) -> Any:
    """Read "dataset_id,donor_id" as two names, and "" as none."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


class ScviSettings(NetworkSettings):
    """Settings of `Scvi`; defaults are those of scvi-tools where nothing else is said.

    Attributes
    ----------
    batch_key
        Obs columns whose combinations are batches, written with commas between them; none for no batches.
        The default is that of the Census' own scVI models.
    n_hidden, n_layers, dropout_rate
        Of encoder and decoder; dropout in the encoder alone.
    n_genes
        Highly variable genes to model, all that vary where there are fewer; all genes when None.
    gene_likelihood
        Of the counts.
    dispersion
        Of each gene, of each gene in each batch, or of each gene in each cell.
    kl_warmup_steps
        Steps in which the weight of the KL divergence rises from 0 to 1; validation always has it at 1.
        By default the int(128 * 5000 / 400) that early versions of scVI recommended (`n_iter_kl_warmup`).
    """

    batch_size: Annotated[int, Field(ge=2)] = 128
    n_dims: Positive = 10
    weight_decay: Annotated[float, Field(ge=0)] = 1e-6
    clip_norm: Rate | None = None
    batch_key: Annotated[tuple[str, ...], BeforeValidator(_columns)] = (
        "dataset_id",
        "assay",
        "suspension_type",
        "donor_id",
    )
    n_hidden: Positive = 128
    n_layers: Positive = 1
    dropout_rate: Share = 0.1
    n_genes: Positive | None = None
    gene_likelihood: Literal["zinb", "nb"] = "zinb"
    dispersion: Literal["gene", "gene-batch", "gene-cell"] = "gene"
    kl_warmup_steps: Annotated[int, Field(ge=0)] = 1600


class ScviFacts(Facts):
    """What the shapes of scVI follow from.

    Attributes
    ----------
    batches
        Every batch of the shards, in the order of the loader's numbers.
    decoded_as
        The decoder's number of each of them, and last of the cells of which a column is null: training
        batches are counted from 0. A batch without training cells is decoded as the largest that has some.
    variable_genes
        Positions of the genes that are modelled, ascending; all when None.
    """

    batches: tuple[str, ...] = ()
    decoded_as: tuple[int, ...] = (0,)
    variable_genes: tuple[int, ...] | None = None

    @property
    def n_batches(self) -> int:
        """Batches of the decoder."""
        return max(self.decoded_as) + 1


class Scvi(Network):
    """scVI, on counts, with the observed library size.

    The network and its losses are `scvi.module.VAE`; cells come from shards, so that no AnnData of the subset
    is held. The embedding is the mean of the posterior. The encoder sees no batch: cells of any batch, or of
    none that is known, can be embedded.

    "reconstruction" and "kl" are means over cells, "elbo" is their sum (the evidence lower bound with its
    sign changed, as scvi-tools reports it: less is better). "loss" is what is minimised: the same with the
    weight that the KL divergence has at that step; in validation it is "elbo".
    """

    name = "scvi"
    summary = "variational autoencoder of counts (scVI), by scvi-tools"
    reference = "Lopez et al., Nature Methods 2018, doi 10.1038/s41592-018-0229-2"
    learns = "the names of their batches and, with n_genes, which genes vary"
    presets: ClassVar[Mapping[Preset, Settings]] = {
        "tiny": ScviSettings(n_hidden=64, n_genes=1000, min_steps=400, kl_warmup_steps=100),
        # Sizes, likelihood and batch size of the study's script, which names no batch key; these are scTab's
        # samples.
        "study": ScviSettings(
            batch_key=("dataset_id", "donor_id"), gene_likelihood="nb", batch_size=1024, max_epochs=40
        ),
        # Those of the Census' own models.
        "large": ScviSettings(n_dims=50, n_hidden=512, gene_likelihood="nb", batch_size=1024, max_epochs=20),
    }
    facts_type = ScviFacts
    settings: ScviSettings
    facts: ScviFacts
    vae: Any
    _decoded_as: Tensor
    _chosen: Tensor | None

    def __init__(self, settings: ScviSettings, genes: GeneSpace, facts: ScviFacts) -> None:
        super().__init__(settings, genes, facts)
        chosen = facts.variable_genes
        self.vae = _vae(
            n_input=genes.n_genes if chosen is None else len(chosen),
            n_batch=facts.n_batches,
            n_hidden=settings.n_hidden,
            n_latent=settings.n_dims,
            n_layers=settings.n_layers,
            dropout_rate=settings.dropout_rate,
            dispersion=settings.dispersion,
            gene_likelihood=settings.gene_likelihood,
        )
        # They follow from the facts, and go where the parameters go.
        self.register_buffer("_decoded_as", torch.tensor(facts.decoded_as), persistent=False)
        self.register_buffer("_chosen", None if chosen is None else torch.tensor(chosen), persistent=False)

    @classmethod
    def learn(cls, shards: Shards, settings: Settings, task: TaskTarget | None) -> ScviFacts:
        """Return the batches of the cells and, with n_genes, the variable genes of the training cells.

        Raises
        ------
        ModelError
            When a column of the batch key is not there, there are too few cells, or no gene varies.
        """
        assert isinstance(settings, ScviSettings)
        super().learn(shards, settings, task)
        if (n := shards.n_cells("train")) < 2:
            raise ModelError(f"{n} training cells are too few for batch normalisation; build a larger subset")
        chosen = None
        if settings.n_genes is not None:
            moments = TrainingCells.of(shards).moments()
            found = highly_variable_genes(*moments.dispersion(), n_top=settings.n_genes, keep_ties=False)
            if not found.size:
                raise ModelError(f"no gene varies among {n:,} training cells; build a larger subset")
            chosen = tuple(found.tolist())
        batches, decoded_as = _batches(shards, settings.batch_key)
        return ScviFacts(batches=batches, decoded_as=decoded_as, variable_genes=chosen)

    def fit(self, shards: Shards, plan: FitPlan) -> FitReport:
        """Train on the training cells.

        Raises
        ------
        ModelError
            When the batches of the shards are not those that the model was made for; see also `Network.fit`.
        """
        batches, _ = _batches(shards, self.settings.batch_key)
        if batches != self.facts.batches:
            raise ModelError(
                f"{shards.path} has {len(batches):,} batches, of which the model, made for "
                f"{len(self.facts.batches):,}, knows {len(set(batches) & set(self.facts.batches)):,}; "
                "make a model for these shards"
            )
        return super().fit(shards, plan)

    def encoding(self) -> Dense:
        """Return raw counts of all genes."""
        return Dense(self.genes.n_genes, target_sum=None)

    def labels(self) -> Mapping[str, Sequence[str]]:
        """Return the batch."""
        return {BATCH: self.settings.batch_key} if self.settings.batch_key else {}

    def categories(self) -> Mapping[str, Sequence[str]]:
        """Return the batches; a cell of another is decoded as one whose batch is not known."""
        return {BATCH: self.facts.batches}

    def losses(self, batch: Batch, *, step: int) -> Mapping[str, Tensor]:
        """Return "loss", "reconstruction", "kl" and "elbo", means over cells."""
        counts = self._modelled(batch)
        numbers = batch.labels.get(BATCH)
        if numbers is None:
            numbers = torch.zeros(len(counts), dtype=torch.int64, device=counts.device)
        # -1, a cell whose batch is not known, stands last.
        tensors = {"X": counts, "batch": self._decoded_as[numbers][:, None], "labels": None}
        warmup = self.settings.kl_warmup_steps
        weight = min(1.0, step / warmup) if self.training and warmup else 1.0
        _, _, found = self.vae(tensors, loss_kwargs={"kl_weight": weight})
        reconstruction = found.dict_sum(found.reconstruction_loss).mean()
        kl = found.dict_sum(found.kl_local).mean()
        return {
            "loss": found.loss,
            "reconstruction": reconstruction,
            "kl": kl,
            "elbo": reconstruction + kl,
        }

    def embed_batch(self, batch: Batch) -> Tensor:
        """Return the means of the posterior."""
        encoder = self.vae.z_encoder
        # Not `inference`, which draws from the posterior too, and from torch's global generator.
        means: Tensor = encoder.mean_encoder(encoder.encoder(torch.log1p(self._modelled(batch))))
        return means

    def _modelled(self, batch: Batch) -> Tensor:
        return batch.x if self._chosen is None else batch.x[:, self._chosen]


def _batches(shards: Shards, columns: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the batches of the shards, and the decoder's number of each; see `ScviFacts`."""
    if not columns:
        return (), (0,)
    held = pl.read_parquet_schema(shards.path / "obs.parquet")
    if absent := [name for name in columns if name not in held]:
        raise ModelError(
            f"{shards.path} has no obs column {', '.join(map(repr, absent))} for the batch key; "
            f"{nearest(absent[0], held)}"
        )
    codes, categories = read_labels(shards, "train", {BATCH: columns})
    names = categories[BATCH]
    # -1, null, comes last.
    n_cells = np.bincount(codes[BATCH] % (len(names) + 1), minlength=len(names) + 1)
    decoded_as = np.cumsum(n_cells > 0) - 1
    decoded_as[n_cells == 0] = decoded_as[n_cells.argmax()]
    return tuple(names), tuple(decoded_as.tolist())


def _vae(*, dispersion: str, gene_likelihood: str, **sizes: Any) -> Any:
    """Make the network of scvi-tools, without the layers that its losses do not use."""
    with _as_it_was():
        from scvi.module import VAE

    vae = VAE(dispersion=dispersion, gene_likelihood=gene_likelihood, **sizes)
    # A layer without gradients would be kept in the file, and stop training on several GPUs.
    vae.l_encoder = None
    if dispersion != "gene-cell":
        vae.decoder.px_r_decoder = None
    if gene_likelihood != "zinb":
        vae.decoder.px_dropout_decoder = nn.Identity()
    return vae


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Undo what importing scvi-tools changes of the process: warning filters, JAX's memory, cuDNN."""
    variable = "XLA_PYTHON_CLIENT_PREALLOCATE"
    value, benchmark = os.environ.get(variable), torch.backends.cudnn.benchmark
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    torch.backends.cudnn.benchmark = benchmark
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value
