"""PCA of scaled expression, found in a stream: the embedding of `curate embed`, of the training cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
import torch
from threadpoolctl import threadpool_limits

from curate.build.embeddings.hvg import highly_variable_genes
from curate.build.embeddings.pca import GeneMoments, PcaModel, Scaling
from curate.build.embeddings.pca import fit as fit_components
from curate.errors import ModelError
from curate.train.loader.encodings import Sparse
from curate.train.models.cells import TARGET_SUM, TrainingCells
from curate.train.models.model import Facts, Model
from curate.train.models.settings import Positive, Rate, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from curate.build.task.target import TaskTarget
    from curate.gene_space import GeneSpace
    from curate.train.fit.plan import FitPlan, FitReport
    from curate.train.loader.batch import Batch
    from curate.train.models.settings import Preset
    from curate.train.shards.shards import Shards


class PcaSettings(Settings):
    """Settings of `Pca`.

    Attributes
    ----------
    n_dims
        Components; where cells or variable genes are too few for so many, as many as there can be.
    n_hvgs
        Highly variable genes to keep; all that vary when there are fewer.
    max_value
        Scaled expression is clipped to ± this.
    """

    n_dims: Positive = 50
    n_hvgs: Positive = 2000
    max_value: Rate = 10.0


class PcaFacts(Facts):
    """Number of variable genes."""

    n_variable: Positive = 1


class Pca(Model):
    """Principal components of log-normalised, scaled expression of highly variable genes.

    `create` finds genes, means and deviations in a pass over the training cells; its loadings are orthonormal
    at random, from the seed (the untrained control). `fit` finds the components in another. What it finds is
    what `curate embed --fit-fraction 1 --hvg-fraction 1` finds of the same cells, and scanpy in 64 bits with
    normalize_total, log1p, highly_variable_genes, scale and pca. Its arithmetic is that of
    `curate.build.embeddings.pca`, and has the same bits on any number of threads.

    Memory: 4 n_hvgs² bytes for each of three units of cells, and ten times that for the eigenvectors.
    """

    name = "pca"
    summary = "principal components of scaled expression of highly variable genes"
    reference = "DenAdel et al., Nature Methods 2026, doi 10.1038/s41592-026-03120-y"
    learns = "which genes vary, and their means and deviations by which expression is scaled"
    presets: ClassVar[Mapping[Preset, Settings]] = {
        "tiny": PcaSettings(n_hvgs=500),
        "study": PcaSettings(),
        "large": PcaSettings(n_dims=100, n_hvgs=5000),
    }
    facts_type = PcaFacts
    settings: PcaSettings
    facts: PcaFacts
    variable_genes: Tensor

    def __init__(self, settings: PcaSettings, genes: GeneSpace, facts: PcaFacts) -> None:
        super().__init__(settings, genes, facts)
        n, d = facts.n_variable, settings.n_dims
        unscaled = Scaling(np.zeros(n), np.ones(n), target_sum=TARGET_SUM, max_value=settings.max_value)
        empty = PcaModel(unscaled, np.zeros(n), np.zeros((d, n), np.float32), np.zeros(d), np.zeros(d))
        self._hold(np.zeros(n, np.int64), empty)

    @classmethod
    def create(cls, shards: Shards, settings: Settings, *, seed: int, task: TaskTarget | None = None) -> Self:
        """Find variable genes and how they scale; loadings are random.

        Raises
        ------
        ModelError
            When fewer than two genes vary, or there are fewer than two cells; or for a task.
        """
        assert isinstance(settings, PcaSettings)
        super().learn(shards, settings, task)
        moments = TrainingCells.of(shards).moments()
        model = cls(settings, shards.genes, PcaFacts())
        genes, scaling = model._scaled(moments)
        # One thread: the order of LAPACK's sums may depend on their number.
        with threadpool_limits(1):
            random = np.random.default_rng(seed).standard_normal((genes.size, model.settings.n_dims))
            loadings = np.linalg.qr(random).Q.T.astype(np.float32)
        nothing = np.zeros(model.settings.n_dims)
        model._hold(genes, PcaModel(scaling, np.zeros(genes.size), loadings, nothing, nothing))
        return model.eval()

    def fit(self, shards: Shards, plan: FitPlan) -> FitReport:
        """Find the components of the training cells.

        Of the budget max_cells counts: so many cells are read. Where cells are drawn by weights, or not all
        are read, genes and scaling are found anew, of the cells that are.

        Raises
        ------
        ModelError
            When fewer than two genes vary, or there are fewer than two cells.
        """
        cells = TrainingCells.of(shards, plan)
        genes, scaling = self.variable_genes.numpy(), self.model.scaling
        if plan.is_weighted or cells.rows.size < shards.n_cells("train"):
            genes, scaling = self._scaled(cells.moments())
        sums = cells.gram(scaling, genes)
        model = fit_components(scaling, sums, n_cells=cells.rows.size, n_components=self.settings.n_dims)
        self._hold(genes, model)
        return cells.report({"explained_variance_ratio": float(model.explained_variance_ratio.sum())})

    @property
    def model(self) -> PcaModel:
        """The PCA of the variable genes."""
        arrays = {name: buffer.numpy() for name, buffer in self.named_buffers()}
        del arrays["variable_genes"]
        mean, std = arrays.pop("mean"), arrays.pop("std")
        scaling = Scaling(mean, std, target_sum=TARGET_SUM, max_value=self.settings.max_value)
        return PcaModel(scaling, **arrays)

    def encoding(self) -> Sparse:
        """Return raw counts of all genes."""
        return Sparse(self.genes.n_genes)

    def embed_batch(self, batch: Batch) -> Tensor:
        """Return the components of the cells."""
        indptr, indices, values = batch.x.crow_indices(), batch.x.col_indices(), batch.x.values()
        arrays = (values.numpy(), indices.numpy(), indptr.numpy())
        counts = sp.csr_array(arrays, shape=(len(indptr) - 1, self.genes.n_genes))
        totals = counts.sum(axis=1, dtype=np.float64)
        chosen: sp.csr_array = counts[:, self.variable_genes.numpy()]
        return torch.from_numpy(self.model.project(chosen, totals))

    def _scaled(self, moments: GeneMoments) -> tuple[NDArray[np.int64], Scaling]:
        """Return the variable genes and their scaling; no more dimensions than they allow are left."""
        genes = highly_variable_genes(*moments.dispersion(), n_top=self.settings.n_hvgs)
        most = min(genes.size, moments.n_cells) - 1
        if most < 1:
            raise ModelError(
                f"{moments.n_cells:,} training cells, among which {genes.size:,} variable genes were found, "
                "have no component; build a larger subset"
            )
        self.settings = self.settings.model_copy(update={"n_dims": min(self.settings.n_dims, most)})
        return genes, moments.scaling(genes, max_value=self.settings.max_value)

    def _hold(self, genes: NDArray[np.int64], model: PcaModel) -> None:
        self.facts = PcaFacts(n_variable=genes.size)
        arrays: dict[str, NDArray[Any]] = {
            "variable_genes": genes,
            "mean": model.scaling.mean,
            "std": model.scaling.std,
            "center": model.center,
            "components": model.components,
            "explained_variance": model.explained_variance,
            "explained_variance_ratio": model.explained_variance_ratio,
        }
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(array.copy()))
