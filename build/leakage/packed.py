"""Cells as their detected genes and counts: four bytes a non-zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np
import scipy.sparse as sp

from curate.errors import LeakageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

MAX_GENES = 2**16 - 1
"""Genes are numbered in 16 bits; the highest number stands for none."""
MAX_COUNT = 2**16 - 1
"""Higher counts are held as this one, on both sides of a comparison."""
_CHUNK_CELLS = 8192


@dataclass(frozen=True)
class Packed:
    """Counts by rows. Zeros are not held, so that what is held are the genes detected.

    Attributes
    ----------
    indptr
        int64 [n_cells + 1].
    genes
        uint16 [n_nonzeros], ascending within a cell.
    counts
        uint16 [n_nonzeros], at most MAX_COUNT; 1 throughout for a cell whose counts are not known.
    n_genes
        Number of genes that there are.
    """

    indptr: NDArray[np.int64]
    genes: NDArray[np.uint16]
    counts: NDArray[np.uint16]
    n_genes: int

    @classmethod
    def of(cls, blocks: Iterable[sp.csr_array], *, n_genes: int) -> Packed:
        """Pack blocks of whole numbers, genes sorted and without explicit zeros.

        Raises
        ------
        LeakageError
            When there are more than MAX_GENES genes.
        """
        if n_genes > MAX_GENES:
            raise LeakageError(
                f"{n_genes:,} genes are shared, {MAX_GENES:,} can be compared; drop some of the file's genes"
            )
        lengths, genes, counts = [np.zeros(1, np.int64)], [np.empty(0, np.uint16)], [np.empty(0, np.uint16)]
        for block in blocks:
            lengths.append(np.diff(block.indptr).astype(np.int64))
            genes.append(block.indices.astype(np.uint16))
            counts.append(np.minimum(block.data, MAX_COUNT).astype(np.uint16))
        return cls(np.cumsum(np.concatenate(lengths)), np.concatenate(genes), np.concatenate(counts), n_genes)

    @classmethod
    def joined(cls, parts: list[Packed], *, n_genes: int) -> Packed:
        """Join the parts, giving up each as it is copied: what is held is held twice at most."""
        lengths = [np.diff(part.indptr) for part in parts]
        indptr = np.cumsum(np.concatenate([np.zeros(1, np.int64), *lengths]))
        genes, counts = np.empty(indptr[-1], np.uint16), np.empty(indptr[-1], np.uint16)
        end = len(genes)
        while parts:
            part = parts.pop()
            piece = slice(end - len(part.genes), end)
            genes[piece], counts[piece] = part.genes, part.counts
            end = piece.start
        return cls(indptr, genes, counts, n_genes)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.indptr) - 1

    def detected_in(self) -> NDArray[np.int64]:
        """Return in how many cells each gene is detected, int64 [n_genes]."""
        n_cells = np.zeros(self.n_genes, np.int64)
        for start, stop in self._chunks():
            held = self.genes[self.indptr[start] : self.indptr[stop]]
            n_cells += np.bincount(held, minlength=self.n_genes)
        return n_cells

    def row_sums(
        self, values: NDArray[np.float64], cells: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Return the sum of a value of each gene over the genes of some cells, by default all, float64."""
        which = np.arange(self.n_cells) if cells is None else cells
        sums = np.zeros(len(which))
        _sum_rows(self.indptr, self.genes, which, values, sums)
        return sums

    def only(self, genes: NDArray[np.bool_]) -> Packed:
        """Return the cells with some of the genes, renumbered."""
        if genes.all():
            return self
        number = (np.cumsum(genes) - 1).astype(np.uint16)
        n_kept = int(self.detected_in()[genes].sum())
        # Filled piece by piece: never held more than twice.
        held_genes, counts = np.empty(n_kept, np.uint16), np.empty(n_kept, np.uint16)
        lengths, first = [np.zeros(1, np.int64)], 0
        for start, stop in self._chunks():
            held = slice(int(self.indptr[start]), int(self.indptr[stop]))
            kept = genes[self.genes[held]]
            ends = np.concatenate([[0], np.cumsum(kept)])[self.indptr[start : stop + 1] - held.start]
            lengths.append(np.diff(ends))
            piece = slice(first, first + int(ends[-1]))
            held_genes[piece] = number[self.genes[held][kept]]
            counts[piece] = self.counts[held][kept]
            first = piece.stop
        return Packed(np.cumsum(np.concatenate(lengths)), held_genes, counts, int(genes.sum()))

    def take(self, cells: NDArray[np.int64]) -> Packed:
        """Return some cells, in the order given."""
        lengths = np.diff(self.indptr)[cells]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        at = np.repeat(self.indptr[cells] - indptr[:-1], lengths) + np.arange(indptr[-1])
        return Packed(indptr, self.genes[at], self.counts[at], self.n_genes)

    def csr_chunks(self) -> Iterable[tuple[slice, sp.csr_array]]:
        """Yield the cells as CSR of 64-bit indices, some thousand at a time."""
        for start, stop in self._chunks():
            indptr = self.indptr[start : stop + 1]
            held = slice(int(indptr[0]), int(indptr[-1]))
            parts = (
                self.counts[held].astype(np.float32),
                self.genes[held].astype(np.int64),
                indptr - indptr[0],
            )
            yield slice(start, stop), sp.csr_array(parts, shape=(stop - start, self.n_genes))

    def _chunks(self) -> Iterable[tuple[int, int]]:
        for start in range(0, self.n_cells, _CHUNK_CELLS):
            yield start, min(start + _CHUNK_CELLS, self.n_cells)


@numba.njit(cache=True, nogil=True)
def _sum_rows(indptr, genes, which, values, sums):  # type: ignore[no-untyped-def]
    for row in range(len(which)):
        total = 0.0
        for at in range(indptr[which[row]], indptr[which[row] + 1]):
            total += values[genes[at]]
        sums[row] = total
