"""The no-model baseline: log-normalised expression of highly variable genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from curate.build.embeddings.hvg import highly_variable_genes
from curate.errors import ModelError
from curate.train.loader.encodings import Dense
from curate.train.models.cells import TARGET_SUM, TrainingCells
from curate.train.models.model import Facts, Model
from curate.train.models.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from curate.gene_space import GeneSpace
    from curate.train.fit.plan import FitPlan, FitReport
    from curate.train.loader.batch import Batch
    from curate.train.models.settings import Preset
    from curate.train.shards.shards import Shards


class HvgSettings(Settings):
    """Settings of `Hvg`: n_dims is the number of genes; all that vary where there are fewer."""


class Hvg(Model):
    """Expression of the most variable genes, as it is: what a model has to beat.

    The genes are those of `curate embed`, chosen on all training cells; where genes tie for the last place,
    the first of them. Counts become log1p(count / total * 10,000). Nothing else is learned, so that the
    untrained control says little: genes at random, from the seed.
    """

    name = "hvg"
    summary = "log-normalised expression of highly variable genes: the no-model baseline"
    reference = "Satija et al., Nature Biotechnology 2015, doi 10.1038/nbt.3192"
    presets: ClassVar[Mapping[Preset, Settings]] = {
        "tiny": HvgSettings(n_dims=200),
        "study": HvgSettings(n_dims=2000),
        "large": HvgSettings(n_dims=5000),
    }
    settings: HvgSettings
    variable_genes: Tensor

    def __init__(self, settings: HvgSettings, genes: GeneSpace, facts: Facts) -> None:
        super().__init__(settings, genes, facts)
        # int64 [n_dims] ascending, positions in `genes`.
        self.register_buffer("variable_genes", torch.zeros(settings.n_dims, dtype=torch.int64))

    def observe(self, shards: Shards, *, seed: int) -> None:
        """Choose genes at random."""
        n = shards.header.n_genes
        chosen = np.random.default_rng(seed).choice(n, min(n, self.settings.n_dims), replace=False)
        self._hold(np.sort(chosen))

    def fit(self, shards: Shards, plan: FitPlan) -> FitReport:
        """Choose the most variable genes, in one pass over the training cells.

        Of the budget max_cells counts: so many cells are read.

        Raises
        ------
        ModelError
            When none varies.
        """
        cells = TrainingCells.of(shards, plan)
        n_top = self.settings.n_dims
        chosen = highly_variable_genes(*cells.moments().dispersion(), n_top=n_top, keep_ties=False)
        if not chosen.size:
            raise ModelError(
                f"no gene varies among {cells.rows.size:,} training cells; build a larger subset"
            )
        self._hold(chosen)
        return cells.report({"n_genes": float(chosen.size)})

    def encoding(self) -> Dense:
        """Return log-normalised expression of all genes."""
        return Dense(self.genes.n_genes, target_sum=TARGET_SUM)

    def embed_batch(self, batch: Batch) -> Tensor:
        """Return the columns of the chosen genes."""
        return batch.x[:, self.variable_genes]

    def _hold(self, chosen: NDArray[np.int64]) -> None:
        self.settings = self.settings.model_copy(update={"n_dims": chosen.size})
        self.variable_genes = torch.from_numpy(chosen)
