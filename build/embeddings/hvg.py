"""Highly variable genes from the moments of normalised counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def highly_variable_genes(
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    *,
    n_top: int,
    n_bins: int = 20,
    keep_ties: bool = True,
) -> NDArray[np.int64]:
    """Choose the genes whose dispersion is highest among genes of like mean (flavour "seurat").

    The log of variance over mean is standardised within bins of equal width of log1p(mean); the choice is
    the same as that of ``scanpy.pp.highly_variable_genes(flavor="seurat", n_top_genes=n_top)``.

    Parameters
    ----------
    mean, variance
        float64 [n_genes], of the normalised counts before the logarithm; variance with n - 1.
    keep_ties
        Take all genes that tie for the last place, as scanpy does; else the first of them, up to `n_top`.

    Returns
    -------
    int64, ascending indices. More than `n_top` when ties are kept, fewer when fewer vary.

    References
    ----------
    Satija et al., Nature Biotechnology 33 (2015), doi 10.1038/nbt.3192; scanpy 1.11.
    """
    normalised = _normalised_dispersion(mean, variance, n_bins=n_bins)
    if not keep_ties:
        # NaN comes last.
        order = np.argsort(-normalised, kind="stable")[: np.count_nonzero(~np.isnan(normalised))]
        return np.sort(order[:n_top])
    known = np.sort(normalised[~np.isnan(normalised)])[::-1]
    if known.size == 0:
        return np.empty(0, dtype=np.int64)
    cutoff = known[min(n_top, known.size) - 1]
    return np.flatnonzero(np.nan_to_num(normalised, nan=-np.inf) >= cutoff)


def _normalised_dispersion(
    mean: NDArray[np.float64], variance: NDArray[np.float64], *, n_bins: int
) -> NDArray[np.float64]:
    mean = np.where(mean == 0, 1e-12, mean)
    dispersion = variance / mean
    dispersion = np.log(dispersion, out=np.full_like(dispersion, np.nan), where=dispersion > 0)
    bins = _equal_width_bins(np.log1p(mean), n_bins)
    known = ~np.isnan(dispersion)
    n = np.bincount(bins[known], minlength=n_bins).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        average = np.bincount(bins[known], weights=dispersion[known], minlength=n_bins) / n
        squares = np.bincount(
            bins[known], weights=(dispersion[known] - average[bins[known]]) ** 2, minlength=n_bins
        )
        deviation = np.sqrt(squares / (n - 1))
        # A gene alone in its bin has nothing to be compared with: its dispersion counts as 1.
        alone = np.isnan(deviation)
        deviation[alone], average[alone] = average[alone], 0
        return np.asarray((dispersion - average[bins]) / deviation[bins])


def _equal_width_bins(values: NDArray[np.float64], n_bins: int) -> NDArray[np.int64]:
    """Number bins (a, b] of equal width, the first closed on the left, as pandas.cut does."""
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros(values.size, dtype=np.int64)
    edges = np.linspace(low, high, n_bins + 1)
    edges[0] -= (high - low) * 0.001
    return np.searchsorted(edges, values, side="left") - 1
