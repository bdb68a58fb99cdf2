"""Every strategy against random, as differences with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from curate.charts import FAINT, GRID, colour_of, framed, series_legend
from curate.evaluate.report.look import metric_name, panel_title, share
from curate.evaluate.saturation.strategies import EQUAL_COMPUTE, EQUAL_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import altair as alt

WIDTH, ROW, MOST_A_ROW, SURE = 300, 19, 2, 0.05
MOST_ROWS = 24


def against_chart(
    differences: pl.DataFrame,
    strategies: Sequence[str],
    *,
    comparison: str = EQUAL_SIZE,
    source: Sequence[str] = (),
) -> alt.VConcatChart | None:
    """Draw the differences of one kind of comparison, a panel a view; None when there is none to draw.

    At equal size a row is over all sizes together (the one size, where there is one); at equal compute, the
    smallest subset of a strategy against each larger one at random.

    Parameters
    ----------
    strategies
        Of the whole report: each has its colour everywhere.
    """
    import altair as alt

    held = drawn(differences, comparison)
    if held.is_empty():
        return None
    present = set(held["strategy"].to_list())
    views = held.partition_by("task", "dataset", "setting", "method", "metric", maintain_order=True)
    baseline = held["baseline"][0]
    panels = [_panel(each, strategies, baseline=baseline) for each in views]
    longest = max(len(_label(row, baseline)) for row in held.iter_rows(named=True))
    rows = [
        alt.hconcat(*panels[start : start + MOST_A_ROW], spacing=34 + 6.2 * longest, bounds="flush")
        for start in range(0, len(panels), MOST_A_ROW)
    ]
    shown = [name for name in strategies if name in present]
    told = {
        EQUAL_SIZE: f"At equal size: a strategy less {baseline}, over all sizes below the whole corpus",
        EQUAL_COMPUTE: f"At equal compute: the smallest subset of a strategy less larger ones of {baseline}",
    }[comparison]
    return framed(
        alt.vconcat(series_legend(strategies, width=2 * WIDTH, shown=shown), *rows, spacing=20),
        title=f"Strategies against {baseline}",
        subtitle=[f"{told}; mean over seeds, paired, and its 95 % interval",
                  "Filled: told apart from 0 at 5 %, adjusted for all comparisons of the report (Holm)"],
        source=source,
    )  # fmt: skip


def drawn(differences: pl.DataFrame, comparison: str) -> pl.DataFrame:
    """Return the rows that a chart shows."""
    held = differences.filter(pl.col("comparison") == comparison)
    keys = ["corpus", "task", "dataset", "setting", "method", "metric", "model", "preset", "strategy"]
    if comparison == EQUAL_SIZE:
        is_whole = pl.col("n_cells").is_null()
        return held.filter(is_whole | (is_whole.any().over(keys).not_() & (pl.len().over(keys) == 1)))
    return held.filter(pl.col("n_cells") == pl.col("n_cells").min().over(keys))


def _panel(held: pl.DataFrame, strategies: Sequence[str], *, baseline: str) -> alt.LayerChart:
    import altair as alt

    rows = [
        {
            "series": row["strategy"],
            "label": _label(row, baseline),
            "difference": row["difference"],
            "low": row["low"],
            "high": row["high"],
            "is_sure": row["p_adjusted"] < SURE,
        }
        for row in held.sort("model", "strategy", "baseline_n_cells").iter_rows(named=True)
    ][:MOST_ROWS]
    labels = [row["label"] for row in rows]
    y = alt.Y(
        "label:N", title=None, sort=labels, scale=alt.Scale(domain=labels),
        axis=alt.Axis(ticks=False, domain=False, grid=True, gridColor=GRID, labelPadding=8, labelLimit=260),
    )  # fmt: skip
    ends = [0.0, *held["low"].to_list(), *held["high"].to_list()]
    pad = 0.05 * (max(ends) - min(ends)) or 0.01
    scale = alt.Scale(domain=[min(ends) - pad, max(ends) + pad], nice=False, zero=False)
    axis = alt.Axis(
        tickCount=4,
        labelExpr="datum.value == 0 ? '0' : format(datum.value, '+~g')",
        domain=False, ticks=False,
    )  # fmt: skip
    title = f"difference of {metric_name(held['metric'][0])}"
    x = alt.X("difference:Q", title=title, scale=scale, axis=axis)
    base = alt.Chart(alt.InlineData(values=rows))
    colour = colour_of(strategies)
    zero = alt.Chart(alt.InlineData(values=[{"zero": 0}])).mark_rule(color=FAINT)
    names = held.row(0, named=True)
    return alt.LayerChart(
        layer=[
            zero.encode(x=alt.X("zero:Q", title=title, scale=scale, axis=axis)),
            base.mark_rule(strokeWidth=2).encode(
                y=y, x=alt.X("low:Q", title=title, scale=scale, axis=axis), x2="high:Q", color=colour
            ),
            base.transform_filter("datum.is_sure").mark_point(size=62, filled=True, opacity=1).encode(
                x=x, y=y, color=colour
            ),
            base.transform_filter("!datum.is_sure").mark_point(
                size=50, filled=False, opacity=1, strokeWidth=2, fill="white"
            ).encode(x=x, y=y, color=colour),
        ],
        width=WIDTH,
        height=ROW * len(rows),
        title=panel_title(
            names["dataset"], subtitle=f"{names['task']}, {names['setting']} {names['method']}"
        ),
    )  # fmt: skip


def _label(row: dict[str, object], baseline: str) -> str:
    if row["comparison"] == EQUAL_SIZE:
        return f"{row['model']} {row['strategy']}"
    own = share(row["fraction"], row["n_cells"])  # type: ignore[arg-type]
    other = share(row["baseline_fraction"], row["baseline_n_cells"])  # type: ignore[arg-type]
    return f"{row['model']} {row['strategy']} {own} - {baseline} {other}"
