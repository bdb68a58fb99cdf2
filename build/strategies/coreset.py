"""Coreset by k-center: every cell has a chosen one near, however rare it is.

1. the cells that may be chosen: all, or one from each box of a covering (`coreset_pool`);
2. those that are left out as outliers;
3. farthest-first traversal: each choice is the cell farthest from those before it (`coreset_tree`);
4. how near the chosen are to all cells, beside a random choice of as many.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.build.selection import Parameter, Selection, Strategy, check_n
from curate.build.strategies.settings import as_number, between, yes_no
from curate.errors import SelectionError

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl
    from numpy.typing import NDArray

    from curate.build.covering.covering import Covering
    from curate.build.strategies.coreset_pool import Pool

LEAST_POOL = 1_000_000
PER_LEFT_OUT = 10
"""Cells that a group of the share that is left out has in the sample, in the mean: none with chance e^-10."""
MOST_SAMPLED = 100_000
_LEAVES = 4 / 3
"""What leaves take that are not full."""


def coreset(
    cells: pl.DataFrame,
    embedding: NDArray[np.float32] | None,
    n: int,
    *,
    keys: NDArray[np.uint64],
    rng: np.random.Generator,
    exact: bool | str = "auto",
    pool: int | float | str = "auto",
    left_out: float = 0.0,
    covering: Callable[[], Covering] | None = None,
) -> Selection:
    """Choose `n` cells by farthest-first traversal: the largest distance to a chosen cell becomes small.

    The first cell is that of the smallest key; then always the one farthest from those chosen. The radius,
    the largest distance of a cell from the nearest chosen one, is at most twice what any `n` cells can reach.
    A choice of fewer cells with the same keys lies inside this one: it is the first of them, by rank.

    Parameters
    ----------
    exact
        Choose among all cells. "auto": up to twice as many as the pool would hold. Otherwise from the pool;
        the radius is then at most twice the best of a choice from the pool, and no cell is farther from the
        pool than a box is wide: the notes say how far any cell can be from a chosen one.
    pool
        About how many cells to choose from: a number, a fraction of the cells, or "auto" for a tenth of them,
        at least 1,000,000. They are one each of as many boxes of a geometric covering, by key, so that rare
        cells are among them; the number does not depend on `n`.
    left_out
        Share of the cells that are neither chosen nor to be near to a chosen one: outliers, those farthest
        from a random sample in which a group of this share has 10 cells in the mean (at most 100,000 cells in
        all). They come last, by key.
    covering
        What `prepare` returned: a covering serves every size and seed.

    Raises
    ------
    SelectionError
        When `n` is 0, or more than there are cells or the pool holds, there is no embedding, or it holds NaN,
        infinite or only equal values.

    Notes
    -----
    Memory beyond the embedding: about 1.3 times the candidates' vectors, and some 30 bytes a cell. 10,000 of
    1 million cells of 50 dimensions take 2 seconds on one core; time grows somewhat less than with `n`.

    References
    ----------
    Gonzalez, Clustering to minimize the maximum intercluster distance, Theoretical Computer Science 1985, doi
    10.1016/0304-3975(85)90224-5. Sener and Savarese, Active learning for convolutional neural networks: a
    core-set approach, ICLR 2018, arXiv 1708.00489. Outliers: the problem is that of Charikar et al., SODA
    2001; they are told by the distance to a sample, as Sugiyama and Borgwardt, NIPS 2013.
    """
    from curate.build.strategies.coreset_pool import all_cells, pool_of
    from curate.build.strategies.coreset_radius import reach, sampled_reach, short
    from curate.build.strategies.coreset_tree import FarthestFirst
    from curate.build.strategies.points import check_points

    del cells, rng
    check_n(n, keys.size)
    points = check_points(embedding, keys.size, needed_by="coreset")
    if n == keys.size:
        return Selection(np.arange(n))
    if is_exact(exact, pool, keys.size):
        candidates = all_cells(points, keys)
    else:
        share = covering or prepare(points, exact=False, pool=pool)["covering"]
        candidates = pool_of(points, keys, share())
    _check_pool(n, candidates, keys.size, points.shape[1])

    tree = FarthestFirst(candidates.points, candidates.places)
    out = np.empty(0, dtype=np.int64)
    notes: dict[str, int | float | str] = {"exact": "yes" if candidates.is_all else "no"}
    if not candidates.is_all:
        notes["n_pool"] = candidates.size
    if left_out > 0:
        n_sampled = min(math.ceil(PER_LEFT_OUT / left_out), MOST_SAMPLED, keys.size)
        out = candidates.outliers(tree, points, keys, left_out, n_sampled=n_sampled)
        tree.leave_out(out)
        notes |= {"n_left_out": candidates.n_cells_of(out), "n_sampled": n_sampled}

    order, radii = tree.choose(n)
    distances = tree.distances()
    if order.size < n:
        notes["n_distinct"] = order.size
        order = _and_then(order, n, out, candidates.size)

    chosen = candidates.row_of(order)
    by_row = np.argsort(chosen)
    rows = chosen[by_row]
    if order.size > 1:
        notes["radius_of_first"] = short(radii[1]) if radii.size > 1 else 0.0
    notes |= reach(candidates, points, distances, out)
    notes |= sampled_reach(points, rows, keys, is_known=candidates.is_all)
    return Selection(rows, rank=by_row.astype(np.int32), notes=notes)


def prepare(
    embedding: NDArray[np.float32],
    *,
    exact: bool | str = "auto",
    pool: int | float | str = "auto",
    **other: object,
) -> dict[str, Any]:
    """Return the covering that coresets of these cells share, computed once, when first asked for."""
    del other

    @cache
    def covering() -> Covering:
        from curate.build.covering.covering import cover

        return cover(embedding, pool_size(pool, embedding.shape[0]))

    return {"covering": covering}


def is_exact(exact: bool | str, pool: int | float | str, n_cells: int) -> bool:
    """Return whether all cells are candidates."""
    exact = parse_exact(exact)
    return exact if isinstance(exact, bool) else n_cells <= 2 * pool_size(pool, n_cells)


def pool_size(pool: int | float | str, n_cells: int) -> int:
    """Return about how many of `n_cells` cells `pool` asks for, at least one and at most all."""
    pool = parse_pool(pool)
    if isinstance(pool, str):
        asked = max(LEAST_POOL, n_cells // 10)
    else:
        asked = pool if isinstance(pool, int) else int(pool * n_cells)
    return min(max(asked, 1), n_cells)


def parse_exact(value: object) -> bool | str:
    """Read `exact`: yes, no or auto."""
    return "auto" if value == "auto" else yes_no("exact")(value)


def parse_pool(value: object) -> int | float | str:
    """Read `pool`: "auto", a whole number of cells from 1, or a fraction of them below 1."""
    if value == "auto":
        return "auto"
    number = as_number(value)
    if number >= 1 and number.is_integer():
        return int(number)
    if 0 < number < 1:
        return number
    raise SelectionError(
        f"pool={value} is neither auto, nor a number of cells, nor a fraction between 0 and 1"
    )


def _check_pool(n: int, pool: Pool, n_cells: int, d: int) -> None:
    if n > pool.size:
        per_cell, enough = _LEAVES * 4 * d / 1e9, min(5 * n // 4, n_cells)
        raise SelectionError(
            f"{n:,} cells asked for from a pool of {pool.size:,}; give coreset a pool of {enough:,} "
            f"({enough * per_cell:.2g} GB) or exact=yes ({n_cells * per_cell:.2g} GB), or use sketch"
        )


def _and_then(
    order: NDArray[np.int32], n: int, left_out: NDArray[np.int64], n_pool: int
) -> NDArray[np.int32]:
    """Add cells that lie upon chosen ones, by place, and then those that were left out."""
    comes = np.zeros(n_pool, dtype=np.int8)
    comes[left_out] = 1
    comes[order] = 2
    others = np.argsort(comes, kind="stable")[: n - order.size]
    return np.concatenate([order, others.astype(np.int32)])


CORESET = Strategy(
    select=coreset,
    summary="Every cell has a chosen one near, however rare it is (k-center).",
    reference="Gonzalez, TCS 1985, doi 10.1016/0304-3975(85)90224-5; Sener & Savarese 2018, arXiv 1708.00489",
    parameters=(
        Parameter(
            name="exact",
            default="auto",
            parse=parse_exact,
            metavar="yes|no|auto",
            help="Choose among all cells; auto: up to twice --pool.",
        ),
        Parameter(
            name="pool",
            default="auto",
            parse=parse_pool,
            metavar="N|FRACTION|auto",
            help="Cells to choose from otherwise, one of each box (auto: a tenth, at least 1,000,000).",
        ),
        Parameter(
            name="left_out",
            default=0.0,
            parse=between("left_out", 0, 1, with_low=True),
            metavar="SHARE",
            help="Outliers that are neither chosen nor to be near to a chosen cell, such as 0.001.",
        ),
    ),
    needs_embedding=True,
    nested=True,
    prepare=prepare,
    growth="N n d",
)
