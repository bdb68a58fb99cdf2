"""What every model is: made from shards, fitted, embedding cells, saved and loaded.

1. `create` learns from the training cells what the model must know before its first step (categories,
   medians, chosen genes) and initialises it from a seed: this is also the untrained control;
2. `fit` trains it;
3. `embed` makes vectors of counts in the model's genes;
4. `save` and `load` keep it in a folder, without pickles.

::

    <folder>/
        config.json            model, settings, facts, genes, sha256 of the other files
        weights.safetensors    parameters and buffers
        genes.parquet          feature_id, feature_name: the genes whose counts the model reads, in order
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import nn

from curate.documents import Document
from curate.errors import ModelError
from curate.train.loader.batch import Batch
from curate.train.shards.shards import Shard

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from scipy.sparse import csr_array
    from torch import Tensor

    from curate.build.task.target import TaskTarget
    from curate.gene_space import GeneSpace
    from curate.train.fit.plan import FitPlan, FitReport
    from curate.train.loader.encodings import Encoding
    from curate.train.models.settings import Preset, Settings
    from curate.train.shards.shards import Shards


class Facts(Document):
    """What a model learned from its training cells that its shapes follow from, such as categories."""


class Model(nn.Module, ABC):
    """A model of cells.

    A subclass's parameters and buffers are its state; settings, number of genes and facts decide their
    shapes, so that they can be made empty and filled from a file.

    Attributes
    ----------
    name
        Its key in MODELS.
    summary, reference
        One line on what it is, and the paper (doi) or repository that it follows.
    presets
        Settings by the name of the preset.
    genes
        The genes whose counts it reads.
    learns
        What `create` finds of the training cells, in words, for the card of the untrained control; "" for
        nothing.
    embed_cells
        Cells that are embedded at a time: no more than what fits into the memory of an ordinary machine.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    reference: ClassVar[str]
    presets: ClassVar[Mapping[Preset, Settings]]
    facts_type: ClassVar[type[Facts]] = Facts
    learns: ClassVar[str] = ""
    embed_cells: ClassVar[int] = 512

    def __init__(self, settings: Any, genes: GeneSpace, facts: Any) -> None:
        super().__init__()
        self.settings = settings
        self.genes = genes
        self.facts = facts

    @classmethod
    def create(cls, shards: Shards, settings: Settings, *, seed: int, task: TaskTarget | None = None) -> Self:
        """Make the model for some shards: what it must know of the training cells, and seeded weights.

        Parameters
        ----------
        task
            What the model is for; a model that does not use tasks refuses it.

        Raises
        ------
        ModelError
            When the training cells do not suffice, or the model knows no tasks.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = cls(settings, shards.genes, cls.learn(shards, settings, task))
            model.observe(shards, seed=seed)
        return model.eval()

    @classmethod
    def learn(cls, shards: Shards, settings: Settings, task: TaskTarget | None) -> Facts:
        """Return what shapes follow from; by default nothing, and no task is taken."""
        if task is not None:
            raise ModelError(f"model {cls.name} does not use tasks; leave --task out")
        return cls.facts_type()

    def observe(self, shards: Shards, *, seed: int) -> None:
        """Fill buffers from the training cells, such as medians; by default there are none."""

    @abstractmethod
    def fit(self, shards: Shards, plan: FitPlan) -> FitReport:
        """Train on the training cells, in place.

        Raises
        ------
        ModelError
            When the loss is no number, or the cells do not suffice.
        """

    @abstractmethod
    def encoding(self) -> Encoding:
        """Return what the model is given of a cell's counts when it embeds."""

    @abstractmethod
    def embed_batch(self, batch: Batch) -> Tensor:
        """Return float32 [b, n_dims] of a batch made by `encoding`.

        When cells are embedded it is called in eval mode and without gradients. A network is fine-tuned
        through it: there its vectors carry gradients, and dropout is on.
        """

    def embed(self, counts: csr_array, *, batch_size: int | None = None) -> NDArray[np.float32]:
        """Embed cells.

        A cell's vector has the same bits whatever the other cells are, how many, and in which order. With
        another `batch_size` its last bits may differ, as those of matrix products do.

        Parameters
        ----------
        counts
            Raw counts [n_cells, n_genes] in the order of `genes`, whole numbers of any dtype.
        batch_size
            By default `embed_cells`.

        Returns
        -------
        float32 [n_cells, n_dims]

        Raises
        ------
        ModelError
            When the genes are not as many as the model's, or a value is no count.
        """
        out = np.empty((counts.shape[0], self.settings.n_dims), np.float32)
        first = 0
        # The last cell fills up the last batch: sums of products depend on how many rows there are.
        for batch in self.batches(counts, batch_size or self.embed_cells, is_filled=True):
            with torch.inference_mode():
                vectors = self.embed_batch(batch).float().cpu().numpy()[: len(out) - first]
            out[first : first + len(vectors)] = vectors
            first += len(vectors)
        return out

    def save(self, folder: Path) -> None:
        """Write config.json, weights.safetensors and genes.parquet into a folder that is there."""
        from curate.train.models.files import save

        save(self, folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Open a model that `save` wrote; nothing in the folder is executed.

        Raises
        ------
        ModelError
            When a file is missing, damaged or cut short, is of another model, or its genes are not those
            that config.json names.
        """
        from curate.train.models.files import load

        model = load(folder)
        if not isinstance(model, cls):
            raise ModelError(f"{folder} holds model {model.name}, not {cls.name}")
        return model

    def batches(
        self,
        counts: csr_array,
        batch_size: int,
        *,
        encoding: Encoding | None = None,
        is_filled: bool = False,
    ) -> Iterator[Batch]:
        """Yield cells as the model is given them, in their order, on its device; without labels and masks.

        Parameters
        ----------
        counts
            As of `embed`.
        encoding
            By default that of embedding.
        is_filled
            The last batch repeats the last cell until it is full.

        Raises
        ------
        ModelError
            As `embed`.
        """
        n_cells, n_genes = counts.shape
        if n_genes != self.genes.n_genes:
            raise ModelError(
                f"counts of {n_genes:,} genes, the model {self.name} reads {self.genes.n_genes:,}; align them"
            )
        data = np.asarray(counts.data)
        if data.dtype.kind == "f":
            whole = data.astype(np.uint32)
            if not np.array_equal(whole, data):
                raise ModelError("values that are no counts (fractions or negative); give raw counts")
            data = whole
        elif data.dtype.kind != "u":
            if data.size and data.min() < 0:
                raise ModelError(f"a count of {data.min()}; give raw counts")
            data = data.astype(np.uint32)
        # One dtype: the kernels are compiled once.
        data, indices = data.astype(np.uint32, copy=False), counts.indices.astype(np.uint32)
        shard = Shard("cells", 0, counts.indptr.astype(np.int64), indices, data)
        encoding = encoding or self.encoding()
        device = next((p.device for p in self.parameters()), torch.device("cpu"))
        self.eval()
        for first in range(0, n_cells, batch_size):
            rows = np.arange(first, first + batch_size)
            rows = np.minimum(rows, n_cells - 1) if is_filled else rows[rows < n_cells]
            x, lengths = encoding.encode([(shard, rows, np.arange(rows.size))], rows.size)
            yield Batch(x=x, rows=torch.from_numpy(rows), labels={}, lengths=lengths).to(device)
