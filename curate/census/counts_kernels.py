"""From entries as TileDB gives them to rows of CSR, compiled."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def sift(rows, columns, values, cells, column, is_counted, n_of_cell, totals, runs, genes, counts):  # type: ignore[no-untyped-def]
    """Keep the wanted entries in one reading of them; return the number of entries kept and of runs.

    Parameters
    ----------
    rows, columns, values
        int64, int64, float32 [n]: joinids of cells and genes, and counts.
    cells, column, is_counted
        The ascending joinids that are wanted; for the joinid of each gene its number, -1 where it is not
        wanted, and whether it belongs to the totals.
    n_of_cell, totals
        Added to: the entries kept of each cell, and its total.
    runs
        Written: int32 [n, 2], the number of a cell and of its entries that follow each other.
    genes, counts
        Written: int32 and float32 [n], the entries kept.
    """
    # Unsigned, because numba would look whether an index counts from the end.
    start, n_kept, one, n_rows = np.uint64(0), np.uint64(0), np.uint64(1), np.uint64(len(rows))
    n_runs = 0
    while start < n_rows:
        # Entries come in runs of one row: look for a cell once a run.
        row, end = rows[start], start + one
        while end < n_rows and rows[end] == row:
            end += one
        cell = np.searchsorted(cells, row)
        if cell < len(cells) and cells[cell] == row:
            before, total = n_kept, 0.0
            for k in range(start, end):
                gene, count = np.uint64(columns[k]), values[k]
                # Written in any case, and over unless kept: a branch would be guessed wrong half of the time.
                genes[n_kept], counts[n_kept] = column[gene], count
                n_kept += np.uint64(column[gene] >= 0)
                if is_counted[gene]:
                    total += count
            n = np.int64(n_kept - before)
            runs[n_runs, 0], runs[n_runs, 1] = cell, n
            n_runs += 1
            n_of_cell[cell] += n
            totals[cell] += total
        start = end
    return np.int64(n_kept), n_runs


@numba.njit(nogil=True, cache=True)
def lay_down(runs, genes, counts, following, last, indices, data):  # type: ignore[no-untyped-def]
    """Copy runs of entries where the next ones of their cells stand; return whether genes still ascend.

    Parameters
    ----------
    runs, genes, counts
        As `sift` wrote them, cut to what it said.
    following, last
        int64, int32 [n_cells], updated: where the next entry of each cell stands, its last gene.
    indices, data
        Written: int64 and float32, of the CSR matrix.
    """
    start, ascends = 0, True
    for run in range(len(runs)):
        cell, n = runs[run]
        to, gene = following[cell], last[cell]
        for k in range(n):
            ascends &= genes[start + k] > gene
            gene = genes[start + k]
            indices[to + k] = gene
        data[to : to + n] = counts[start : start + n]
        following[cell], last[cell] = to + n, gene
        start += n
    return ascends
