"""A model that is trained by gradients: what it says of itself, for the trainer to do the rest."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import torch

from curate.train.loader.labels import labels_of
from curate.train.models.model import Model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray
    from scipy.sparse import csr_array
    from torch import Tensor

    from curate.train.fit.plan import FitPlan, FitReport
    from curate.train.loader.batch import Batch
    from curate.train.loader.encodings import Encoding
    from curate.train.loader.masks import Mask
    from curate.train.models.settings import NetworkSettings
    from curate.train.shards.shards import Shards


class Network(Model):
    """A model that is trained by gradients."""

    #: Of a loss that cells may not have: why, and what the loss that is kept is then.
    absent: ClassVar[Mapping[str, str]] = {}
    settings: NetworkSettings

    def training_encoding(self) -> Encoding:
        """Return what the model is given of a cell's counts in training; by default as when it embeds."""
        return self.encoding()

    def labels(self) -> Mapping[str, Sequence[str]]:
        """Return the labels that come with batches, each by the obs columns that it combines."""
        return {}

    def categories(self) -> Mapping[str, Sequence[str]]:
        """Return what the numbers of a label mean, of labels of which the model holds something for each."""
        return {}

    def mask(self) -> Mask | None:
        """Return which genes the loader hides from the model in training and validation; None for none."""
        return None

    def sampling_weights(self, shards: Shards) -> NDArray[np.float64] | None:
        """Return weights [n training cells] in proportion to which cells are drawn; None for each once."""
        return None

    @abstractmethod
    def losses(self, batch: Batch, *, step: int) -> Mapping[str, Tensor]:
        """Return the losses of a batch: "loss" is minimised, others are written down.

        In training the global generator of torch is seeded by seed, rank and step before each call, so that
        masks and dropout can be drawn from it; in validation by the number of the batch. In validation (eval
        mode) one that the batch does not have is NaN, and left out of the mean; never "loss" itself.

        Parameters
        ----------
        step
            Steps taken before this one.
        """

    def held_out_batches(
        self, counts: csr_array, obs: pl.DataFrame, *, batch_size: int, seed: int
    ) -> Iterator[Batch]:
        """Yield cells of elsewhere as training sees them, with labels and masks.

        A label that the model does not know, or of which a column is not in `obs`, is -1.

        Parameters
        ----------
        counts, obs
            Raw counts [n_cells, n_genes] in the order of `genes`, and the columns of the cells.
        seed
            Of the masks.

        Raises
        ------
        ModelError
            As `embed`.
        """
        labels = labels_of(obs, self.labels(), self.categories())
        mask = self.mask()
        for batch in self.batches(counts, batch_size, encoding=self.training_encoding()):
            rows, device = batch.rows.cpu().numpy(), batch.x.device
            drawn = None if mask is None else mask.draw(rows, seed=seed, epoch=0).to(device)
            codes = {name: torch.from_numpy(held[rows]).to(device) for name, held in labels.items()}
            yield replace(batch, labels=codes, mask=drawn)

    def fit(self, shards: Shards, plan: FitPlan) -> FitReport:
        """Train with the trainer; see `curate.train.fit.trainer.fit`."""
        from curate.train.fit.trainer import fit

        return fit(self, shards, plan)
