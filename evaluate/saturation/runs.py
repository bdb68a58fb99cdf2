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
RUN: Final = ("subset_seed", "seed")
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
        Columns of CURVE and RUN, and fraction (of the corpus; null where a number of cells was asked for),
        n_cells (training cells, the same for all runs of a fraction and strategy: their mean), score (value,
        its sign turned where lower is better), is_turned, cells_seen, train_seconds.
    """
    rows = results.filter(
        pl.col("kind") == "trained",
        pl.col("part") == "",
        pl.col("value").is_finite().fill_null(value=False),
        pl.col("higher_is_better").is_not_null(),
    )
    sign = pl.when("higher_is_better").then(1.0).otherwise(-1.0)
    runs = rows.group_by(*CURVE, *RUN, "fraction", "n_train_cells", maintain_order=True).agg(
        (pl.col("value") * sign).mean().alias("score"),
        (~pl.col("higher_is_better").first()).alias("is_turned"),
        pl.col("n_cells_seen").mean().cast(pl.Float64).alias("cells_seen"),
        pl.col("train_seconds").mean().cast(pl.Float64).alias("train_seconds"),
    )
    step = pl.coalesce("fraction", pl.col("n_train_cells").cast(pl.Float64))
    mean = pl.col("n_train_cells").mean().over("corpus", "strategy", step)
    runs = runs.with_columns(mean.cast(pl.Float64).alias("n_cells")).drop("n_train_cells")
    return _with_whole(runs).sort(*CURVE, "n_cells", *RUN)


def _with_whole(runs: pl.DataFrame) -> pl.DataFrame:
    """Give runs on the whole corpus to every strategy that lacks them: there is nothing to choose."""
    whole = runs.filter(pl.col("fraction") == WHOLE)
    if whole.is_empty():
        return runs
    keys = [name for name in CURVE if name != "strategy"]
    # Of strategies that both have them, the first by name, as they are the same cells.
    first = whole.filter(pl.col("strategy") == pl.col("strategy").min().over(keys))
    lacking = runs.select(CURVE).unique().join(whole.select(CURVE).unique(), on=CURVE, how="anti")
    added = lacking.join(first.drop("strategy"), on=keys)
    return pl.concat([runs, added.select(runs.columns)])


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
    numbers = runs.select(pl.struct(RUN).rank("dense").alias("number"))["number"].to_numpy()
    return Curve.of(runs["n_cells"].to_numpy(), runs["score"].to_numpy(), numbers)


def n_of_all(runs: pl.DataFrame) -> float | None:
    """Return how many training cells the whole corpus gives; None where no fraction says so."""
    known = runs.filter(pl.col("fraction").is_not_null())
    if known.is_empty():
        return None
    largest = known.sort("fraction").row(-1, named=True)
    return float(largest["n_cells"] / largest["fraction"])
