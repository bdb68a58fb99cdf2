"""Choice by leverage: cells that single out a direction of the embedding come more often."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from curate.build.selection import Parameter, Selection, Strategy, check_n
from curate.build.strategies.leverage_scores import Projection, leverage_scores, sketch_rows
from curate.build.strategies.race import race
from curate.build.strategies.settings import one_of, whole, yes_no
from curate.errors import SelectionError

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl
    from numpy.typing import NDArray


def leverage(
    cells: pl.DataFrame,
    embedding: NDArray[np.float32] | None,
    n: int,
    *,
    keys: NDArray[np.uint64],
    rng: np.random.Generator,
    projection: Projection = "exact",
    sketch_size: int = 5000,
    center: bool = True,
    scores: Callable[[], NDArray[np.float32]] | None = None,
) -> Selection:
    """Choose `n` cells without replacement, with chances in proportion to their leverage scores.

    Parameters
    ----------
    projection
        "exact" takes the scores by their definition; up to hundreds of dimensions that is also the quickest.
        "clarkson-woodruff" estimates them as Seurat v5 does, from a CountSketch of the cells, and where there
        are more dimensions than it keeps (some 48 log N), a Johnson-Lindenstrauss projection.
    sketch_size
        Rows of the CountSketch; 5,000 and the least that is taken (1.1 times the dimensions) are Seurat's.
        Below 1.5 times as many cells as rows the scores are exact, as in Seurat.
    center
        Scores about the mean of the embedding, by a column of ones: no score is below 1/N, no weight beyond
        d + 1 times the mean one, and the origin of the embedding does not matter. Seurat does not center; it
        scores log-normalised expression, whose mean is by far its first direction, which comes to the same.
    scores
        What `prepare` returned: exact scores serve every size and seed.

    Raises
    ------
    SelectionError
        When `n` is 0 or more than there are cells, there is no embedding, or it holds NaN, infinite or only
        equal values.

    Notes
    -----
    Memory: 4 bytes a cell for the scores, and what `race` holds. With the same keys and an `rng` in the same
    state, a choice of fewer cells lies inside this one.

    References
    ----------
    Hao et al., Dictionary learning for integrative, multimodal and scalable single-cell analysis, Nature
    Biotechnology 2024, doi 10.1038/s41587-023-01767-y. Clarkson and Woodruff, J. ACM 2017, doi
    10.1145/3019134.
    """
    del cells
    check_n(n, keys.size)
    points = _checked(embedding, keys.size)
    if n == keys.size:
        return Selection(np.arange(n), weights=np.ones(n, dtype=np.float32), notes={"effective_size": n})
    notes: dict[str, int | float | str] = {}
    n_rows = None
    if projection == "clarkson-woodruff":
        n_rows = sketch_rows(sketch_size, *points.shape)
        notes["n_sketch_rows"] = n_rows or "none: too few cells, scores are exact"
    if n_rows is None:
        own = (scores or prepare(points, center=center)["scores"])()
    else:
        own = leverage_scores(points, center=center, sketch_size=n_rows, keys=keys, rng=rng)
    raced = race(keys, own, n)
    notes |= {
        "sum_of_scores": round(float(own.sum(dtype=np.float64)), 3),
        "largest_score_over_mean": round(float(own.max() / own.mean(dtype=np.float64)), 2),
        "effective_size": round(raced.effective_size, 1),
    }
    return Selection(raced.rows, weights=raced.weights, notes=notes)


def prepare(embedding: NDArray[np.float32], *, center: bool = True, **other: object) -> dict[str, Any]:
    """Return the exact scores that choices among these cells share, computed once, when first asked for."""
    del other

    @cache
    def scores() -> NDArray[np.float32]:
        return leverage_scores(embedding, center=center)

    return {"scores": scores}


def _checked(embedding: NDArray[np.float32] | None, n_cells: int) -> NDArray[np.float32]:
    if embedding is None:
        raise SelectionError("leverage needs an embedding; make one with `curate embed`")
    if embedding.ndim != 2 or embedding.shape[0] != n_cells:
        raise SelectionError(f"the embedding has shape {embedding.shape} for {n_cells:,} cells")
    return embedding


LEVERAGE = Strategy(
    select=leverage,
    summary="Cells that single out a direction of the embedding more often than others.",
    reference="Hao et al., Nature Biotechnology 2024, doi 10.1038/s41587-023-01767-y (Seurat v5's sketch)",
    parameters=(
        Parameter(
            name="projection",
            default="exact",
            parse=one_of("projection", get_args(Projection)),
            metavar="exact|clarkson-woodruff",
            help="Scores by their definition, or estimated from a CountSketch as in Seurat v5.",
        ),
        Parameter(
            name="sketch_size",
            default=5000,
            parse=whole("sketch_size", usual=5000),
            metavar="N",
            help="Rows of the CountSketch.",
        ),
        Parameter(
            name="center",
            default=True,
            parse=yes_no("center"),
            metavar="yes|no",
            help="Score about the mean of the embedding, or about its origin.",
        ),
    ),
    needs_embedding=True,
    nested=True,
    prepare=prepare,
    growth="N d^2",
)
