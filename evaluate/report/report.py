"""The report of a sweep, from its table of results.

1. runs and baselines are told apart, and the headline of each task chosen;
2. saturation, and every strategy against random;
3. charts of them, each a name and a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from curate.errors import EvaluationError
from curate.evaluate.report.look import SETTINGS, View, views_of
from curate.evaluate.saturation.runs import VIEW, runs_of
from curate.evaluate.saturation.strategies import EQUAL_COMPUTE, EQUAL_SIZE, against_random
from curate.evaluate.saturation.summary import summary
from curate.evaluate.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import altair as alt

ALL: Final = "all"
#: Of methods on one representation, the one that stands for them.
METHODS: Final = ("knn",)


@dataclass(frozen=True, eq=False)
class Report:
    """What a table of results says.

    Attributes
    ----------
    results
        As they were given.
    runs
        Of the headline views; see `runs_of`.
    views
        The same, each with its baselines.
    saturation, differences
        See `summary` and `against_random`.
    failures
        Columns what and error: cells of the grid that failed.
    labels
        What corpora and data say of themselves.
    """

    results: pl.DataFrame
    runs: pl.DataFrame
    views: tuple[View, ...]
    saturation: pl.DataFrame
    differences: pl.DataFrame
    failures: pl.DataFrame
    labels: tuple[str, ...]

    @property
    def models(self) -> list[str]:
        """Names of the models, as charts have them."""
        return sorted({model for view in self.views for model in view.models})

    @property
    def is_simulated(self) -> bool:
        """Whether any data say that they are simulated."""
        return any("simulated" in label.casefold() for label in self.labels)

    @property
    def source(self) -> list[str]:
        """What stands under every chart."""
        return ["simulated data, no real cells"] if self.is_simulated else []


def make_report(
    results: pl.DataFrame,
    *,
    metrics: Sequence[str] = (),
    tolerance: float | None = None,
    failures: pl.DataFrame | None = None,
    seed: int = 0,
) -> Report:
    """Find out what a table of results says.

    Parameters
    ----------
    results
        See `curate.evaluate.results.RESULT_SCHEMA`.
    metrics
        Those to report, or "all"; the headline of each task by default.
    tolerance
        Of plateaus, in units of the score; 5 % of the best mean when None.
    failures
        Cells of the grid that failed: columns what and error.
    seed
        Of bootstrap and calibration.

    Raises
    ------
    EvaluationError
        When no trained model has a result, or a metric has none.
    """
    # 1. Runs and baselines.
    runs = runs_of(results)
    if runs.is_empty():
        raise EvaluationError(
            f"none of {results.height:,} results is of a trained model; a report is of runs on subsets"
        )
    runs = _chosen(runs, metrics)
    views = tuple(views_of(runs, baselines_of(results)))
    # 2. Saturation and comparisons.
    table = summary(runs, tolerance=tolerance, rng=np.random.default_rng(seed))
    labels = results["label"].drop_nulls().unique(maintain_order=True).to_list()
    none = pl.DataFrame(schema={"what": pl.String(), "error": pl.String()})
    return Report(
        results,
        runs,
        views,
        table,
        against_random(runs),
        none if failures is None else failures,
        tuple(labels),
    )


def baselines_of(results: pl.DataFrame) -> pl.DataFrame:
    """Return the reference lines: columns of VIEW, name, model (null where it is for all), score."""
    rows = results.filter(
        pl.col("kind").is_in(["baseline", "untrained"]),
        pl.col("part") == "",
        pl.col("value").is_finite().fill_null(value=False),
    )
    is_untrained = pl.col("kind") == "untrained"
    # A representation of the data is tried by the same method as a model; a method stands for itself.
    named = pl.when(is_untrained).then(pl.lit("untrained")).otherwise("model")
    own = pl.when(is_untrained).then("model")
    corpora = results["corpus"].drop_nulls().unique()
    rows = rows.with_columns(named.alias("name"), own.alias("of"))
    found = rows.group_by(*VIEW, "name", "of", maintain_order=True).agg(pl.col("value").mean().alias("score"))
    found = found.rename({"of": "model"})
    # Baselines of the data are of no corpus: they hold for each.
    everywhere = found.filter(pl.col("corpus").is_null()).drop("corpus").join(
        pl.DataFrame({"corpus": corpora}), how="cross"
    )  # fmt: skip
    return pl.concat([found.filter(pl.col("corpus").is_not_null()), everywhere.select(found.columns)])


def _chosen(runs: pl.DataFrame, metrics: Sequence[str]) -> pl.DataFrame:
    """Return the runs of the metrics and methods that are reported."""
    if ALL in metrics:
        return _in_order(runs)
    if metrics:
        if missing := [name for name in metrics if not (runs["metric"] == name).any()]:
            known = ", ".join(runs["metric"].unique().sort().to_list())
            raise EvaluationError(f"no result of metric {missing[0]!r}; there are: {known}")
        return _in_order(runs.filter(pl.col("metric").is_in(list(metrics))))
    kept = [
        held.filter(pl.col("metric") == _headline(held), pl.col("method") == _method(held))
        for held in runs.partition_by("corpus", "task", "dataset", "setting", maintain_order=True)
    ]
    return _in_order(pl.concat(kept))


def _in_order(runs: pl.DataFrame) -> pl.DataFrame:
    """Put settings in the order of how much is trained."""
    order = pl.col("setting").replace_strict({name: at for at, name in enumerate(SETTINGS)}, default=9)
    return runs.sort("corpus", "task", "dataset", order, maintain_order=True)


def _headline(runs: pl.DataFrame) -> str:
    task, present = runs["task"][0], runs["metric"].unique().sort().to_list()
    wanted = TASKS[task].headline if task in TASKS else ()
    return next((name for name in wanted if name in present), present[0])


def _method(runs: pl.DataFrame) -> str:
    present = runs.filter(pl.col("metric") == _headline(runs))["method"].unique().sort().to_list()
    return next((name for name in METHODS if name in present), present[0])


def charts_of(report: Report) -> Iterator[tuple[str, alt.VConcatChart]]:
    """Yield the charts of a report, each with a name for its file."""
    from curate.evaluate.report.against import against_chart
    from curate.evaluate.report.curves import curves_chart
    from curate.evaluate.report.heat_map import heat_map
    from curate.evaluate.report.pareto import cost_of, pareto_chart
    from curate.evaluate.report.settings import settings_chart

    source = report.source
    for view in report.views:
        held = view.names
        name = "-".join((held["task"], held["dataset"], held["setting"], held["method"], held["metric"]))
        yield f"curves-{_plain(name)}", curves_chart(view, source=source)
    if report.runs["n_cells"].n_unique() > 1:
        yield "saturation", heat_map(report.saturation, source=source)
    strategies, models = report.views[0].strategies, report.models
    for comparison in (EQUAL_SIZE, EQUAL_COMPUTE):
        chart = against_chart(report.differences, strategies, comparison=comparison, source=source)
        if chart is not None:
            yield f"strategies-{_plain(comparison)}", chart
    cost = cost_of(report.views)
    if cost is not None:
        yield "cost", pareto_chart(report.views, cost, source=source)
    groups: dict[tuple[str, ...], list[View]] = {}
    for view in report.views:
        key = tuple(view.names[each] for each in ("corpus", "task", "dataset", "metric"))
        groups.setdefault(key, []).append(view)
    for (_, task, dataset, _), held_views in groups.items():
        chart = settings_chart(held_views, held_views[0].drawn[0], models, source=source)
        if chart is not None:
            yield f"settings-{_plain(f'{task}-{dataset}')}", chart


def _plain(text: str) -> str:
    return "".join(each if each.isalnum() or each in "-._" else "-" for each in text)
