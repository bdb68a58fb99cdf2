"""The split of each cell by itself: a keyed hash of who it is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from curate.errors import SelectionError
from curate.identity import cell_keys
from curate.manifests.document import SPLITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


#: Cells at a time: what is computed on the way stays in the processor's cache.
BLOCK = 2**15
RATIOS = (0.8, 0.1, 0.1)


def assign_splits(
    identity: NDArray[np.uint64], *, ratios: Sequence[float] = RATIOS, seed: int = 0
) -> NDArray[np.uint8]:
    """Assign each cell to train, val or test by a keyed hash of its identity.

    A cell has the same split in every subset, corpus and release built with the same ratios and seed: no
    cell can be in the test cells of one subset and in the training cells of another. The price is that the
    shares of one subset scatter about the ratios as in independent draws: by sqrt(n·r·(1 - r)) of n cells.

    Parameters
    ----------
    identity
        uint64 [n_cells].
    ratios
        Shares of train, val and test, each at least 0, together 1; by default the study's.

    Returns
    -------
    uint8 [n_cells]
        Index into SPLITS.

    Raises
    ------
    SelectionError
        When the ratios are not three shares that sum to 1.
    """
    check_ratios(ratios)
    bounds = split_bounds(ratios)
    splits = np.empty(identity.size, dtype=np.uint8)
    for start in range(0, identity.size, BLOCK):
        rows = slice(start, start + BLOCK)
        uniform = cell_keys(identity[rows], seed=seed, purpose="split") >> np.uint64(11)
        splits[rows] = np.searchsorted(bounds, uniform, side="right")
    return splits


def check_ratios(ratios: Sequence[float]) -> None:
    """Refuse ratios that are not three shares that sum to 1.

    Raises
    ------
    SelectionError
        With what is wrong with them.
    """
    if len(ratios) == len(SPLITS) and min(ratios) >= 0 and math.isclose(sum(ratios), 1.0, abs_tol=1e-9):
        return
    if len(ratios) != len(SPLITS):
        fault = f"are {len(ratios)} of {len(SPLITS)} shares"
    elif min(ratios) < 0:
        fault = f"hold {min(ratios):g}, less than 0"
    else:
        fault = f"sum to {sum(ratios):g}"
    raise SelectionError(
        f"split ratios {', '.join(f'{ratio:g}' for ratio in ratios)} {fault}; "
        f"give {len(SPLITS)} shares ({', '.join(SPLITS)}) that sum to 1"
    )


def split_bounds(ratios: Sequence[float]) -> NDArray[np.uint64]:
    """Return where on 0 … 2**53 one split ends and the next begins."""
    return np.round(np.cumsum(ratios)[:-1] * 2.0**53).astype(np.uint64)
