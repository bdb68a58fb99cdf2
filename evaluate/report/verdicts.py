"""What the numbers of a report support, in words. Where the runs cannot tell, the words say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from curate.evaluate.report.look import extent, metric_name, share
from curate.evaluate.saturation.strategies import EQUAL_COMPUTE, EQUAL_SIZE
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from curate.evaluate.report.report import Report

SURE = 0.05
#: Comparisons that do not stand, of which words are made.
MOST_IN_DOUBT = 3


def verdict_of(row: dict[str, Any]) -> str:
    """Return what a row of the saturation table says, as a sentence.

    "saturated" is said only of a plateau that the runs can tell.
    """
    who = f"{row['model']} on {row['strategy']}"
    if row["verdict"] is None:
        return f"{who}: cannot be told; {row['why_not']}."
    seeds, slack = counted(row["n_seeds"], "seed"), f"{row['tolerance']:.3g}"
    if row["verdict"] == "saturated":
        low, high = row["plateau_low"], row["plateau_high"]
        where = f"; the point may lie between {low:,.0f} and {high:,.0f} cells" if low < high else ""
        return (
            f"{who}: saturated at {_size(row, 'plateau')}: no larger subset that was run is better by more "
            f"than {slack} (95 %, {seeds}{where})."
        )
    if row["verdict"] == "rising":
        return (
            f"{who}: still rising at {_size(row, 'largest')}: better by more than {slack} than the subset "
            "before "
            f"it (95 %, {seeds}){_more(row)}."
        )
    return (
        f"{who}: undecided: with {seeds} a larger subset may be better by up to {row['largest_gain']:.3g}, "
        "more than "
        f"the tolerance of {slack}{_more(row)}."
    )


def _size(row: dict[str, Any], name: str) -> str:
    fraction = row[f"{name}_fraction"]
    cells = f"{row[name]:,.0f} training cells"
    return cells if fraction is None else f"{cells} ({share(fraction)})"


def _more(row: dict[str, Any]) -> str:
    low, high = row["gain_doubling_low"], row["gain_doubling_high"]
    if (
        low is None
        or high is None
        or row["gain_doubling"] is None
        or max(abs(low), abs(high)) == float("inf")
    ):
        return ""
    return f"; twice as many cells would bring {row['gain_doubling']:+.2g} ({low:+.2g} to {high:+.2g})"


def verdicts_of(view: pl.DataFrame) -> Iterator[str]:
    """Yield what a view's rows of the saturation table say; what cannot be told is gathered by reason."""
    for row in view.filter(pl.col("verdict").is_not_null()).iter_rows(named=True):
        yield verdict_of(row)
    untold = view.filter(pl.col("verdict").is_null())
    for held in untold.partition_by("why_not", maintain_order=True):
        strategies: dict[str, list[str]] = {}
        for model, strategy in held.select("model", "strategy").iter_rows():
            strategies.setdefault(model, []).append(strategy)
        alike: dict[str, list[str]] = {}
        for model, names in strategies.items():
            alike.setdefault(", ".join(names), []).append(model)
        who = "; ".join(f"{', '.join(models)} on {names}" for names, models in alike.items())
        yield f"{who}: cannot be told; {held['why_not'][0]}."


def headlines(report: Report) -> Iterator[str]:
    """Yield what all verdicts and comparisons come to, a sentence each."""
    verdicts = report.saturation["verdict"]
    n_saturated, n_rising, n_undecided = (
        (verdicts == verdict).sum() for verdict in ("saturated", "rising", "undecided")
    )
    told = f"{n_saturated} saturated, {n_rising} still rising, {n_undecided} undecided"
    untold = f"; {verdicts.null_count()} more cannot be told" if verdicts.null_count() else ""
    yield f"Do more cells pay? {counted(len(verdicts.drop_nulls()), 'curve')}: {told}{untold}."
    for comparison in (EQUAL_SIZE, EQUAL_COMPUTE):
        held = report.differences.filter(pl.col("comparison") == comparison)
        if held.is_empty():
            continue
        stand = held.filter(pl.col("p_adjusted") < SURE)
        n_better = (stand["difference"] > 0).sum()
        alone = held.filter(pl.col("p") < SURE).height
        said = (
            f"{n_better} better, {stand.height - n_better} worse"
            if stand.height
            else f"none stands when all {report.differences.height} of the report are allowed for (Holm)"
        )
        yield (
            f"Does choosing beat random, at {comparison}? {counted(held.height, 'comparison')}: {said}; "
            f"one by one {alone} would, {held.height * SURE:.2g} of them by chance."
        )


