"""Which genes a model does not get to see: drawn from seed, epoch and row, the same whatever reads them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numba
import numpy as np
import torch

from curate.errors import ShardError
from curate.splitmix import mixed

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


class Mask(Protocol):
    """Draws the `mask` of a batch."""

    @property
    def n_genes(self) -> int:
        """Number of genes that it speaks of."""

    def draw(self, rows: NDArray[np.int64], *, seed: int, epoch: int) -> Tensor:
        """Return bool [b, n_genes], True where a gene is hidden; a row's own whatever it stands with."""


@dataclass(frozen=True)
class RandomMask:
    """Hides each gene of a cell with the same probability, independently.

    Attributes
    ----------
    rate
        That probability, 0 to 1, kept to a multiple of 1 / 65,536. Half is the study's.

    Raises
    ------
    ShardError
        When the rate is out of range.

    References
    ----------
    Richter et al., Delineating the effective use of self-supervised learning in single-cell genomics, Nature
    Machine Intelligence 2025, doi 10.1038/s42256-024-00934-3.
    """

    n_genes: int
    rate: float = 0.5

    def __post_init__(self) -> None:
        _check_rate(self.rate)

    def draw(self, rows: NDArray[np.int64], *, seed: int, epoch: int) -> Tensor:
        """Return bool [b, n_genes], True where a gene is hidden."""
        mask = np.empty((rows.size, self.n_genes), np.bool_)
        _hide_genes(_keys(rows, seed, epoch), np.uint64(round(self.rate * 65536)), mask.view(np.uint8))
        return torch.from_numpy(mask)


@dataclass(frozen=True, eq=False)
class ProgrammeMask:
    """Hides whole gene programmes, drawn anew for each cell: a share of them, without replacement.

    Attributes
    ----------
    programmes
        bool [n_programmes, n_genes], which genes each is made of; `read_gmt` reads them from a file.
    rate
        Share of the programmes, 0 to 1, rounded to a whole number of them, at least one unless 0. Genes
        of no programme are never hidden.

    Raises
    ------
    ShardError
        When the rate is out of range, or a programme has no genes.

    References
    ----------
    As `RandomMask`. There a batch has one draw; here each cell has its own.
    """

    programmes: NDArray[np.bool_]
    rate: float = 0.5

    def __post_init__(self) -> None:
        _check_rate(self.rate)
        if self.programmes.ndim != 2 or self.programmes.dtype != np.bool_ or not len(self.programmes):
            shape, dtype = list(self.programmes.shape), self.programmes.dtype
            raise ShardError(f"gene programmes are {dtype} {shape}; give bool [n_programmes, n_genes]")
        empty = np.flatnonzero(~self.programmes.any(axis=1))
        if empty.size:
            raise ShardError(
                f"{empty.size} gene programmes have no genes, as number {empty[0]}; leave them out"
            )

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return int(self.programmes.shape[1])

    @property
    def n_hidden(self) -> int:
        """How many programmes of each cell are hidden."""
        return max(round(self.rate * len(self.programmes)), int(self.rate > 0))

    def draw(self, rows: NDArray[np.int64], *, seed: int, epoch: int) -> Tensor:
        """Return bool [b, n_genes], True where a gene is hidden."""
        mask = np.zeros((rows.size, self.n_genes), np.bool_)
        edges, genes = self._members
        _hide_programmes(_keys(rows, seed, epoch), edges, genes, self.n_hidden, mask)
        return torch.from_numpy(mask)

    @cached_property
    def _members(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return np.concatenate([[0], np.cumsum(self.programmes.sum(axis=1))]), np.nonzero(self.programmes)[1]


def _check_rate(rate: float) -> None:
    if not 0 <= rate <= 1:
        raise ShardError(f"a mask of rate {rate:g}; give a share from 0 to 1")


def _keys(rows: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.uint64]:
    """Return where the random numbers of each row begin, uint64 [b]."""
    base = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)
    keys = np.empty(rows.size, np.uint64)
    _mix_all(base[0], rows.astype(np.uint64), keys)
    return keys


@numba.njit(cache=True, nogil=True)
def _mix_all(base, rows, keys):  # type: ignore[no-untyped-def]
    for k in range(rows.size):
        keys[k] = mixed(base, rows[k] + np.uint64(1))


@numba.njit(cache=True, nogil=True)
def _hide_genes(keys, threshold, mask):  # type: ignore[no-untyped-def]
    n_genes = mask.shape[1]
    for k in range(keys.size):
        row = mask[k]
        for word in range(n_genes // 4):
            bits = mixed(keys[k], np.uint64(word + 1))
            for part in range(4):
                row[4 * word + part] = (bits >> np.uint64(16 * part)) & np.uint64(0xFFFF) < threshold
        bits = mixed(keys[k], np.uint64(n_genes // 4 + 1))
        for gene in range(n_genes // 4 * 4, n_genes):
            row[gene] = bits & np.uint64(0xFFFF) < threshold
            bits >>= np.uint64(16)


@numba.njit(cache=True, nogil=True)
def _hide_programmes(keys, edges, genes, n_hidden, mask):  # type: ignore[no-untyped-def]
    n = edges.size - 1
    order = np.empty(n, np.int64)
    for k in range(keys.size):
        for i in range(n):
            order[i] = i
        for i in range(n_hidden):
            # The high half of a product is as good as a remainder, and even.
            draw = (mixed(keys[k], np.uint64(i + 1)) >> np.uint64(32)) * np.uint64(n - i)
            other = i + np.int64(draw >> np.uint64(32))
            order[i], order[other] = order[other], order[i]
            for p in range(edges[order[i]], edges[order[i] + 1]):
                mask[k, genes[p]] = True
