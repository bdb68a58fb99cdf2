"""Uniform choice: every cell is as likely as every other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.build.selection import Selection, Strategy, check_n
from curate.build.strategies.keys import smallest_keys

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray


def random(
    cells: pl.DataFrame,
    embedding: NDArray[np.float32] | None,
    n: int,
    *,
    keys: NDArray[np.uint64],
    rng: np.random.Generator,
) -> Selection:
    """Choose the `n` cells with the smallest keys: a uniform sample without replacement.

    A choice of fewer cells with the same keys lies inside it, and a cell's fate depends on its own key and a
    threshold only, not on the order of the cells.

    Raises
    ------
    SelectionError
        When `n` is 0 or more than there are cells.
    """
    del cells, embedding, rng
    check_n(n, keys.size)
    return Selection(smallest_keys(keys, np.array([n])))


RANDOM = Strategy(
    select=random,
    summary="Every cell is as likely as every other.",
    reference="uniform sampling without replacement",
    nested=True,
    growth="N",
)
