"""Choice by inverse local density: cells of sparse regions of the embedding come more often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.build.selection import Parameter, Selection, Strategy, check_n
from curate.build.strategies.density_distances import (
    N_REFERENCES,
    Distances,
    find_distances,
    reference_rows,
)
from curate.build.strategies.race import race
from curate.build.strategies.settings import between, whole, yes_no
from curate.errors import SelectionError

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl
    from numpy.typing import NDArray

#: Seeds whose distances are kept for other sizes, at 4 bytes a cell.
N_SEEDS_KEPT = 8
_BLOCK = 1 << 20


def density(
    cells: pl.DataFrame,
    embedding: NDArray[np.float32] | None,
    n: int,
    *,
    keys: NDArray[np.uint64],
    rng: np.random.Generator,
    neighbours: int = 15,
    references: int = N_REFERENCES,
    power: float = 0.5,
    max_ratio: float = 30.0,
    outliers: float = 0.01,
    drop_outliers: bool = False,
    distances: Callable[[NDArray[np.uint64]], Distances] | None = None,
) -> Selection:
    """Choose `n` cells without replacement, with chances in inverse proportion to their local density.

    Density is that of the nearest neighbours among reference cells, k / (m r^d): k `neighbours`, m
    references, those of the smallest keys, r the distance to the k-th, d the intrinsic dimension of the
    embedding by maximum likelihood. Where there are no more cells than `references`, it is that of the
    nearest neighbours among all. Regions of fewer than k N / m cells are not resolved: they look as sparse as
    their wider surroundings.

    Parameters
    ----------
    neighbours
        k; more is smoother and resolves less.
    references
        m; more resolves more, and takes longer.
    power
        Chances are density to the power of -`power`: 1 for cells spread evenly over the space that they
        occupy, as SPADE does, 0 for `random`. In tens of dimensions density spans six orders of magnitude,
        and 1 takes the fringe of all types and loses the middle; by 0.5 all types stay, the rare ones several
        times as often.
    max_ratio
        Chances lie within this factor of that of the median cell, so that neither one noisy data set crowds
        out the others, nor weights run away; as in SPADE, where beyond a target density all cells are kept.
        Cells with k copies have the least.
    outliers
        The share of the cells, the sparsest, that counts as noise: as dense as the densest of them. 1 % is
        SPADE's.
    drop_outliers
        Give them no chance at all, as SPADE does; weights are then those of the other cells.
    distances
        What `prepare` returned: one search serves every size of a seed.

    Raises
    ------
    SelectionError
        When `n` is 0 or more than there are cells, there is no embedding, or it holds NaN, infinite or only
        equal values, or every cell has k copies.

    Notes
    -----
    Memory: 12 bytes a cell, 4 for each other seed of a build, and what `race` holds. With the same keys a
    choice of fewer cells lies inside this one.

    References
    ----------
    Qiu et al., Extracting a cellular hierarchy from high-dimensional cytometry data with SPADE, Nature
    Biotechnology 2011, doi 10.1038/nbt.1991 (down-sampling by density, the cut of outliers). Loftsgaarden and
    Quesenberry, Annals of Mathematical Statistics 1965, doi 10.1214/aoms/1177700079 (density by nearest
    neighbours, in the place of SPADE's count of cells within one radius, which is 0 or all of them in
    tens of dimensions).
    """
    del cells, rng
    check_n(n, keys.size)
    points = _checked(embedding, keys.size)
    if n == keys.size and not drop_outliers:
        return Selection(np.arange(n), weights=np.ones(n, dtype=np.float32), notes={"effective_size": n})
    find = distances or prepare(points, neighbours=neighbours, references=references)["distances"]
    found: Distances = find(keys)
    chances, n_outliers = _chances(
        found, power, max_ratio=max_ratio, outliers=outliers, drop_outliers=drop_outliers
    )
    raced = race(keys, chances, n)
    return Selection(
        raced.rows,
        weights=raced.weights,
        notes={
            "n_neighbours": found.k,
            "n_references": found.n_references,
            "intrinsic_dimension": round(found.dimension, 2),
            "n_outliers": n_outliers,
            "effective_size": round(raced.effective_size, 1),
        },
    )


def prepare(
    embedding: NDArray[np.float32],
    *,
    neighbours: int = 15,
    references: int = N_REFERENCES,
    **other: object,
) -> dict[str, Any]:
    """Return a function from keys to distances, which keeps those of the last seeds."""
    del other
    kept: dict[bytes, Distances] = {}

    def distances(keys: NDArray[np.uint64]) -> Distances:
        chosen = reference_rows(keys, references)
        name = chosen.tobytes()
        if name not in kept:
            while len(kept) >= N_SEEDS_KEPT:
                del kept[next(iter(kept))]
            kept[name] = find_distances(embedding, chosen, neighbours)
        return kept[name]

    return {"distances": distances}


def _chances(
    found: Distances, power: float, *, max_ratio: float, outliers: float, drop_outliers: bool
) -> tuple[NDArray[np.float32], int]:
    """Return the chance of every cell, that of the median one 1, and the number of outliers."""
    values = found.values
    positive = values[values > 0]
    if positive.size == 0:
        raise SelectionError(
            f"every cell of {values.size:,} has {found.k} neighbours at its own place: the embedding tells "
            "no density; drop duplicates, raise neighbours, or use random"
        )
    median, farthest = _quantile(positive, 0.5), _quantile(values, 1 - outliers)
    chances = np.empty(values.size, dtype=np.float32)
    n_outliers = 0
    for start in range(0, values.size, _BLOCK):
        block = values[start : start + _BLOCK]
        is_outlier = block > farthest
        with np.errstate(divide="ignore", over="ignore"):
            logs = power * found.dimension * np.log(np.minimum(block, farthest, dtype=np.float64) / median)
        # A cell among copies, and power 0: 0 times infinity.
        logs = np.where(block > 0, logs, -np.inf if power > 0 else 0.0)
        own = np.exp(np.clip(logs, -np.log(max_ratio), np.log(max_ratio)))
        n_outliers += int(is_outlier.sum())
        chances[start : start + _BLOCK] = np.where(is_outlier & drop_outliers, 0, own)
    return chances, n_outliers


def _quantile(values: NDArray[np.float32], share: float) -> float:
    """Return the value that a share of the values does not exceed, at least one of them."""
    place = max(0, int(np.ceil(share * values.size)) - 1)
    return float(np.partition(values, place)[place])


def _checked(embedding: NDArray[np.float32] | None, n_cells: int) -> NDArray[np.float32]:
    if embedding is None:
        raise SelectionError("density needs an embedding; make one with `curate embed`")
    if embedding.ndim != 2 or embedding.shape[0] != n_cells:
        raise SelectionError(f"the embedding has shape {embedding.shape} for {n_cells:,} cells")
    return embedding


DENSITY = Strategy(
    select=density,
    summary="Cells of sparse regions of the embedding more often, by inverse local density.",
    reference="Qiu et al., Nature Biotechnology 2011, doi 10.1038/nbt.1991 (SPADE's down-sampling)",
    parameters=(
        Parameter(
            name="neighbours",
            default=15,
            parse=whole("neighbours", usual=15),
            metavar="K",
            help="The nearest reference cell whose distance tells the density.",
        ),
        Parameter(
            name="references",
            default=N_REFERENCES,
            parse=whole("references", least=2, usual=N_REFERENCES),
            metavar="N",
            help="Cells among which neighbours are looked for, drawn at random.",
        ),
        Parameter(
            name="power",
            default=0.5,
            parse=between("power", 0, 10, with_low=True, with_high=True),
            metavar="NUMBER",
            help="Chances are density to the power of minus this: 0 is random, 1 even over the space.",
        ),
        Parameter(
            name="max_ratio",
            default=30.0,
            parse=between("max_ratio", 1, 1e30, with_low=True, with_high=True),
            metavar="TIMES",
            help="Chances lie within this factor of that of the median cell.",
        ),
        Parameter(
            name="outliers",
            default=0.01,
            parse=between("outliers", 0, 1, with_low=True),
            metavar="FRACTION",
            help="The sparsest cells, noise: they count as dense as the densest of them.",
        ),
        Parameter(
            name="drop_outliers",
            default=False,
            parse=yes_no("drop_outliers"),
            metavar="yes|no",
            help="Give the sparsest cells no chance at all.",
        ),
    ),
    needs_embedding=True,
    nested=True,
    prepare=prepare,
    growth="N d log m, m references",
)
