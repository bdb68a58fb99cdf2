"""The smallest random keys, overall or within strata: exact, in two passes, without a sort of all cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.build.codes import count_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK = 1 << 16
_MAX = np.iinfo(np.uint64).max


def smallest_keys(
    keys: NDArray[np.uint64],
    quotas: NDArray[np.int64],
    *,
    codes: NDArray[np.unsignedinteger] | None = None,
) -> NDArray[np.int64]:
    """Return the rows with the ``quotas[g]`` smallest keys among the rows of each stratum g.

    Keys are uniform on 0 … 2**64 - 1, so the largest key chosen in a stratum is known up to a narrow bracket
    beforehand. Rows below it are in, rows above it are out, and only those inside are sorted. A bracket that
    turns out wrong (keys that are not uniform) is opened, so that the result is exact whatever the keys.

    Parameters
    ----------
    keys
        uint64 [n_cells]. Equal keys are ordered by row number.
    quotas
        int64 [n_strata], none above the size of its stratum.
    codes
        The stratum of each row, [n_cells]; without it all rows are one stratum.

    Returns
    -------
    int64 [quotas.sum()], ascending.

    Notes
    -----
    Memory beyond input and output: one byte a cell, and the rows inside the brackets.
    """
    counts = np.array([keys.size]) if codes is None else count_codes(codes, quotas.size)
    lower, upper = _brackets(quotas, counts)
    while True:
        chosen, open_rows = _compare(keys, codes, lower, upper)
        n_sure = _count(codes, np.flatnonzero(chosen), quotas.size)
        n_open = _count(codes, open_rows, quotas.size)
        wrong = (n_sure > quotas) | (n_sure + n_open < quotas)
        if not wrong.any():
            break
        lower[wrong], upper[wrong] = 0, _MAX
    stratum = np.zeros(open_rows.size, dtype=np.uint8) if codes is None else codes[open_rows]
    order = np.lexsort((keys[open_rows], stratum))
    starts = np.cumsum(n_open) - n_open
    within = np.arange(order.size) - starts[stratum[order]]
    chosen[open_rows[order[within < (quotas - n_sure)[stratum[order]]]]] = True
    return np.flatnonzero(chosen)


def _brackets(
    quotas: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return where the largest chosen key of each stratum lies, but for about one stratum in a million."""
    size = np.maximum(counts, 1)
    share = quotas / size
    slack = 5 * np.sqrt(share * (1 - share) / size) + 12 / size
    top = np.nextafter(2.0**64, 0)
    lower = np.clip((share - slack) * 2.0**64, 0, top).astype(np.uint64)
    upper = np.clip((share + slack) * 2.0**64, 0, top).astype(np.uint64)
    upper[share + slack >= 1] = _MAX
    lower[quotas == counts], upper[quotas == 0] = _MAX, 0
    return lower, upper


def _compare(
    keys: NDArray[np.uint64],
    codes: NDArray[np.unsignedinteger] | None,
    lower: NDArray[np.uint64],
    upper: NDArray[np.uint64],
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return which rows lie below their bracket, and the rows inside it."""
    below = np.empty(keys.size, dtype=np.bool_)
    inside = []
    for start in range(0, keys.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        stratum = 0 if codes is None else codes[block]
        below[block] = keys[block] < lower[stratum]
        inside.append(start + np.flatnonzero((keys[block] <= upper[stratum]) & ~below[block]))
    return below, np.concatenate(inside) if inside else np.empty(0, dtype=np.int64)


def _count(
    codes: NDArray[np.unsignedinteger] | None, rows: NDArray[np.int64], n_strata: int
) -> NDArray[np.int64]:
    if codes is None:
        return np.array([rows.size])
    return np.bincount(codes[rows], minlength=n_strata)
