"""Diversity as a chart: each index over the size of the subset, or manifest by manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from curate.build.diversity.indices import INDICES
from curate.build.diversity.overlays import find_overlays, levels_of, told
from curate.build.diversity.page import diversity_table
from curate.build.diversity.report import VECTORS
from curate.charts import FAINT, colour_of, dash_of, framed, series_legend, shape_of
from curate.wording import counted

if TYPE_CHECKING:
    import altair as alt

    from curate.build.diversity.report import DiversityReport

#: Drawn of each column, and of the vectors; the others follow from these or are small print.
DRAWN = (
    "rarefied",
    "shannon",
    "inverse_simpson",
    "rare_held",
    "vendi",
    "covered",
    "mean_distance",
    "hausdorff",
)
UNITS = {
    "covered": "share of cells",
    "rare_held": "share of labels",
    "mean_distance": "to the nearest chosen cell",
}
#: A panel shows differences of this share of the values at the least.
LEAST_SPAN = 0.02
WIDTH, HEIGHT, ROW_HEIGHT, SPACING = 190, 150, 22, 60


def diversity_chart(report: DiversityReport) -> alt.VConcatChart:
    """Draw a report.

    A line a series over the share of the corpus' cells, where a series has several sizes: the mean over its
    seeds, and from the smallest to the largest of them. Else a point a manifest.

    Returns
    -------
    A panel an index: a row of them for each column, one for the vectors.
    """
    import altair as alt

    table = (
        diversity_table(report)
        .filter(pl.col("index").is_in(DRAWN), pl.col("value").is_not_null())
        .with_columns(pl.col("value", "low", "high").round_sig_figs(6))
    )
    is_ladder = is_a_ladder(report)
    series = _series(report)
    overlays = find_overlays(table.filter(~pl.col("is_corpus")), series) if is_ladder else []
    levels = [
        max(level, name in report.bases)
        for name, level in zip(series, levels_of(series, overlays), strict=True)
    ]
    rows = []
    for subject in (*report.settings.columns, VECTORS):
        of_subject = table.filter(pl.col("subject") == subject)
        shown = [name for name in DRAWN if name in of_subject["index"].to_list()]
        panels = [
            _ladder_panel(report, of_index, subject, name, levels=levels)
            if is_ladder
            else _points_panel(report, of_index, subject, name, is_first=at == 0)
            for at, name in enumerate(shown)
            for of_index in [of_subject.filter(pl.col("index") == name)]
        ]
        if panels:
            rows.append(alt.hconcat(*panels, spacing=SPACING, bounds="flush"))
    legend = (
        [series_legend(series, levels=levels if is_ladder else None, like=report.bases)]
        if is_ladder or len(series) > 1
        else []
    )
    chart = alt.vconcat(*legend, *rows, spacing=22).resolve_scale(
        color="independent", shape="independent", strokeDash="independent"
    )
    subtitle = (
        "One line a strategy: mean over seeds, and from the smallest to the largest of them"
        if is_ladder
        else "One point a manifest"
    )
    dashed = "; dashed across: all cells of the corpus" if report.settings.has_corpus else ""
    return framed(
        chart,
        title=_title(report),
        subtitle=[subtitle + dashed, *told(overlays, report.bases)],
        source=_source(report),
    )


def is_a_ladder(report: DiversityReport) -> bool:
    """Whether a series comes in several sizes."""
    sizes: dict[str, set[str]] = {}
    for held in report.sets:
        if not held.is_corpus:
            sizes.setdefault(held.series, set()).add(f"{held.size:.3g}")
    return any(len(of) > 1 for of in sizes.values())


def _ladder_panel(
    report: DiversityReport, table: pl.DataFrame, subject: str, index: str, *, levels: list[int]
) -> alt.LayerChart:
    import altair as alt

    manifests = table.filter(~pl.col("is_corpus")).with_columns(pl.col("size").round_sig_figs(3))
    rows = (
        manifests.group_by("series", "size", maintain_order=True)
        .agg(
            pl.col("value").mean().alias("mean"),
            pl.col("value").min().alias("least"),
            pl.col("value").max().alias("most"),
            pl.len().alias("seeds"),
        )
        .to_dicts()
    )
    series = _series(report)
    ticks = sorted({row["size"] for row in rows})
    x = alt.X(
        "size:Q",
        title="share of the corpus' cells",
        scale=alt.Scale(type="log", domain=_padded(ticks), nice=False),
        axis=alt.Axis(values=ticks, labelExpr="format(datum.value, '.2~p')", grid=False, labelOverlap=True),
    )
    y = _axis(alt.Y, "mean:Q", index, _shown(table, index))
    base = alt.Chart(alt.InlineData(values=rows))
    band = base.mark_area(opacity=0.18).encode(
        x=x, y=alt.Y("least:Q"), y2=alt.Y2("most:Q"), color=colour_of(series, report.bases)
    )
    marks: list[Any] = [band]
    # Level by level: what lies on others is drawn over them, dashed and hollow, so that they show through.
    for level in sorted(set(levels)):
        names = {name for name, of in zip(series, levels, strict=True) if of == level}
        base = alt.Chart(alt.InlineData(values=[row for row in rows if row["series"] in names]))
        marks.append(
            base.mark_line(strokeWidth=2).encode(
                x=x,
                y=y,
                color=colour_of(series, report.bases),
                strokeDash=dash_of(series, levels, report.bases),
            )
        )
        marks.append(
            base.mark_point(size=45 + 40 * level, filled=level == 0, opacity=1, strokeWidth=1.5).encode(
                x=x,
                y=y,
                color=colour_of(series, report.bases),
                shape=shape_of(series, report.bases),
                tooltip=["series:N", "size:Q", "mean:Q", "least:Q", "most:Q", "seeds:Q"],
            )
        )
    return _panel([*marks, *_corpus_rules(table, index, alt.Y)], subject, index, report)


def _points_panel(
    report: DiversityReport, table: pl.DataFrame, subject: str, index: str, *, is_first: bool
) -> alt.LayerChart:
    import altair as alt

    columns = ("ref", "series", "value", "low", "high")
    rows = table.filter(~pl.col("is_corpus")).select(columns).to_dicts()
    refs = [row["ref"] for row in rows]
    series = _series(report)
    y = alt.Y(
        "ref:N",
        sort=refs,
        title=None,
        axis=alt.Axis(labels=is_first, ticks=False, domain=False, grid=True, labelLimit=260, labelPadding=8),
    )
    base = alt.Chart(alt.InlineData(values=rows))
    interval = base.mark_rule(strokeWidth=2).encode(
        y=y, x=alt.X("low:Q"), x2=alt.X2("high:Q"), color=colour_of(series, report.bases)
    )
    point = base.mark_point(size=80, filled=True, opacity=1).encode(
        y=y,
        x=_axis(alt.X, "value:Q", index, _shown(table, index)),
        color=colour_of(series, report.bases),
        shape=shape_of(series, report.bases),
        tooltip=["ref:N", "series:N", "value:Q", "low:Q", "high:Q"],
    )
    has_interval = any(row["low"] is not None for row in rows)
    layers = [*([interval] if has_interval else []), point, *_corpus_rules(table, index, alt.X)]
    return _panel(layers, subject, index, report, height=ROW_HEIGHT * len(refs))


def _panel(
    layers: list[Any], subject: str, index: str, report: DiversityReport, *, height: float = HEIGHT
) -> alt.LayerChart:
    import altair as alt

    title = alt.TitleParams(
        _panel_title(report, subject, index),
        fontSize=12,
        offset=12,
        frame="group",
        subtitleFontSize=11,
        subtitlePadding=3,
    )
    title.subtitle = f"{_subject(report, subject, index)}, {UNITS.get(index, INDICES[index].unit)}"
    return alt.LayerChart(layer=layers, title=title, width=WIDTH, height=height)


def _panel_title(report: DiversityReport, subject: str, index: str) -> str:
    space = report.settings.space
    if index == "vendi" and space is not None and space.order != 1:
        return f"Vendi score of order {space.order:g}"
    if index != "rarefied":
        return INDICES[index].title
    return f"Labels among {next(iter(report.sets)).labels[subject].rarefied_to:,} cells"


def _subject(report: DiversityReport, subject: str, index: str) -> str:
    if subject != VECTORS:
        return subject
    space = report.settings.space
    if index == "vendi" and space is not None and space.features == "expression":
        return "expression"
    return ", ".join(dict.fromkeys(corpus.embedding or "" for corpus in report.corpora))


def _axis(channel: Any, field: str, index: str, values: list[float]) -> Any:
    """Return an axis for an index.

    Parameters
    ----------
    values
        All that will be drawn: where they hardly differ the axis does not magnify that.
    """
    import altair as alt

    is_share = INDICES[index].unit == "%"
    scale = alt.Scale(zero=is_share, nice=4)
    middle = (min(values) + max(values)) / 2
    if not is_share and max(values) - min(values) < LEAST_SPAN * abs(middle):
        scale = alt.Scale(domain=[middle * (1 - LEAST_SPAN), middle * (1 + LEAST_SPAN)], zero=False, nice=4)
    written = "~%" if is_share else "~r"
    return channel(
        field,
        title=None,
        scale=scale,
        axis=alt.Axis(tickCount=4, format=written, domain=False, ticks=False, labelFlush=False),
    )


def _shown(table: pl.DataFrame, index: str) -> list[float]:
    """Return the values of a panel, with that of the corpus where it is drawn."""
    rows = table if INDICES[index].is_relative else table.filter(~pl.col("is_corpus"))
    return rows["value"].to_list()


def _corpus_rules(table: pl.DataFrame, index: str, channel: Any) -> list[Any]:
    """Return a dashed line where the whole corpus lies; distances from it are all zero and say nothing."""
    import altair as alt

    rows = table.filter(pl.col("is_corpus")).select("ref", "value").to_dicts()
    if not rows or not INDICES[index].is_relative:
        return []
    name = "y" if channel is alt.Y else "x"
    rule = alt.Chart(alt.InlineData(values=rows)).mark_rule(strokeDash=[5, 4], color=FAINT, strokeWidth=1.3)
    return [rule.encode(**{name: channel("value:Q"), "tooltip": ["ref:N", "value:Q"]})]


def _series(report: DiversityReport) -> list[str]:
    return list(dict.fromkeys(held.series for held in report.sets if not held.is_corpus))


def _padded(sizes: list[float]) -> list[float]:
    return [sizes[0] / 1.15, sizes[-1] * 1.15]


def _title(report: DiversityReport) -> str:
    names = ", ".join(corpus.name for corpus in report.corpora)
    n = sum(not held.is_corpus for held in report.sets)
    of = "corpus" if len(report.corpora) == 1 else "corpora"
    return f"Diversity of {counted(n, 'subset')} of {of} {names}"


def _source(report: DiversityReport) -> list[str]:
    lines = []
    for corpus in report.corpora:
        kind = " · simulated data, no real cells" if "simulated" in (corpus.label or "").casefold() else ""
        lines.append(
            f"Corpus {corpus.name}, Census {corpus.release}, {counted(corpus.n_cells, 'cell')}{kind} · "
            f"{report.settings.split or 'all'} cells of each subset"
        )
        if corpus.radius is not None:
            lines.append(
                f"Covered: within r = {corpus.radius:.3g} of a chosen cell, measured from "
                f"{corpus.n_probes or 0:,} cells of the corpus"
            )
    first = next(iter(report.sets))
    if any(labels.rare.n_rare for labels in first.labels.values()):
        settings = report.settings
        lines.append(
            f"Rare: under {100 * settings.rare_below:g} % of the corpus; held with {settings.rare_cells:,} "
            "cells or more"
        )
    return lines
