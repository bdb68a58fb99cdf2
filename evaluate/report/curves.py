"""Curves of score against cells: a panel a model, a line a strategy, reference lines of the baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from curate.charts import FAINT, colour_of, framed, series_legend, shape_of
from curate.evaluate.report.look import extent, log_x, metric_name, nearer, panel_title

if TYPE_CHECKING:
    from collections.abc import Sequence

    import altair as alt

    from curate.evaluate.report.look import View

WIDTH, HEIGHT, MOST_A_ROW = 235, 190, 3
GAP = 11.5
"""Between the labels of two reference lines, in pixels."""
FAR = 0.75
"""Of the height of the curves: a reference line that is farther off is told in words."""


def curves_chart(view: View, *, source: Sequence[str] = ()) -> alt.VConcatChart:
    """Draw the score of every model and strategy against training cells, on a logarithmic axis.

    A point is the mean over runs, the band its 95 % interval (Student's t); runs of one seed have no band.
    """
    import altair as alt

    low, high = extent(view.points["low"], view.points["high"])
    near, far = _references(view, low, high)
    if near.height:
        low, high = extent(pl.Series([low, high]), near["score"])
    pad = 0.06 * (high - low) or 0.05 * max(abs(high), 1e-3)
    domain = (low - pad, high + pad)
    panels = [
        _panel(view, model, near, domain, is_first=at % MOST_A_ROW == 0)
        for at, model in enumerate(view.models)
    ]
    longest = max([len(_reference_name(row)) for row in near.iter_rows(named=True)] + [0])
    rows = [
        alt.hconcat(*panels[start : start + MOST_A_ROW], spacing=26 + 5.2 * longest, bounds="flush")
        for start in range(0, len(panels), MOST_A_ROW)
    ]
    least, most = extent(view.points["n_seeds"])
    seeds = f"{most:g}" if least == most else f"{least:g} to {most:g}"
    told = f"Mean over {seeds} runs and its 95 % interval" if most > 1 else "One run a point: no interval"
    below = "; ".join(
        f"{row['name']}{' of ' + row['model'] if row['model'] else ''} {row['score']:.3g}"
        for row in far.iter_rows(named=True)
    )
    legend = series_legend(view.strategies, width=2 * WIDTH, shown=view.drawn)
    return framed(
        alt.vconcat(legend, *rows, spacing=22),
        title=view.title,
        subtitle=[f"{told}; dashed: baselines" if near.height else told,
                  *([f"Outside the axis: {below}"] if below else [])],
        source=source,
    )  # fmt: skip


def _references(view: View, low: float, high: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the reference lines near enough to be drawn, and the others."""
    reach = FAR * max(high - low, 1e-9)
    is_near = pl.col("score").is_between(low - reach, high + reach)
    return view.baselines.filter(is_near), view.baselines.filter(~is_near)


def _panel(
    view: View, model: str, references: pl.DataFrame, domain: tuple[float, float], *, is_first: bool
) -> alt.LayerChart:
    import altair as alt

    held = view.points.filter(pl.col("model") == model).rename({"strategy": "series"})
    x = log_x(view.points["n_cells"].to_list(), "n_cells", "training cells")
    shared: dict[str, Any] = {
        "title": metric_name(view.names["metric"]) if is_first else None, "labels": is_first
    }  # fmt: skip
    y = _y("mean", domain, **shared)
    base = alt.Chart(alt.InlineData(values=held.to_dicts()))
    colour = colour_of(view.strategies)
    layers: list[Any] = []
    if (held["n_seeds"] > 1).any():
        if held["n_cells"].n_unique() > 1:
            layers.append(
                base.mark_area(opacity=0.16).encode(
                    x=x, y=_y("low", domain, **shared), y2="high:Q", color=colour
                )
            )
        else:
            layers.append(base.mark_rule(strokeWidth=2).encode(
                x=x, y=_y("low", domain, **shared), y2="high:Q", color=colour))  # fmt: skip
    layers.append(base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour))
    layers.append(
        base.mark_point(size=48, filled=True, opacity=1).encode(
            x=x, y=y, color=colour, shape=shape_of(view.strategies),
            tooltip=["series:N", "n_cells:Q", "mean:Q", "low:Q", "high:Q", "n_seeds:Q"],
        )
    )  # fmt: skip
    own = references.filter(pl.col("model").is_null() | (pl.col("model") == model))
    layers = [*_reference_layers(own, domain, shared), *layers]
    return alt.LayerChart(layer=layers, width=WIDTH, height=HEIGHT, title=panel_title(model))


def _reference_name(row: dict[str, Any]) -> str:
    return f"{row['name']} {row['score']:.3g}"


def _reference_layers(
    references: pl.DataFrame, domain: tuple[float, float], shared: dict[str, Any]
) -> list[Any]:
    import altair as alt

    if references.is_empty():
        return []
    scores = references["score"].to_list()
    places = nearer(scores, gap=GAP * (domain[1] - domain[0]) / HEIGHT)
    rows = [
        {"name": _reference_name(row), "score": row["score"], "place": place}
        for row, place in zip(references.iter_rows(named=True), places, strict=True)
    ]
    base = alt.Chart(alt.InlineData(values=rows))
    return [
        base.mark_rule(strokeDash=[5, 4], color=FAINT).encode(y=_y("score", domain, **shared)),
        base.mark_text(align="left", dx=5, fontSize=10, color=FAINT, clip=False).encode(
            x=alt.value(WIDTH), y=_y("place", domain, **shared), text="name:N"
        ),
    ]


def _y(field: str, domain: tuple[float, float], *, title: str | None, labels: bool) -> alt.Y:
    import altair as alt

    return alt.Y(
        f"{field}:Q",
        title=title,
        scale=alt.Scale(domain=list(domain), nice=False, zero=False),
        axis=alt.Axis(tickCount=5, format="~g", domain=False, ticks=False, labels=labels),
    )
