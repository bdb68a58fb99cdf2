"""Diversity of a selection over categories, from counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def shannon_bits(counts: ArrayLike) -> float:
    """Return the Shannon entropy, in bits, of categories with `counts` [n_categories] cells.

    0 for one category, log2(n) for n equal ones. Empty categories add nothing; no cell at all gives nan.

    References
    ----------
    Shannon, Bell System Technical Journal 27 (1948).
    """
    shares = _shares(counts)
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def inverse_simpson(counts: ArrayLike) -> float:
    """Return 1 / sum(share²): the number of equal categories that would be as diverse.

    References
    ----------
    Simpson, Nature 163 (1949); Hill, Ecology 54 (1973), order 2.
    """
    return float(1.0 / (_shares(counts) ** 2).sum())


def gini_simpson(counts: ArrayLike) -> float:
    """Return 1 - sum(share²): the chance that two cells drawn with replacement differ in category.

    References
    ----------
    Simpson, Nature 163 (1949).
    """
    return float(1.0 - (_shares(counts) ** 2).sum())


def _shares(counts: ArrayLike) -> NDArray[np.float64]:
    held = np.asarray(counts, dtype=np.float64)
    held = held[held > 0]
    return held / held.sum() if len(held) else np.array([np.nan])
