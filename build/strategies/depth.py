"""Choice by depth: the most deeply sequenced cells of every stratum."""

from __future__ import annotations

import heapq
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.build.selection import Parameter, Selection, Strategy, check_n
from curate.build.strategies.keys import smallest_keys
from curate.build.strategies.strata import BY, parse_columns, stratify
from curate.errors import SelectionError
from curate.nearest import nearest
from curate.quality import COUNTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from numpy.typing import NDArray


def depth(
    cells: pl.DataFrame,
    embedding: NDArray[np.float32] | None,
    n: int,
    *,
    keys: NDArray[np.uint64],
    rng: np.random.Generator,
    by: Sequence[str] = ("cell_type",),
    depth_column: str = COUNTS,
) -> Selection:
    """Choose `n` cells, the deepest of every stratum, so that strata keep their shares.

    The k-th deepest cell of a stratum of N cells has the rank (k - 1/2) / N; the `n` cells of the smallest
    ranks are chosen. That is the allocation of Sainte-Laguë: a stratum gets its share, rounded as usual, and,
    unlike with largest remainders, a choice of fewer cells always lies inside this one. Nothing is drawn:
    another seed changes the order of cells of equal depth only. A cell without a depth comes after all others
    of its stratum.

    Parameters
    ----------
    by
        Obs columns; a stratum is a combination of their values. Null is a value.
    depth_column
        raw_sum (counts of a cell), nnz (genes detected), or another column of numbers.

    Raises
    ------
    SelectionError
        When `n` is 0 or more than there are cells, or a column is absent or holds no numbers.

    References
    ----------
    Depth as the axis of quality: arXiv 2503.02726.
    """
    del embedding
    check_n(n, keys.size)
    strata = stratify(cells, parse_columns(by))
    depths = _depths(cells, depth_column)
    quotas = sainte_lague(strata.counts, n, rng=rng)
    rows = _deepest(depths, quotas, strata.codes, strata.counts, keys)
    return Selection(
        rows,
        notes={
            "n_strata": strata.n,
            "n_strata_without_cells": int((quotas == 0).sum()),
            f"median_{depth_column}": _median(depths[rows]),
            f"median_{depth_column}_of_all": _median(depths),
        },
    )


def sainte_lague(
    counts: NDArray[np.int64],
    n: int,
    *,
    rng: np.random.Generator,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Share `n` among groups in proportion to their weights, so that no quota shrinks as `n` grows.

    The k-th cell of a group of weight w has the rank (k - 1/2) / w; the `n` smallest ranks are taken, groups
    of equal rank in an order that is drawn once for all groups. A group that is used up leaves its share to
    the others, by their weights.

    Parameters
    ----------
    counts
        int64 [n_groups], the size of each.
    weights
        float64 [n_groups], above 0; by default the sizes.

    Returns
    -------
    int64 [n_groups], summing to `n`, none above its count.

    Raises
    ------
    SelectionError
        When `n` is negative or above the sum of `counts`.
    """
    counts = np.asarray(counts, dtype=np.int64)
    total = int(counts.sum())
    if not 0 <= n <= total:
        raise SelectionError(f"cannot share {n:,} cells among groups of {total:,} in all")
    lots = rng.permutation(counts.size)
    shares = counts.astype(np.float64) if weights is None else weights
    quotas = _quotas_below(counts, shares, n)
    # What is left, a few cells: by exact ranks, so that equal ranks are equal.
    heap = [(_rank(shares, quotas, g), int(lots[g]), g) for g in range(counts.size) if quotas[g] < counts[g]]
    heapq.heapify(heap)
    for _ in range(n - int(quotas.sum())):
        _, lot, g = heapq.heappop(heap)
        quotas[g] += 1
        if quotas[g] < counts[g]:
            heapq.heappush(heap, (_rank(shares, quotas, g), lot, g))
    return quotas


def parse_depth_column(value: object) -> str:
    """Read the name of one column."""
    names = parse_columns(value)
    if len(names) > 1:
        raise SelectionError(f"depth_column={value!r} names {len(names)} columns; name one")
    return names[0]


def _rank(shares: NDArray[np.float64], quotas: NDArray[np.int64], group: int) -> Fraction:
    """Return the rank of the next cell of a group."""
    return Fraction(2 * int(quotas[group]) + 1, 2) / Fraction(float(shares[group]))


def _quotas_below(counts: NDArray[np.int64], shares: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Return how many ranks of each group lie below a level that hardly fewer than `n` lie below in all."""
    able = counts > 0
    low, high = 0.0, float((counts[able] / shares[able]).max(initial=0.0)) + 1.0
    for _ in range(128):
        level = (low + high) / 2
        if np.minimum(np.floor(level * shares + 0.5), counts).sum() <= n:
            low = level
        else:
            high = level
    # A little lower, so that no rank is below it by a rounding error.
    below = np.minimum(np.floor(low * (1 - 1e-9) * shares + 0.5), counts)
    return np.asarray(below, dtype=np.int64)


def _depths(cells: pl.DataFrame, column: str) -> NDArray[np.float64]:
    if column not in cells.columns:
        raise SelectionError(f"no column {column!r} to take the depth from; {nearest(column, cells.columns)}")
    if not cells[column].dtype.is_numeric():
        raise SelectionError(f"{column} holds no numbers; take the depth from raw_sum or nnz")
    values: NDArray[Any] = cells[column].cast(float).fill_null(-np.inf).fill_nan(-np.inf).to_numpy()
    return values


def _median(depths: NDArray[np.float64]) -> float:
    known = depths[np.isfinite(depths)]
    return float(np.median(known)) if known.size else 0.0


def _deepest(
    depths: NDArray[np.float64],
    quotas: NDArray[np.int64],
    codes: NDArray[np.unsignedinteger],
    counts: NDArray[np.int64],
    keys: NDArray[np.uint64],
) -> NDArray[np.int64]:
    """Return the rows of the ``quotas[g]`` greatest depths of each stratum g; ties go by key."""
    # The depth of the last cell that each stratum gives.
    least = np.full(quotas.size, np.inf)
    by_stratum = depths[np.argsort(codes, kind="stable")]
    ends = np.cumsum(counts)
    for g in np.flatnonzero(quotas):
        own = by_stratum[ends[g] - counts[g] : ends[g]]
        own.partition(own.size - quotas[g])
        least[g] = own[own.size - quotas[g]]
    threshold = least[codes]
    chosen = depths > threshold
    tied = np.flatnonzero(depths == threshold)
    wanted = quotas - np.bincount(codes[chosen], minlength=quotas.size)
    chosen[tied[smallest_keys(keys[tied], wanted, codes=codes[tied])]] = True
    return np.flatnonzero(chosen)


DEPTH = Strategy(
    select=depth,
    summary="The most deeply sequenced cells of every group, which keeps its share.",
    reference="depth as the axis of quality, arXiv 2503.02726; Sainte-Laguë allocation",
    parameters=(
        BY,
        Parameter(
            name="depth_column",
            default=COUNTS,
            parse=parse_depth_column,
            metavar="COLUMN",
            help="What depth is: raw_sum, nnz, or another column of numbers.",
            names_columns=True,
        ),
    ),
    nested=True,
    is_drawn=False,
    growth="N log N",
)
