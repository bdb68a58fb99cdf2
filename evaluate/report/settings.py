"""The same models frozen and fine-tuned, side by side: fine-tuning can hide what pre-training did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from curate.charts import colour_of, framed, series_legend, shape_of
from curate.evaluate.report.look import SETTING_NAMES, SETTINGS, extent, log_x, metric_name, panel_title

if TYPE_CHECKING:
    from collections.abc import Sequence

    import altair as alt

    from curate.evaluate.report.look import View

WIDTH, HEIGHT = 250, 200


def settings_chart(
    views: Sequence[View], strategy: str, models: Sequence[str], *, source: Sequence[str] = ()
) -> alt.VConcatChart | None:
    """Draw the views of one task, data set and metric, a panel a setting; None when there is one setting.

    Parameters
    ----------
    strategy
        The one whose runs are drawn: colours are models here.
    models
        Of the whole report.
    """
    import altair as alt

    by_setting = {view.names["setting"]: view for view in reversed(views)}
    settings = [name for name in SETTINGS if name in by_setting]
    if len(settings) < 2:
        return None
    points = {
        name: by_setting[name].points.filter(pl.col("strategy") == strategy).rename({"model": "series"})
        for name in settings
    }
    if any(held.is_empty() for held in points.values()):
        return None
    every = pl.concat(points.values())
    present = set(every["series"].to_list())
    low, high = extent(every["low"], every["high"])
    pad = 0.06 * (high - low) or 0.05 * max(abs(high), 1e-3)
    names = views[0].names

    def y(field: str, *, is_first: bool) -> alt.Y:
        return alt.Y(
            f"{field}:Q",
            title=metric_name(names["metric"]) if is_first else None,
            scale=alt.Scale(domain=[low - pad, high + pad], nice=False, zero=False),
            axis=alt.Axis(tickCount=5, format="~g", domain=False, ticks=False, labels=is_first),
        )

    panels = []
    for at, name in enumerate(settings):
        base = alt.Chart(alt.InlineData(values=points[name].to_dicts()))
        x = log_x(every["n_cells"].to_list(), "n_cells", "training cells")
        colour, is_first = colour_of(models), at == 0
        layers = [
            base.mark_area(opacity=0.13).encode(
                x=x, y=y("low", is_first=is_first), y2="high:Q", color=colour
            ),
            base.mark_line(strokeWidth=2).encode(x=x, y=y("mean", is_first=is_first), color=colour),
            base.mark_point(size=48, filled=True, opacity=1).encode(
                x=x, y=y("mean", is_first=is_first), color=colour, shape=shape_of(models)
            ),
        ]
        method = by_setting[name].names["method"]
        title = panel_title(SETTING_NAMES[name], subtitle=method)
        panels.append(alt.LayerChart(layer=layers, width=WIDTH, height=HEIGHT, title=title))
    legend = series_legend(
        models, width=WIDTH * len(settings), shown=[name for name in models if name in present]
    )
    told = f"{metric_name(names['metric'])}, subsets of {strategy}; mean over runs and its 95 % interval"
    return framed(
        alt.vconcat(legend, alt.hconcat(*panels, spacing=26, bounds="flush"), spacing=18),
        title=f"{names['dataset']}: frozen and fine-tuned",
        subtitle=[told],
        source=source,
    )
