"""One generator for each thing that is drawn, so that nothing depends on the order of drawing."""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, purpose: str, number: int = 0) -> np.random.Generator:
    """Return the generator of the thing `number` among those drawn for `purpose`."""
    return np.random.default_rng((seed, zlib.crc32(purpose.encode()), number))
