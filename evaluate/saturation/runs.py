"""From a table of results to learning curves: which rows are runs of one curve, and how large each was.

A curve is what one model (preset), chosen for by one strategy, scores by one metric on one data set. A run is
one subset and one training; several evaluations of it count as one, their mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from curate.evaluate.saturation.curve import Curve

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What is looked at: the scores of all models that can be laid side by side.
VIEW: Final = ("corpus", "task", "dataset", "setting", "method", "metric")
#: Whose curve it is.
SUBJECT: Final = ("model", "preset", "strategy")
CURVE: Final = (*VIEW, *SUBJECT)
_SEEDS: Final = ("subset_seed", "seed")
WHOLE: Final = 1.0


def runs_of(results: pl.DataFrame) -> pl.DataFrame:
    """Return a row a run of trained models, on whole evaluation data.

    Parameters
    ----------
    results
        A table of results (`curate.evaluate.results`).

    Returns
    -------
    pl.DataFrame
        Columns of CURVE and run (what pairs the runs of two sizes or strategies: the seed of the training,
        else that of the subset, else both), fraction (of the corpus; null where a number of cells was asked
        for), n_cells (training cells, the same for all runs of a fraction and strategy: their mean), score
        (value, its sign turned where lower is better), is_turned, cells_seen, train_seconds.
    """
    rows = results.filter(
        pl.col("kind") == "trained",
        pl.col("part") == "",
        pl.col("value").is_finite().fill_null(value=False),
        pl.col("higher_is_better").is_not_null(),
    )
    sign = pl.when("higher_is_better").then(1.0).otherwise(-1.0)
    runs = rows.group_by(*CURVE, *_SEEDS, "fraction", "n_train_cells", maintain_order=True).agg(
        (pl.col("value") * sign).mean().alias("score"),
        (~pl.col("higher_is_better").first()).alias("is_turned"),
        pl.col("n_cells_seen").mean().cast(pl.Float64).alias("cells_seen"),
        pl.col("train_seconds").mean().cast(pl.Float64).alias("train_seconds"),
    )
    step = pl.coalesce("fraction", pl.col("n_train_cells").cast(pl.Float64))
    mean = pl.col("n_train_cells").mean().over("corpus", "strategy", step)
    runs = runs.with_columns(mean.cast(pl.Float64).alias("n_cells")).drop("n_train_cells")
    return _with_whole(_numbered(runs)).sort(*CURVE, "n_cells", "run")


def _numbered(runs: pl.DataFrame) -> pl.DataFrame:
    """Number the runs of a size by what tells them apart.

    Where ladders do not nest, each of their steps draws with a seed of its own: that of the training is then
    what the runs of two sizes share.
    """
    step = pl.coalesce("fraction", "n_cells")
    for seed in ("seed", "subset_seed"):
        if not runs.select(pl.struct(*CURVE, step.alias("step"), seed).is_duplicated().any()).item():
            return runs.with_columns(pl.col(seed).fill_null(0).alias("run")).drop(_SEEDS)
    return runs.with_columns(pl.struct(_SEEDS).rank("dense").cast(pl.Int64).alias("run")).drop(_SEEDS)


def _with_whole(runs: pl.DataFrame) -> pl.DataFrame:
    """Give runs on the whole corpus to every strategy that lacks them: there is nothing to choose.

    A strategy that has no others, as "all" of a sweep, is then none of its own.
    """
    whole = runs.filter(pl.col("fraction") == WHOLE)
    if whole.is_empty():
        return runs
    keys = [name for name in CURVE if name != "strategy"]
    # Of strategies that both have them, the first by name, as they are the same cells.
    first = whole.filter(pl.col("strategy") == pl.col("strategy").min().over(keys))
    lacking = runs.select(CURVE).unique().join(whole.select(CURVE).unique(), on=CURVE, how="anti")
    added = lacking.join(first.drop("strategy"), on=keys)
    only_whole = (pl.col("fraction") == WHOLE).fill_null(value=False).all().over("corpus", "strategy")
    is_needed = only_whole.not_() | only_whole.all().over("corpus")
    return pl.concat([runs, added.select(runs.columns)]).filter(is_needed)


def curves_of(runs: pl.DataFrame) -> Iterator[tuple[dict[str, str], pl.DataFrame]]:
    """Yield the runs of each curve, with what it is of, by CURVE."""
    for held in runs.partition_by(*CURVE, maintain_order=True):
        yield held.select(CURVE).row(0, named=True), held


def curve_of(runs: pl.DataFrame) -> Curve:
    """Return the curve of runs of one subject and view.

    Raises
    ------
    SaturationError
        When a seed has two runs of one size.
    """
    return Curve.of(runs["n_cells"].to_numpy(), runs["score"].to_numpy(), runs["run"].to_numpy())


def n_of_all(runs: pl.DataFrame) -> float | None:
    """Return how many training cells the whole corpus gives; None where no fraction says so."""
    known = runs.filter(pl.col("fraction").is_not_null())
    if known.is_empty():
        return None
    largest = known.sort("fraction").row(-1, named=True)
    return float(largest["n_cells"] / largest["fraction"])
