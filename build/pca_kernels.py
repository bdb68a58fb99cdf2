"""Sums over cells, compiled: each adds its cells one after the other, in order."""

from __future__ import annotations

import numba
import numpy as np

_CACHED_CELLS = 256
_SMALL_COUNTS = 64


@numba.njit(nogil=True, cache=True)
def add_moments(indptr, indices, counts, factors, sampled, sums):  # type: ignore[no-untyped-def]
    """Add the cells of a block to the sums [4, n_genes].

    The rows are sum and sum of squares of normalised expression over the sampled cells, then of its log1p
    over all cells.
    """
    # Most counts are small, and the logarithm is what takes the time.
    logs, of_cell = np.empty(_SMALL_COUNTS), np.full(_SMALL_COUNTS, -1)
    for cell in range(len(indptr) - 1):
        for at in range(indptr[cell], indptr[cell + 1]):
            gene, count = indices[at], counts[at]
            value = count / factors[cell]
            if sampled[cell]:
                sums[0, gene] += value
                sums[1, gene] += value * value
            small = np.int64(count)
            if small < _SMALL_COUNTS and small == count:
                if of_cell[small] != cell:
                    logs[small], of_cell[small] = np.log1p(value), cell
                value = logs[small]
            else:
                value = np.log1p(value)
            sums[2, gene] += value
            sums[3, gene] += value * value


@numba.njit(nogil=True, cache=True)
def add_gram(indptr, indices, values, sums):  # type: ignore[no-untyped-def]
    """Add x xᵀ (upper triangle) of each cell to the sums [n_genes + 1, n_genes], and x to their last row.

    Gene by gene over a few cells at a time: one row of the sums and the cells then stay in the cache, which
    is 2.6 times as fast as cell by cell. Every sum still adds its cells in order. Unsigned, because numba
    would look whether an index counts from the end.
    """
    n_genes = sums.shape[1]
    one = np.uint64(1)
    n_cells = len(indptr) - 1
    for low in range(0, n_cells, _CACHED_CELLS):
        high = min(low + _CACHED_CELLS, n_cells)
        starts = np.zeros(n_genes + 1, np.uint64)
        for at in range(indptr[low], indptr[high]):
            starts[indices[at] + one] += one
        for gene in range(n_genes):
            starts[gene + 1] += starts[gene]
        following = starts[:-1].copy()
        place, end = np.empty(starts[-1], np.uint64), np.empty(starts[-1], np.uint64)
        for cell in range(low, high):
            for at in range(indptr[cell], indptr[cell + 1]):
                place[following[indices[at]]] = at
                end[following[indices[at]]] = indptr[cell + 1]
                following[indices[at]] += one
        for gene in range(n_genes):
            row = sums[gene]
            for k in range(starts[gene], starts[gene + 1]):
                value = values[place[k]]
                sums[-1, gene] += value
                for other in range(place[k], end[k]):
                    row[indices[other]] += value * values[other]
