"""What it says that two cells are alike, in nats: beside distinct cells that detect as many genes.

How many genes a cell detects says most about which: a gene of rate l is detected with the chance

    p(n) = 1 - exp(-l s(n)),

where s(n) is such that the chances add up to n, the number of genes that the cell detects. Of a pair (x, y)
the evidence is the log-likelihood ratio of "y is a copy of x", which detects KEPT of the genes of x, and
little else, to "y is another cell that detects as many genes". By Markov's inequality another cell reaches t
nats with a chance of e to the minus of t at most. A cell that detects next to nothing can never reach much,
however like it is. Genes of a cell type go together, which this does not know: it is not enough for a hit
(`nulls` has the rest), but needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.build.leakage.packed import Packed

KEPT = 0.85
"""Chance that a copy, thinned to 80 % of its counts or quantified again, detects a gene of the cell."""
GAINED = 0.2
"""Chance that a copy detects a gene that the cell lacks, as a share of that of a distinct cell."""
LEVEL = 1.1
"""Cells are told apart by the number of genes that they detect up to this factor."""
MOST_COUNT = 15
"""Higher counts are taken as one."""
PRIOR_CELLS = 64.0
"""So many like the evaluation cells are added to a sample of cells compared, that a small one says little."""


@dataclass(frozen=True)
class Background:
    """How often distinct cells detect each gene, and with which counts.

    Attributes
    ----------
    shared
        bool [n_genes], the genes looked at.
    detected
        float64 [n_genes], share of the cells that detect each.
    counts
        float64 [n_genes, MOST_COUNT + 1], of these the share with each count.
    """

    shared: NDArray[np.bool_]
    detected: NDArray[np.float64]
    counts: NDArray[np.float64]

    @classmethod
    def of(cls, cells: Packed, shared: NDArray[np.bool_], *, prior: Background | None = None) -> Background:
        """Take it from cells, as if PRIOR_CELLS more were like `prior`."""
        n_with = _count_table(cells)
        n_detected = n_with.sum(axis=1)
        if prior is None:
            detected = (n_detected + 0.5) / (cells.n_cells + 1)
            usual = (n_with.sum(axis=0) + 1e-3) / (n_with.sum() + 1e-3 * (MOST_COUNT + 1))
            counts = (n_with + 0.5 * usual) / (n_detected + 0.5)[:, None]
        else:
            detected = (n_detected + PRIOR_CELLS * prior.detected) / (cells.n_cells + PRIOR_CELLS)
            like_prior = (PRIOR_CELLS * prior.detected)[:, None]
            counts = (n_with + like_prior * prior.counts) / (n_detected[:, None] + like_prior)
        return cls(shared, detected, counts)

    def pairs(
        self,
        x: Packed,
        which_x: NDArray[np.int64],
        y: Packed,
        which_y: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Return the nats that say that a cell of `y` is a copy of one of `x`, float64 [n pairs]."""
        level, chances = self._levels(y.row_sums(self.shared.astype(np.float64), which_y))
        lacking = np.log((1 - GAINED * chances) / (1 - chances))
        hit = (np.log(KEPT / np.maximum(chances, 1e-9)) - lacking) * self.shared
        miss = (np.log((1 - KEPT) / (1 - chances)) - lacking) * self.shared
        gained = (math.log(GAINED) - lacking) * self.shared
        nats: NDArray[np.float64] = lacking.sum(axis=1)[level]
        _add_pairs(x.indptr, x.genes, which_x, y.indptr, y.genes, which_y, level, hit, miss, gained, nats)
        return nats

    def copies(self, cells: Packed, which: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the nats that a perfect copy of some cells would bring, float64 [len(which)]."""
        level, chances = self._levels(cells.row_sums(self.shared.astype(np.float64), which))
        lacking = np.log((1 - GAINED * chances) / (1 - chances))
        hit = (np.log(KEPT / np.maximum(chances, 1e-9)) - lacking) * self.shared
        nats: NDArray[np.float64] = lacking.sum(axis=1)[level]
        _add_cells(cells.indptr, cells.genes, which, level, hit, nats)
        return nats

    def equals(self, cells: Packed, which: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return -log of the chance that a distinct cell has the same counts in all shared genes.

        Of a cell that detects as many genes, gene by gene, float64 [len(which)].
        """
        level, chances = self._levels(cells.row_sums(self.shared.astype(np.float64), which))
        lacking = -np.log1p(-chances)
        hit = (-np.log(np.maximum(chances, 1e-9)) - lacking) * self.shared
        nats: NDArray[np.float64] = lacking.sum(axis=1)[level]
        _add_cells(cells.indptr, cells.genes, which, level, hit, nats)
        of_count = -np.log(np.maximum(self.counts, 1e-9)) * self.shared[:, None]
        _add_counts(cells.indptr, cells.genes, cells.counts, which, of_count, nats)
        return nats

    def _levels(self, n_detected: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the level of each cell, and the chances to detect each gene at each, [n_levels, n_genes]."""
        number = np.rint(np.log(np.maximum(n_detected, 1)) / math.log(LEVEL))
        levels, of_cell = np.unique(number, return_inverse=True)
        n_shared = int(self.shared.sum())
        target = np.minimum(LEVEL**levels, max(n_shared - 0.5, 0.5))
        rates = -np.log1p(-np.minimum(self.detected[self.shared], 1 - 1e-6))
        low, high = np.full(len(levels), -20.0), np.full(len(levels), 20.0)
        for _ in range(30):
            middle = (low + high) / 2
            expected = -np.expm1(-rates * np.exp(middle)[:, None]).sum(axis=1)
            low, high = np.where(expected < target, middle, low), np.where(expected < target, high, middle)
        chances = np.zeros((len(levels), len(self.shared)))
        chances[:, self.shared] = np.clip(-np.expm1(-rates * np.exp(high)[:, None]), 1e-9, 1 - 1e-4)
        return of_cell.astype(np.int64), chances


def _count_table(cells: Packed) -> NDArray[np.float64]:
    """Return how many cells have each count of each gene, [n_genes, MOST_COUNT + 1]."""
    width = MOST_COUNT + 1
    found = np.zeros(cells.n_genes * width, np.int64)
    _tabulate(cells.genes, cells.counts, found)
    return found.reshape((cells.n_genes, width)).astype(np.float64)


@numba.njit(cache=True, nogil=True)
def _tabulate(genes, counts, found):  # type: ignore[no-untyped-def]
    for at in range(len(genes)):
        found[int(genes[at]) * (MOST_COUNT + 1) + min(int(counts[at]), MOST_COUNT)] += 1


@numba.njit(cache=True, nogil=True)
def _add_pairs(  # type: ignore[no-untyped-def]
    of_x, genes_x, which_x, of_y, genes_y, which_y, level, hit, miss, gained, nats
):
    for pair in range(len(nats)):
        at, end = of_x[which_x[pair]], of_x[which_x[pair] + 1]
        k, last = of_y[which_y[pair]], of_y[which_y[pair] + 1]
        row = level[pair]
        total = 0.0
        while at < end or k < last:
            if k == last or (at < end and genes_x[at] < genes_y[k]):
                total += miss[row, genes_x[at]]
                at += 1
            elif at == end or genes_y[k] < genes_x[at]:
                total += gained[row, genes_y[k]]
                k += 1
            else:
                total += hit[row, genes_x[at]]
                at += 1
                k += 1
        nats[pair] += total


@numba.njit(cache=True, nogil=True)
def _add_cells(indptr, genes, which, level, of_gene, nats):  # type: ignore[no-untyped-def]
    for cell in range(len(nats)):
        total = 0.0
        for at in range(indptr[which[cell]], indptr[which[cell] + 1]):
            total += of_gene[level[cell], genes[at]]
        nats[cell] += total


@numba.njit(cache=True, nogil=True)
def _add_counts(indptr, genes, counts, which, of_count, nats):  # type: ignore[no-untyped-def]
    for cell in range(len(nats)):
        total = 0.0
        for at in range(indptr[which[cell]], indptr[which[cell] + 1]):
            total += of_count[genes[at], min(int(counts[at]), MOST_COUNT)]
        nats[cell] += total
