"""Proportional choice: every stratum keeps its share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.build.selection import Selection, Strategy, check_n
from curate.build.strategies.keys import smallest_keys
from curate.build.strategies.strata import BY, parse_columns, stratify
from curate.errors import SelectionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from numpy.typing import NDArray


def stratified(
    cells: pl.DataFrame,
    embedding: NDArray[np.float32] | None,
    n: int,
    *,
    keys: NDArray[np.uint64],
    rng: np.random.Generator,
    by: Sequence[str] = ("cell_type",),
) -> Selection:
    """Choose `n` cells so that every stratum keeps its share, to within one cell.

    Within a stratum the smallest keys are chosen. A choice of fewer cells with the same keys lies inside this
    one wherever no quota shrinks as n grows. Largest remainders do not promise that: between two close n, a
    stratum of a few cells may lose its one cell again.

    Parameters
    ----------
    by
        Obs columns; a stratum is a combination of their values. Null is a value.

    Raises
    ------
    SelectionError
        When `n` is 0 or more than there are cells, or a column is absent.
    """
    del embedding
    check_n(n, keys.size)
    strata = stratify(cells, parse_columns(by))
    quotas = largest_remainder(strata.counts, n, rng=rng)
    rows = smallest_keys(keys, quotas, codes=strata.codes)
    return Selection(rows, notes={"n_strata": strata.n, "n_strata_without_cells": int((quotas == 0).sum())})


def largest_remainder(counts: NDArray[np.int64], n: int, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """Share `n` among groups in proportion to `counts`, each to within one of its exact share.

    Every group gets the whole part of its share; what is left goes to the largest fractional parts (the
    method of Hamilton). Groups with equal fractional parts draw lots.

    Raises
    ------
    SelectionError
        When `n` is negative or above the sum of `counts`.
    """
    counts = np.asarray(counts, dtype=np.int64)
    total = int(counts.sum())
    if not 0 <= n <= total:
        raise SelectionError(f"cannot share {n:,} cells among groups of {total:,} in all")
    # In integers, so that equal remainders are equal. 64 bits hold n * counts up to 3e9 cells.
    quotas, remainders = np.divmod(counts * n, max(total, 1))
    lots = rng.permutation(counts.size)
    first = np.lexsort((lots, -remainders))[: n - int(quotas.sum())]
    quotas[first] += 1
    return quotas


STRATIFIED = Strategy(
    select=stratified,
    summary="Every group of cells keeps its share.",
    reference="proportional allocation, largest remainders",
    parameters=(BY,),
    growth="N",
)
