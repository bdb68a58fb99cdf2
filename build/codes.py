"""Count codes without making 64-bit numbers of all of them at once, as numpy's bincount does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Codes counted at a time: their 64-bit numbers stay in the processor's cache.
BLOCK = 2**17


def count_codes(codes: NDArray[np.integer[Any]], n_codes: int = 0) -> NDArray[np.int64]:
    """Return how often each code occurs, int64 [at least `n_codes`].

    Parameters
    ----------
    codes
        Integers of at least 0, in any type.
    """
    n = max(n_codes, int(codes.max(initial=0)) + 1 if codes.size else 0)
    counts = np.zeros(n, dtype=np.int64)
    for start in range(0, codes.size, BLOCK):
        counts += np.bincount(codes[start : start + BLOCK], minlength=n)
    return counts
