"""A comparison of strategies as a chart: a panel a measure, and how much every two agree."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from curate.build.comparison.measures import MEASURES
from curate.build.comparison.page import notes_of, overlap_of, short, title_of
from curate.charts import COLOURS, FAINT, INK, framed

if TYPE_CHECKING:
    import altair as alt

    from curate.build.comparison.compare import Comparison

#: Drawn, where they are known; the others follow from these or are small print.
DRAWN = (
    "covered",
    "hausdorff",
    "vendi",
    "shannon",
    "rare_cells",
    "rare_types",
    "task_cells",
    "seconds",
    "peak_bytes",
)
WIDTH, ROW_HEIGHT, SQUARE, SPACING, MOST_A_ROW = 150, 22, 34, 34, 5
PALE = "#f2f6fa"
#: Costs that differ by more than this factor are drawn on a logarithmic axis.
LOG_FROM = 10
#: The strategy that the others are read against.
BASELINE = "random"


def comparison_chart(comparison: Comparison) -> alt.VConcatChart:
    """Draw a comparison: rows of panels, one a measure, and below them the Jaccard index of every two.

    A point is the mean over the seeds, a line goes from the smallest to the largest of them; dashed is
    `random`, where it was compared.
    """
    import altair as alt

    names = [name for name in DRAWN if name in comparison.measures]
    # Rows as even as can be.
    n_a_row = math.ceil(len(names) / math.ceil(len(names) / MOST_A_ROW))
    rows = [
        alt.hconcat(
            *(_panel(comparison, name, is_first=name == names[start]) for name in names[start:][:n_a_row]),
            spacing=SPACING,
            bounds="flush",
        )
        for start in range(0, len(names), n_a_row)
    ]
    if len(comparison.ran) > 1:
        rows.append(alt.hconcat(_heat_map(comparison)))
    subtitle = "A point a strategy"
    if len(comparison.seeds) > 1:
        subtitle += f", the mean over {len(comparison.seeds)} seeds; a line from the smallest to the largest"
    if any(each.strategy == BASELINE for each in comparison.ran):
        subtitle += "; dashed: random"
    others = [each for each in comparison.compared if each.outcome != "ok"]
    left_out = ", ".join(f"{short(each.strategy)} ({each.outcome})" for each in others)
    return framed(
        alt.vconcat(*rows, spacing=30),
        title=title_of(comparison),
        subtitle=[subtitle],
        source=[*notes_of(comparison), *([f"Not drawn: {left_out}"] if others else [])],
    )


def _panel(comparison: Comparison, name: str, *, is_first: bool) -> alt.LayerChart:
    import altair as alt

    measure = MEASURES[name]
    unit = 1e6 if measure.unit == "bytes" else 1.0
    rows = [
        {
            "strategy": short(each.strategy),
            "value": mean / unit,
            "least": min(each.values(name)) / unit,
            "most": max(each.values(name)) / unit,
        }
        for each in comparison.ran
        if (mean := each.mean(name)) is not None
    ]
    y = alt.Y(
        "strategy:N",
        sort=[short(each.strategy) for each in comparison.ran],
        scale=alt.Scale(domain=[short(each.strategy) for each in comparison.ran]),
        title=None,
        axis=alt.Axis(labels=is_first, ticks=False, domain=False, grid=True, labelLimit=260, labelPadding=8),
    )
    is_share = measure.unit == "%"
    values = [mean / unit for each in comparison.ran if (mean := each.mean(name)) is not None]
    is_log = measure.is_cost and max(values) > LOG_FROM * min(values) > 0
    zero = is_share or measure.is_cost
    scale = alt.Scale(type="log", nice=True) if is_log else alt.Scale(zero=zero, nice=4)
    axis = alt.Axis(
        tickCount=4, format="~%" if is_share else "~r", domain=False, ticks=False, labelFlush=False,
        labelOverlap=True, values=_powers_of_ten(values) if is_log else alt.Undefined,
    )  # fmt: skip
    x = alt.X("value:Q", title=None, scale=scale, axis=axis)
    base = alt.Chart(alt.InlineData(values=rows))
    layers: list[Any] = []
    baseline = [row for row in rows if row["strategy"] == BASELINE]
    if baseline:
        rule = alt.Chart(alt.InlineData(values=baseline)).mark_rule(strokeDash=[5, 4], color=FAINT)
        layers.append(rule.encode(x=x))
    if len(comparison.seeds) > 1:
        interval = base.mark_rule(strokeWidth=2, color=COLOURS[0])
        layers.append(interval.encode(y=y, x=alt.X("least:Q"), x2=alt.X2("most:Q")))
    layers.append(
        base.mark_point(size=70, filled=True, opacity=1, color=COLOURS[0]).encode(
            y=y, x=x, tooltip=["strategy:N", "value:Q", "least:Q", "most:Q"]
        )
    )
    unit_text = {"%": "share", "s": "seconds", "bytes": "MB"}.get(measure.unit, measure.unit)
    title = alt.TitleParams(
        measure.title, subtitle=unit_text, fontSize=12, offset=10, frame="group", subtitleFontSize=11,
        subtitlePadding=3,
    )  # fmt: skip
    return alt.LayerChart(layer=layers, title=title, width=WIDTH, height=ROW_HEIGHT * len(comparison.ran))


def _powers_of_ten(values: list[float]) -> list[float]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**power for power in range(low, high + 1)]


def _heat_map(comparison: Comparison) -> alt.LayerChart:
    import altair as alt

    names = [short(each.strategy) for each in comparison.ran]
    most = max(float(comparison.jaccard[i, j]) for i in range(len(names)) for j in range(i)) or 1.0
    rows = [
        {"a": a, "b": b, "value": value, "text": f"{value:.2f}".removeprefix("0") if value < 1 else "1",
         "is_dark": value > 0.55 * most}
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if i != j
        for value in [float(comparison.jaccard[i, j])]
    ]  # fmt: skip
    y = alt.Y(
        "a:N", sort=names, title=None,
        axis=alt.Axis(ticks=False, domain=False, labelLimit=260, labelPadding=8),
    )  # fmt: skip
    x = alt.X(
        "b:N", sort=names, title=None,
        axis=alt.Axis(ticks=False, domain=False, labelAngle=-40, labelLimit=200, orient="bottom"),
    )  # fmt: skip
    base = alt.Chart(alt.InlineData(values=rows))
    square = base.mark_rect(stroke="white", strokeWidth=1.5).encode(
        x=x, y=y,
        color=alt.Color("value:Q", scale=alt.Scale(domain=[0, most], range=[PALE, COLOURS[0]]), legend=None),
        tooltip=["a:N", "b:N", "value:Q"],
    )  # fmt: skip
    text = base.mark_text(fontSize=10).encode(
        x=x, y=y, text="text:N",
        color=alt.condition("datum.is_dark", alt.value("white"), alt.value(INK)),
    )  # fmt: skip
    title = alt.TitleParams(
        "Overlap of every two: Jaccard index", fontSize=12, offset=10, frame="group", subtitleFontSize=11,
        subtitlePadding=3,
        subtitle=overlap_of(comparison),
    )  # fmt: skip
    return alt.LayerChart(
        layer=[square, text], title=title, width=SQUARE * len(names), height=ROW_HEIGHT * len(names)
    )