def against_random_in_words(differences: pl.DataFrame) -> Iterator[str]:
    """Yield a sentence for each comparison that stands, or, where none does, for the surest."""
    if differences.is_empty():
        yield "No strategy could be compared with random: that takes two seeds that both ran at one size."
        return
    stand = differences.filter(pl.col("p_adjusted") < SURE)
    surest = differences.sort("p", maintain_order=True).head(MOST_IN_DOUBT)
    shown = surest if stand.is_empty() else stand
    for row in shown.iter_rows(named=True):
        where = f"{row['model']}, {row['dataset']}, {row['setting']} {metric_name(row['metric'])}"
        yield f"{where}: {compared(row, verb=_beats(row))} at {row['comparison']}{_by(row)}."
    if differences.height > shown.height:
        yield f"{counted(differences.height - shown.height, 'more comparison')} cannot be told apart."


def compared(row: dict[str, Any], *, verb: str = "less") -> str:
    """Return which subsets a row of the table of differences is of."""
    if row["n_cells"] is None:
        return f"{row['strategy']} {verb} {row['baseline']}, over all sizes together,"
    own = share(row["fraction"], row["n_cells"])
    other = share(row["baseline_fraction"], row["baseline_n_cells"])
    return f"{row['strategy']} {own} {verb} {row['baseline']} {other}"


def _beats(row: dict[str, Any]) -> str:
    if not row["p_adjusted"] < SURE:
        return "cannot be told apart from"
    return "beats" if row["difference"] > 0 else "is worse than"


def _by(row: dict[str, Any]) -> str:
    return (
        f": {row['difference']:+.3g} ({row['low']:+.3g} to {row['high']:+.3g}; adjusted p = "
        f"{row['p_adjusted']:.2g}; {row['n_seeds']} pairs)"
    )


def gaps(runs: pl.DataFrame) -> list[str]:
    """Return what a table of runs lacks for the questions of a report, a sentence each."""
    told = []
    if runs.is_empty():
        return ["There are no results of trained models."]
    n_sizes = runs.group_by("corpus", "model", "preset", "strategy").agg(pl.col("n_cells").n_unique())
    _, most = extent(n_sizes["n_cells"])
    if most == 1:
        told.append("One size of subset only: whether more cells pay cannot be told; run other fractions.")
    elif most == 2:
        told.append("Two sizes of subset only: no shape of curve can be fitted; run a third fraction.")
    if runs["run"].n_unique() == 1:
        told.append(
            "One seed only: noise cannot be told from gains, so there are no intervals, no plateaus and no "
            "comparisons; run more seeds."
        )
    if missing := missing_runs(runs):
        told.append(
            f"{counted(len(missing), 'cell')} of the grid of models, strategies, sizes and seeds have no "
            "result: "
            f"{', '.join(missing[:8])}{' and more' if len(missing) > 8 else ''}."
        )
    return told


def other_cells(results: pl.DataFrame) -> list[str]:
    """Return which data sets were not the same cells for all models, a sentence each."""
    trained = results.filter(pl.col("kind") == "trained")
    n_sets = pl.col("dataset_id").n_unique().alias("n")
    sets = trained.group_by("task", "dataset", maintain_order=True).agg(n_sets)
    return [
        f"{row['dataset']}, {row['task']}: models were tried on {row['n']} different sets of its cells, as "
        "each left out those of its own training: scores are not of the same cells, nor are the baselines'; "
        "a sweep with exclude_overlap = true tries all on the same."
        for row in sets.filter(pl.col("n") > 1).iter_rows(named=True)
    ]


def missing_runs(runs: pl.DataFrame) -> list[str]:
    """Return what of the grid of model, strategy, size and seed has no run, though its neighbours have."""
    step = pl.coalesce("fraction", "n_cells").alias("step")
    have = runs.select("corpus", "model", "preset", "strategy", step, "run").unique()
    subject = have.select("corpus", "model", "preset").unique()
    place = have.select("corpus", "strategy", "step").unique()
    run = have.select("corpus", "run").unique()
    grid = subject.join(place, on="corpus").join(run, on="corpus")
    lacking = grid.join(have, on=have.columns, how="anti", nulls_equal=True).sort(grid.columns)
    # Of the whole corpus one seed is as good as another.
    lacking = lacking.filter(pl.col("step") != 1.0)
    return [
        f"{row['model']} {row['strategy']} {share(row['step'] if row['step'] <= 1 else None, row['step'])} "
        f"seed {row['run']}"
        for row in lacking.iter_rows(named=True)
    ]


def in_words(report: Report) -> Iterator[str]:
    """Yield all that a report says, a line each, for a terminal."""
    if report.is_simulated:
        yield "simulated data, no real cells"
    yield from other_cells(report.results)
    yield from gaps(report.runs)
    yield from headlines(report)
    views = ("task", "dataset", "setting", "method", "metric")
    for held in report.saturation.partition_by(views, maintain_order=True):
        name = held.row(0, named=True)
        yield f"{name['dataset']}, {name['task']}, {name['setting']} {name['method']}, {name['metric']}:"
        for line in verdicts_of(held):
            yield f"  {line}"
    yield "Strategies against random:"
    for line in against_random_in_words(report.differences):
        yield f"  {line}"
    for row in report.failures.iter_rows(named=True):
        yield f"failed: {row['what']}: {row['error']}"
