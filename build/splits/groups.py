"""Which split each unit goes to: whole units, shares of cells and of labels near the ratios.

1. the only home of a label goes to train, the rarest first, so that no label is lost from train by chance;
2. the others, the most important first, go where they bring cells and labels nearest to the ratios;
3. a label that train still lacks gets a unit into train, where one can be moved;
4. a split without a unit gets the one that costs the least;
5. single units move for as long as that brings the shares nearer.

Of few units the best of all assignments is taken instead (`few.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.build.splits.cells import split_bounds
from curate.build.splits.few import FEW, assign_few
from curate.build.splits.kernels import Table, assign
from curate.identity import cell_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.build.splits.units import Units

PURPOSE = "split unit"


def assign_units(units: Units, *, ratios: Sequence[float], seed: int) -> NDArray[np.uint8]:
    """Assign whole units to splits, so that cells and labels come near the ratios.

    The measure is the sum over splits of (share - ratio)² / ratio, of all cells and, in the mean, of the
    cells of each label; units are placed one by one where they add the least to it, those that hold the
    largest part of all cells or of a label first: the iterative stratification of Sechidis et al., for units
    of many cells with many labels. Units of like importance (within a factor of two) come in the order of a
    keyed hash of their names, so that another seed gives another split.

    Of up to FEW units, one by one can end far from what is possible: there all assignments are compared, or
    many tries, and of those nearly as near as can be to the ratios the one that keeps the most labels in
    train is taken. The seed decides between equals.

    A label that lives in one unit only is put into train with it, and one that would be missing there is
    brought there, for as long as train exceeds its share by no more than half of what val and test are to
    have, and no split is left without a unit. So a label can end up outside train only where its cells are
    too many, or its units too few; manifests say which.

    Parameters
    ----------
    ratios
        Shares of train, val and test, which sum to 1; one of 0 gets nothing.

    Returns
    -------
    uint8 [n_units]
        Index into SPLITS. It depends on names and counts, not on the order of cells or labels.

    References
    ----------
    Sechidis, Tsoumakas & Vlahavas, On the stratification of multi-label data, ECML PKDD 2011,
    doi 10.1007/978-3-642-23808-6_10.
    """
    keys = cell_keys(units.hashes, seed=seed, purpose=PURPOSE)
    n_labels = int(units.label.max()) + 1
    label_sizes = np.bincount(units.label, weights=units.count, minlength=n_labels).astype(np.int64)
    starts = np.searchsorted(units.unit, np.arange(units.n + 1))
    importance = np.maximum.reduceat(units.count / label_sizes[units.label], starts[:-1])
    importance = np.maximum(importance, units.sizes / units.sizes.sum())
    table = Table(
        starts=starts,
        pair_label=units.label,
        pair_cells=units.count,
        sizes=units.sizes,
        label_sizes=label_sizes,
        label_units=np.bincount(units.label, minlength=n_labels),
        ratios=np.asarray(ratios, dtype=np.float64),
        n_cells=int(units.sizes.sum()),
    )
    order = np.lexsort((keys, -np.floor(np.log2(importance))))
    exclusive = _exclusive(units, label_sizes, keys)
    if is_few(units):
        by_key = np.argsort(keys)
        seeds = keys[by_key].tolist()
        return assign_few(table, by_key, exclusive, rng=np.random.default_rng(seeds))
    return assign(table, order, exclusive)


def is_few(units: Units) -> bool:
    """Whether the best of all assignments is taken."""
    return units.n <= FEW


def hash_units(units: Units, ratios: Sequence[float], seed: int) -> NDArray[np.uint8]:
    """Assign each unit by a keyed hash of its name alone, whatever else there is."""
    uniform = cell_keys(units.hashes, seed=seed, purpose=PURPOSE) >> np.uint64(11)
    return np.searchsorted(split_bounds(ratios), uniform, side="right").astype(np.uint8)


def _exclusive(units: Units, label_sizes: NDArray[np.int64], keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the units that are the only home of a label, that of the rarest label first."""
    alone = np.flatnonzero(units.count == label_sizes[units.label])
    rarest = np.full(units.n, np.iinfo(np.int64).max)
    np.minimum.at(rarest, units.unit[alone], units.count[alone])
    homes = np.unique(units.unit[alone])
    return homes[np.lexsort((keys[homes], units.sizes[homes], rarest[homes]))]
