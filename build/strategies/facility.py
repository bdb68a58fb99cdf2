"""Facility location: cells such that every cell is much like one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np

from curate.build.selection import Parameter, Selection, Strategy, check_n
from curate.build.strategies.facility_space import Measure, Space
from curate.build.strategies.keys import smallest_keys
from curate.build.strategies.settings import one_of, whole
from curate.errors import SelectionError

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

POOL_CELLS = 2**20
PROBE_CELLS = 2048
"""Cells from which the similarity of the notes is measured."""
MANY = 0.25
"""A choice of more of the pool than this gains little on a random one."""


def facility(
    cells: pl.DataFrame,
    embedding: NDArray[np.float32] | None,
    n: int,
    *,
    keys: NDArray[np.uint64],
    rng: np.random.Generator,
    candidates: int = POOL_CELLS,
    similarity: Measure = "cosine",
) -> Selection:
    """Choose `n` cells that stand for the others: greedily for the largest f(S) = Σ_i max_{j in S} s(i, j).

    The `candidates` with the smallest keys, the pool, are both to be chosen and to be stood for. Up to 4,096
    of them are ranked by greedy as it is. Of more, the first 512 are chosen so among the first 4,096; the
    pool is then cut into blocks of neighbours (a k-d tree) of at most 4,096 cells, and a cell chosen later
    stands for cells of its own block only. Given the first 512, f is then a sum over the blocks, so that the
    greedy choices of the blocks, merged by gain, are the greedy choice of the whole.

    The order does not depend on `n`: with the same keys, a choice of fewer cells lies inside this one.

    Parameters
    ----------
    candidates
        Cells to choose from, and to stand for: the pool.
    similarity
        "cosine" of the vectors, 0 where it is negative, or "rbf", exp(-d² / 2 s²) of their Euclidean distance
        d, with s the median distance of pairs of cells.

    Raises
    ------
    SelectionError
        When `n` is 0, more than there are cells or, all of them apart, more than the pool; when there is no
        embedding, or it holds NaN, infinite or only equal values.

    Notes
    -----
    Greedy reaches 1 - 1/e of the largest f of as many cells, at the least: up to 512 cells of f on the first
    4,096; beyond, of what f, with similarities across blocks taken for 0, can gain over the first 512. Gains
    are exact, and computed only when they may be the largest (Minoux). Mirzasoleiman et al. look at samples
    of a size that depends on `n`, with which choices would not nest.

    Memory: the vectors of the pool, three times for a moment (0.6 GB of a million cells x 50), and 150 MB for
    each processor.

    References
    ----------
    Wei, Iyer and Bilmes, Submodularity in data subset selection and active learning, ICML 2015,
    https://proceedings.mlr.press/v37/wei15.html. Nemhauser, Wolsey and Fisher, An analysis of approximations
    for maximizing submodular set functions, Mathematical Programming 1978, doi 10.1007/BF01588971. Minoux,
    Accelerated greedy algorithms for maximizing submodular set functions, 1978, doi 10.1007/BFb0006528.
    Mirzasoleiman et al., Lazier than lazy greedy, AAAI 2015, arXiv 1409.7938.
    """
    del cells, rng
    check_n(n, keys.size)
    points = _checked(embedding, keys.size)
    if n == keys.size:
        return Selection(np.arange(n))
    if n > candidates:
        enough = min(round(n / MANY), keys.size)
        raise SelectionError(
            f"facility chooses from {candidates:,} candidates, and {n:,} are asked for; give it {enough} "
            "with --candidates"
        )
    from curate.build.strategies.facility_greedy import rank_pool

    rows = smallest_keys(keys, np.array([min(candidates, keys.size)]))
    rows = rows[np.lexsort((rows, keys[rows]))]
    space = Space.of(_finite(points, rows), similarity)
    order = rank_pool(space, n)
    chosen, rank = _ascending(rows[order])
    probes = smallest_keys(~keys, np.array([min(PROBE_CELLS, keys.size)]))
    probed = space.place(_finite(points, probes))
    notes: dict[str, int | float | str] = {
        "n_candidates": rows.size,
        "similarity_to_chosen": _to_nearest(space, probed, order),
        # The pool stands in the order of the keys.
        "similarity_to_random": _to_nearest(space, probed, np.arange(n)),
    }
    if space.scale is not None:
        notes["scale"] = space.scale
    if n > MANY * rows.size and rows.size < keys.size:
        notes["notice"] = (
            f"{n:,} of {rows.size:,} candidates differ little from random ones; give --candidates, four "
            "times as many as are chosen"
        )
    return Selection(chosen, rank=rank, notes=notes)


def _checked(embedding: NDArray[np.float32] | None, n_cells: int) -> NDArray[np.float32]:
    if embedding is None:
        raise SelectionError("facility needs an embedding; make one with `curate embed`")
    if embedding.ndim != 2 or embedding.shape[0] != n_cells:
        raise SelectionError(f"the embedding has shape {embedding.shape} for {n_cells:,} cells")
    return embedding


def _finite(points: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    held = np.asarray(points[rows], dtype=np.float32)
    strange = ~np.isfinite(held).all(axis=1)
    if strange.any():
        raise SelectionError(
            f"{int(strange.sum()):,} of {rows.size:,} vectors hold NaN or infinite values; make the "
            "embedding again with `curate embed`"
        )
    return held


def _ascending(drawn: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return rows ascending, and when each was drawn."""
    order = np.argsort(drawn)
    return drawn[order], order.astype(np.int32)


def _to_nearest(space: Space, probed: NDArray[np.float32], chosen: NDArray[np.int64]) -> float:
    """Return the mean similarity of probes to the most similar of the chosen: f as a share of f(all)."""
    best = np.zeros(len(probed), dtype=np.float32)
    space.raise_to(best, probed, space.points[chosen])
    return float(best.mean(dtype=np.float64))


FACILITY = Strategy(
    select=facility,
    summary="Cells such that every cell is much like one of them (submodular).",
    reference="Wei, Iyer and Bilmes, ICML 2015, https://proceedings.mlr.press/v37/wei15.html",
    parameters=(
        Parameter(
            name="candidates",
            default=POOL_CELLS,
            parse=whole("candidates", usual=POOL_CELLS),
            metavar="N",
            help="Cells to choose from, p, by their keys; four times as many as are chosen, or more.",
        ),
        Parameter(
            name="similarity",
            default="cosine",
            parse=one_of("similarity", get_args(Measure)),
            metavar="cosine|rbf",
            help="Of two cells: of direction, or of distance at the median one.",
        ),
    ),
    needs_embedding=True,
    nested=True,
    growth="N + p d",
)
