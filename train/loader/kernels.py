"""Batches from rows of memory-mapped CSR counts: compiled, without the GIL."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def fill_counts(indptr, indices, data, rows, at, out):  # type: ignore[no-untyped-def]
    """Write the counts of `rows` as float32 into the rows `at` of `out` [n, n_genes]."""
    for k in range(rows.size):
        row = out[at[k]]
        row[:] = 0
        for p in range(indptr[rows[k]], indptr[rows[k] + 1]):
            row[indices[p]] = data[p]


@numba.njit(cache=True, nogil=True)
def fill_normalised(indptr, indices, data, rows, at, target_sum, logs, out):  # type: ignore[no-untyped-def]
    """Write counts scaled to `target_sum` a cell; their log1p where `logs`. A cell without counts is 0."""
    # Most counts of a cell are small, and the logarithm of each is needed many times.
    known = np.empty(64, np.float32)
    for k in range(rows.size):
        row = out[at[k]]
        row[:] = 0
        first, last = indptr[rows[k]], indptr[rows[k] + 1]
        total = 0
        for p in range(first, last):
            total += data[p]
        if total == 0:
            continue
        factor = target_sum / total
        for c in range(known.size):
            known[c] = np.log1p(c * factor) if logs else c * factor
        for p in range(first, last):
            count = data[p]
            if count < known.size:
                row[indices[p]] = known[count]
            else:
                row[indices[p]] = np.log1p(count * factor) if logs else count * factor


@numba.njit(cache=True, nogil=True)
def fill_tokens(indptr, indices, data, rows, at, medians, offset, out, lengths):  # type: ignore[no-untyped-def]
    """Write the genes of each cell, offset, by falling count over median; ties by gene; cut to the width.

    A cell's own total scales all its genes alike and does not change their order. Genes without a median (0)
    are left out. What is not filled stays as it is.
    """
    width = out.shape[1]
    for k in range(rows.size):
        first, last = indptr[rows[k]], indptr[rows[k] + 1]
        values = np.empty(last - first)
        genes = np.empty(last - first, np.int64)
        n = 0
        for p in range(first, last):
            median = medians[indices[p]]
            if median > 0 and data[p] > 0:
                values[n] = -(data[p] / median)
                genes[n] = indices[p]
                n += 1
        order = np.argsort(values[:n], kind="mergesort")
        n = min(n, width)
        for i in range(n):
            out[at[k], i] = genes[order[i]] + offset
        lengths[at[k]] = n
