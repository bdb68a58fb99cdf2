"""Compiled loops over rows of CSR counts."""

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
    _copy_rows(indptr, indices, data, rows, taken, out_indices, out_data)
    return taken, out_indices, out_data


@numba.njit(cache=True, nogil=True)
def _copy_rows(indptr, indices, data, rows, taken, out_indices, out_data):  # type: ignore[no-untyped-def]
    for k in range(rows.size):
        first, at = indptr[rows[k]], taken[k]
        for p in range(taken[k + 1] - at):
            out_indices[at + p] = indices[first + p]
            out_data[at + p] = data[first + p]
