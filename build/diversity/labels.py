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


def rarefied_richness(counts: ArrayLike, n: int) -> float:
    """Return how many categories `n` of the cells, drawn without replacement, hold on average.

    What makes numbers of categories comparable between sets of different size. No estimate of categories that
    were not seen is made (as Chao1 is): that needs a random sample, which a curated set is not.

    Parameters
    ----------
    counts
        [n_categories], whole numbers.
    n
        At most all cells, for which all categories are held.

    References
    ----------
    Hurlbert, Ecology 52 (1971).
    """
    from scipy.special import gammaln

    held = np.asarray(counts, dtype=np.float64)
    held = held[held > 0]
    total = held.sum()
    if not 0 <= n <= total:
        raise ValueError(f"{n} of {total:.0f} cells cannot be drawn")
    without = total - held
    # A category is missed when all n come from the other cells.
    possible = without >= n
    rest = without[possible]
    missed = np.exp(gammaln(rest + 1) - gammaln(rest - n + 1) - gammaln(total + 1) + gammaln(total - n + 1))
    return float(held.size - missed.sum())


def _shares(counts: ArrayLike) -> NDArray[np.float64]:
    held = np.asarray(counts, dtype=np.float64)
    held = held[held > 0]
    return held / held.sum() if len(held) else np.array([np.nan])
