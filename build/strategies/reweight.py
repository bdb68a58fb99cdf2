"""Re-weighted choice: as many cells of every kind as there can be."""

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


def reweight(
    cells: pl.DataFrame,
    embedding: NDArray[np.float32] | None,
    n: int,
    *,
    keys: NDArray[np.uint64],
    rng: np.random.Generator,
    by: Sequence[str] = ("cell_type",),
) -> Selection:
    """Choose `n` cells with the same number of every stratum; a stratum too small for that gives all it has.

    Within a stratum the smallest keys are chosen. With the same keys and an `rng` in the same state, a choice
    of fewer cells lies inside this one. The selection carries no weights: they would undo what it is for. Who
    needs them for an estimate over the corpus takes, per stratum, cells in the corpus over cells selected.

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
    quotas = water_fill(strata.counts, n, rng=rng)
    rows = smallest_keys(keys, quotas, codes=strata.codes)
    given = int((quotas == strata.counts).sum())
    return Selection(
        rows, notes={"n_strata": strata.n, "n_strata_taken_whole": given, "largest_quota": int(quotas.max())}
    )


def water_fill(counts: NDArray[np.int64], n: int, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """Share `n` among groups as evenly as their sizes allow, and exactly.

    The quotas are min(count, level) for the highest whole level that `n` pays for; the remainder, fewer than
    there are groups above the level, goes as one more each to groups drawn at random among those. The result
    is the one that sharing equally and sharing the rest again, until it settles, arrives at.

    Parameters
    ----------
    counts
        int64 [n_groups], the size of each.

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
    if n == total:
        return counts.copy()
    ascending = np.sort(counts)
    n_above = np.arange(counts.size, 0, -1)
    before = np.cumsum(ascending) - ascending
    # filled[i]: the cells that it takes to raise the level to the size of the i-th smallest group.
    n_whole = int(np.searchsorted(before + ascending * n_above, n, side="right"))
    level, remainder = divmod(n - int(before[n_whole]), counts.size - n_whole)
    quotas = np.minimum(counts, level)
    # Drawn from an order of all groups, so that a larger n adds to the groups that got one more.
    order = rng.permutation(counts.size)
    quotas[order[counts[order] > level][:remainder]] += 1
    return quotas


REWEIGHT = Strategy(
    select=reweight,
    summary="As many cells of every group as there can be.",
    reference="water-filling, as in DenAdel et al., Nature Methods 2026, doi 10.1038/s41592-026-03120-y",
    parameters=(BY,),
    nested=True,
    growth="N",
)
