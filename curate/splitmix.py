"""SplitMix64: a random 64-bit number for each number of a key's sequence, compiled."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, inline="always")
def mixed(key, count):  # type: ignore[no-untyped-def]
    """Return the state of `key` after `count` steps, finished; uint64 (Steele et al., OOPSLA 2014)."""
    z = key + count * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
