"""Compiled loops over entries of a store and over rows of CSR counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def take_rows(
    indptr: NDArray[np.int64], indices: NDArray[Any], data: NDArray[Any], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[Any]]:
    """Return index pointers, indices and data of some rows of a CSR matrix, in the order of `rows`."""
    taken = np.concatenate([[0], np.cumsum(indptr[rows + 1] - indptr[rows])])
    out_indices, out_data = np.empty(taken[-1], indices.dtype), np.empty(taken[-1], data.dtype)
    copy_rows(indptr, indices, data, rows, taken[:-1], out_indices, out_data)
    return taken, out_indices, out_data


@numba.njit(cache=True, nogil=True)
def copy_rows(indptr, indices, data, rows, at, out_indices, out_data):  # type: ignore[no-untyped-def]
    """Copy some rows of a CSR matrix, each to the place `at` at which it begins in what is written."""
    for k in range(rows.size):
        first, last, to = indptr[rows[k]], indptr[rows[k] + 1], at[k]
        out_indices[to : to + last - first] = indices[first:last]
        out_data[to : to + last - first] = data[first:last]


@numba.njit(cache=True, nogil=True)
def sift_counts(rows, columns, values, cells, column, n_of_cell, runs, genes, counts):  # type: ignore[no-untyped-def]
    """Keep the wanted entries; return how many, how many runs, the largest, and whether all are counts.

    Parameters
    ----------
    rows, columns, values
        [n]: joinids of cells and genes, and counts.
    cells, column
        The ascending joinids that are wanted; for the joinid of each gene its number, -1 where it is not.
    n_of_cell
        Added to: the entries kept of each cell.
    runs
        Written: int32 [n, 2], the number of a cell and of its entries that follow each other.
    genes, counts
        Written: unsigned [n] and uint32 [n], the entries kept.
    """
    start, n_kept, one, n_rows = np.uint64(0), np.uint64(0), np.uint64(1), np.uint64(rows.size)
    n_runs, largest, are_counts = 0, np.uint32(0), True
    while start < n_rows:
        # Entries come in runs of one row: look for a cell once a run.
        row, end = rows[start], start + one
        while end < n_rows and rows[end] == row:
            end += one
        cell = np.searchsorted(cells, row)
        if cell < cells.size and cells[cell] == row:
            before = n_kept
            for k in range(start, end):
                gene, value = column[np.uint64(columns[k])], values[k]
                count = np.uint32(value)
                # Written in any case, and over unless kept: a branch would be guessed wrong half of the time.
                genes[n_kept], counts[n_kept] = gene, count
                n_kept += np.uint64(gene >= 0)
                are_counts &= (count == value) | (gene < 0)
                largest = max(largest, count if gene >= 0 else np.uint32(0))
            n = np.int64(n_kept - before)
            runs[n_runs, 0], runs[n_runs, 1] = cell, n
            n_runs += 1
            n_of_cell[cell] += n
        start = end
    return np.int64(n_kept), n_runs, largest, are_counts


@numba.njit(cache=True, nogil=True)
def lay_down_counts(runs, genes, counts, following, last, indices, data):  # type: ignore[no-untyped-def]
    """Copy runs of entries where the next ones of their cells stand; return whether genes still ascend.

    Parameters
    ----------
    runs, genes, counts
        As `sift_counts` wrote them, cut to what it said.
    following, last
        int64 [n_cells], updated: where the next entry of each cell stands, and its last gene.
    indices, data
        Written, of the CSR matrix.
    """
    start, ascends = 0, True
    for run in range(len(runs)):
        cell, n = runs[run]
        if n == 0:
            continue
        to, smallest_step = following[cell], np.int64(genes[start]) - last[cell]
        for k in range(start + 1, start + n):
            smallest_step = min(smallest_step, np.int64(genes[k]) - np.int64(genes[k - 1]))
        ascends &= smallest_step > 0
        indices[to : to + n] = genes[start : start + n]
        data[to : to + n] = counts[start : start + n]
        following[cell], last[cell] = to + n, genes[start + n - 1]
        start += n
    return ascends


@numba.njit(cache=True, nogil=True)
def sort_genes(indptr, indices, data):  # type: ignore[no-untyped-def]
    """Bring the genes of each row into ascending order."""
    for row in range(indptr.size - 1):
        first, last = indptr[row], indptr[row + 1]
        order = np.argsort(indices[first:last], kind="mergesort")
        indices[first:last] = indices[first:last][order]
        data[first:last] = data[first:last][order]
