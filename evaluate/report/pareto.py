"""Score against cost: every model, strategy and size, and those that nothing cheaper beats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from curate.charts import FAINT, INK, SHAPES, colour_of, framed, series_legend, shape_of
from curate.evaluate.report.look import extent, log_x, metric_name, panel_title

if TYPE_CHECKING:
    from collections.abc import Sequence

    import altair as alt

    from curate.evaluate.report.look import View

#: What a model costs, the first that is known of all: column of the points -> title of the axis.
COSTS: Final = {"train_seconds": "seconds of training", "cells_seen": "cells seen in training"}
WIDTH, HEIGHT, MOST_A_ROW = 380, 250, 2


def cost_of(views: Sequence[View]) -> str | None:
    """Return the cost to draw: the first of COSTS that is known of every run; None when none is."""
    for name in COSTS:
        if all((view.points[name].fill_null(0) > 0).all() for view in views):
            return name
    return None


def front(view: View, cost: str) -> pl.DataFrame:
    """Return the points that no cheaper or equally dear point beats, by cost ascending."""
    sign = -1.0 if view.is_turned else 1.0
    held = view.points.with_columns((pl.col("mean") * sign).alias("better")).sort(
        [cost, "better"], descending=[False, True]
    )
    is_best = pl.col("better") > pl.col("better").cum_max().shift(1)
    return held.filter(is_best.fill_null(value=True)).drop("better")


def pareto_chart(views: Sequence[View], cost: str, *, source: Sequence[str] = ()) -> alt.VConcatChart:
    """Draw mean score against mean cost, a panel a view; the numbers are those of the fronts' table."""
    import altair as alt

    models = sorted({model for view in views for model in view.models})
    strategies = list(views[0].strategies)
    panels = [_panel(view, cost, models, strategies) for view in views]
    rows = [
        alt.hconcat(*panels[start : start + MOST_A_ROW], spacing=54, bounds="flush")
        for start in range(0, len(panels), MOST_A_ROW)
    ]
    colours = series_legend(models, width=MOST_A_ROW * WIDTH)
    shapes = _shape_legend(strategies)
    return framed(
        alt.vconcat(colours, shapes, *rows, spacing=16).resolve_scale(
            color="independent", shape="independent"
        ),
        title="Score against cost",
        subtitle=["Colour: model; shape: strategy; larger: more cells. The line is the front: what nothing "
                  "cheaper beats, numbered as in its table"],
        source=source,
    )  # fmt: skip


def _panel(view: View, cost: str, models: list[str], strategies: list[str]) -> alt.LayerChart:
    import altair as alt

    rows = view.points.with_columns(pl.col("model").alias("series")).to_dicts()
    best = front(view, cost).with_row_index("nth", offset=1).with_columns(pl.col("nth").cast(pl.String))
    smallest, largest = extent(view.points["n_cells"])
    x = log_x(view.points[cost].to_list(), cost, COSTS[cost])
    low, high = extent(view.points["mean"])
    pad = 0.09 * (high - low) or 0.05 * max(abs(high), 1e-3)
    y = alt.Y(
        "mean:Q",
        title=metric_name(view.names["metric"]),
        scale=alt.Scale(domain=[low - pad, high + pad], nice=False, zero=False),
        axis=alt.Axis(tickCount=5, format="~g", domain=False, ticks=False),
    )
    shapes = [SHAPES[at % len(SHAPES)] for at in range(len(strategies))]
    points = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_point(filled=True, opacity=0.75)
        .encode(
            x=x, y=y,
            color=colour_of(models),
            shape=alt.Shape("strategy:N", scale=alt.Scale(domain=strategies, range=shapes), legend=None),
            size=alt.Size(
                "n_cells:Q",
                scale=alt.Scale(
                    type="log", domain=[smallest, max(largest, 1.01 * smallest)], range=[28, 130]
                ),
                legend=None,
            ),
            tooltip=["model:N", "strategy:N", "n_cells:Q", "mean:Q", f"{cost}:Q"],
        )
    )  # fmt: skip
    base = alt.Chart(alt.InlineData(values=best.to_dicts()))
    line = base.mark_line(interpolate="step-after", color=FAINT, strokeWidth=1.3).encode(x=x, y=y)
    label = base.mark_text(dx=-7, dy=-9, fontSize=11, fontWeight="bold", color=INK).encode(
        x=x, y=y, text="nth:N"
    )
    return alt.LayerChart(
        layer=[line, points, label], width=WIDTH, height=HEIGHT, title=panel_title(view.title)
    )


def _shape_legend(strategies: list[str]) -> alt.LayerChart:
    """Return a legend of shapes alone: colours mean models here."""
    import altair as alt

    rows, x = [], 8.0
    for name in strategies:
        rows.append({"series": name, "x": x, "text": x + 11, "y": 9.0})
        x += 30 + 6.3 * len(name)
    width = MOST_A_ROW * WIDTH
    base = alt.Chart(alt.InlineData(values=rows), width=width, height=18)

    def at(field: str) -> alt.X:
        scale = alt.Scale(domain=[0, width], nice=False, zero=False)
        return alt.X(f"{field}:Q", axis=None, scale=scale)

    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[18, 0], nice=False, zero=False))
    points = base.mark_point(size=60, filled=True, opacity=1, color=FAINT).encode(
        x=at("x"), y=y, shape=shape_of(strategies)
    )
    texts = base.mark_text(align="left", baseline="middle", fontSize=12, color=INK).encode(
        x=at("text"), y=y, text="series:N"
    )
    return alt.LayerChart(layer=[points, texts])
