"""What a column of numbers is like: its quantiles, and how far two columns are apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

QUANTILES = {"least": 0.0, "5%": 0.05, "25%": 0.25, "median": 0.5, "75%": 0.75, "95%": 0.95, "most": 1.0}


def quantiles(
    values: NDArray[np.number[Any]], counts: NDArray[np.integer[Any]] | None = None
) -> dict[str, float]:
    """Return the quantiles of QUANTILES, each a value that is there: the nearest in rank.

    Parameters
    ----------
    values
        Numbers [n] in any order; those that are not a number do not count.
    counts
        How often each stands, [n]; once each by default.

    Returns
    -------
    dict
        Name → value; empty when there are no values.
    """
    held = ~np.isnan(values)
    values = values[held]
    if counts is None:
        values = np.sort(values)
        ends = np.arange(1, len(values) + 1)
    else:
        order = np.argsort(values)
        values, ends = values[order], np.cumsum(counts[held][order], dtype=np.int64)
    if not len(ends) or not ends[-1]:
        return {}
    ranks = [int(share * (int(ends[-1]) - 1) + 0.5) for share in QUANTILES.values()]
    return {
        name: float(values[row])
        for name, row in zip(QUANTILES, np.searchsorted(ends, ranks, side="right"), strict=True)
    }


def kolmogorov_smirnov(a: NDArray[np.number[Any]], b: NDArray[np.number[Any]]) -> float | None:
    """Return the largest distance between the cumulative shares of two columns, 0 to 1.

    Parameters
    ----------
    a, b
        Numbers [n_a] and [n_b] in any order; those that are not a number do not count.

    Returns
    -------
    float or None
        None when one has no values.

    References
    ----------
    The statistic of the two-sample test of Smirnov, Annals of Mathematical Statistics 19 (1948).
    """
    a, b = np.sort(a[~np.isnan(a)]), np.sort(b[~np.isnan(b)])
    if not len(a) or not len(b):
        return None
    # The shares change at values only, so that the largest distance is at one of them.
    return max(
        float(
            np.abs(
                np.searchsorted(a, values, side="right") / len(a)
                - np.searchsorted(b, values, side="right") / len(b)
            ).max()
        )
        for values in (a, b)
    )


def shown(value: float) -> str:
    """Return a quantile as it is printed: whole numbers in full, others to four digits."""
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 10_000 else f"{value:.4g}"


def line(held: Mapping[str, float]) -> str:
    """Return quantiles in one line."""
    return "  ".join(f"{name} {shown(value)}" for name, value in held.items()) or "no values"
