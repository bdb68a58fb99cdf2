"""Counts from log-normalised values: what a cell was divided by is its smallest value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 0.02
"""Furthest that a restored count may lie from a whole number: float32 keeps 7 digits, and a file may have
rounded some away."""


def restored_counts(values: sp.csr_array) -> tuple[sp.csr_array, NDArray[np.bool_]]:
    """Return the counts behind values that were scaled cell by cell, and log-transformed or not.

    A cell that was normalised and log-transformed holds log(1 + c / f) with one f for the cell. Nearly every
    cell has a gene with one count; then expm1 of its smallest value is 1 / f, and every expm1 divided by it
    is a whole number. Where that does not come out, the values themselves are tried.

    Parameters
    ----------
    values
        [n_cells, n_genes], none negative, without explicit zeros.

    Returns
    -------
    csr_array, bool [n_cells]
        Counts, and for which cells they are counts; the others hold 1 for each detected gene. A cell whose
        smallest count is not 1 comes out divided by it, or not at all.
    """
    counts = np.ones(len(values.data), np.float64)
    known = np.zeros(values.shape[0], np.bool_)
    _restore(values.indptr, values.data.astype(np.float64), counts, known, TOLERANCE)
    restored = sp.csr_array((counts.astype(np.float32), values.indices, values.indptr), shape=values.shape)
    return restored, known


@numba.njit(cache=True, nogil=True)
def _restore(indptr, data, counts, known, tolerance):  # type: ignore[no-untyped-def]
    for cell in range(len(known)):
        first, last = indptr[cell], indptr[cell + 1]
        if first == last:
            known[cell] = True
            continue
        for is_log in (True, False):
            least = np.inf
            for at in range(first, last):
                value = np.expm1(data[at]) if is_log else data[at]
                least = min(least, value)
            fits = True
            for at in range(first, last):
                value = (np.expm1(data[at]) if is_log else data[at]) / least
                # What rounding does to a value grows with it.
                if not abs(value - np.rint(value)) <= max(tolerance, 1e-5 * value):
                    fits = False
                    break
            if fits:
                for at in range(first, last):
                    value = (np.expm1(data[at]) if is_log else data[at]) / least
                    counts[at] = np.rint(value)
                known[cell] = True
                break
