"""What a batch holds of the counts: dense or sparse expression, or ranked genes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from curate.train.loader.kernels import fill_counts, fill_normalised, fill_tokens
from curate.train.shards.kernels import take_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from curate.train.shards import Shard

    Rows = Sequence[tuple[Shard, NDArray[np.int64], NDArray[np.int64]]]
    """Shard by shard: the shard, rows in it, and the places of those in the batch."""


class Encoding(Protocol):
    """Makes the `x` of a batch."""

    def encode(self, parts: Rows, n_cells: int) -> tuple[Tensor, Tensor | None]:
        """Return `x` and, for tokens, their lengths."""


@dataclass(frozen=True)
class Dense:
    """Expression as float32 [b, n_genes].

    Attributes
    ----------
    target_sum
        Counts of a cell after normalisation, over all genes of the shards; raw counts when None.
    log1p
        Take log(1 + x) after normalisation.
    """

    n_genes: int
    target_sum: float | None = 1e4
    log1p: bool = True

    def encode(self, parts: Rows, n_cells: int) -> tuple[Tensor, None]:
        """Return expression, float32 [b, n_genes]."""
        # NumPy asks for huge pages, and torch does not: half of the time went into faults of small ones.
        out = np.empty((n_cells, self.n_genes), np.float32)
        for shard, rows, at in parts:
            counts = (shard.indptr, shard.indices, shard.data, rows, at)
            if self.target_sum is None:
                fill_counts(*counts, out)
            else:
                fill_normalised(*counts, self.target_sum, self.log1p, out)
        return torch.from_numpy(out), None


@dataclass(frozen=True)
class Sparse:
    """Expression as a torch sparse CSR tensor, float32 [b, n_genes]."""

    n_genes: int
    target_sum: float | None = None
    log1p: bool = False

    def __post_init__(self) -> None:
        # torch says once a process that CSR is in beta; here, and not in a thread in the midst of an epoch.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            torch.zeros(1, 1).to_sparse_csr()

    def encode(self, parts: Rows, n_cells: int) -> tuple[Tensor, None]:
        """Return expression, sparse CSR."""
        taken = [(*take_rows(s.indptr, s.indices, s.data, rows), at) for s, rows, at in parts]
        lengths = np.empty(n_cells, np.int64)
        for indptr, _, _, at in taken:
            lengths[at] = np.diff(indptr)
        indices = np.concatenate([part[1] for part in taken]).astype(np.int64)
        values = np.concatenate([part[2] for part in taken]).astype(np.float32)
        within = np.concatenate([[0], np.cumsum(np.concatenate([np.diff(part[0]) for part in taken]))])
        order = np.argsort(np.concatenate([part[3] for part in taken]))
        indptr, indices, values = take_rows(within, indices, values, order)
        if self.target_sum is not None:
            totals = np.add.reduceat(np.append(values, 0), indptr[:-1]) * (lengths > 0)
            factors = np.divide(self.target_sum, totals, out=np.zeros(n_cells), where=totals > 0)
            values = (values * np.repeat(factors, lengths)).astype(np.float32)
        if self.log1p:
            np.log1p(values, out=values)
        x = torch.sparse_csr_tensor(
            torch.from_numpy(indptr),
            torch.from_numpy(indices),
            torch.from_numpy(values),
            size=(n_cells, self.n_genes),
            check_invariants=False,
        )
        return x, None


@dataclass(frozen=True)
class Tokens:
    """Genes by falling expression over their median (rank-value encoding), int64 [b, length].

    Attributes
    ----------
    medians
        float64 [n_genes], the median of each gene's normalised non-zero expression; 0 for genes left out.
    length
        Most tokens of a cell, special ones included.
    offset
        Token of gene 0.
    pad, start, end
        Special tokens; a cell is start, genes, end, padding where start and end are given.

    References
    ----------
    Theodoris et al., Transfer learning enables predictions in network biology, Nature 2023, doi
    10.1038/s41586-023-06139-9.
    """

    medians: NDArray[np.float64]
    length: int
    offset: int
    pad: int
    start: int | None = None
    end: int | None = None

    def encode(self, parts: Rows, n_cells: int) -> tuple[Tensor, Tensor]:
        """Return tokens [b, length] and how many of each cell are no padding."""
        before, after = int(self.start is not None), int(self.end is not None)
        x = torch.full((n_cells, self.length), self.pad, dtype=torch.int64)
        lengths = np.empty(n_cells, np.int64)
        out = x.numpy()
        genes = out[:, before : self.length - after]
        for shard, rows, at in parts:
            counts = (shard.indptr, shard.indices, shard.data, rows, at)
            fill_tokens(*counts, self.medians, self.offset, genes, lengths)
        if self.start is not None:
            out[:, 0] = self.start
        if self.end is not None:
            out[np.arange(n_cells), before + lengths] = self.end
        return x, torch.from_numpy(lengths + before + after)
