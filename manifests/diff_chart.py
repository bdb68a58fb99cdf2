"""A diff of two manifests as charts: the shares of labels before and after, and how far each moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.charts import COLOURS, FAINT, INK, framed
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import altair as alt

    from curate.manifests.cells_diff import CellsDiff
    from curate.manifests.diff import CompositionShift, ManifestDiff, Mover

A, B = COLOURS[5], COLOURS[0]
"""Colours of the two sides, light before dark; told apart in grey too."""
UP, DOWN = COLOURS[2], COLOURS[1]
TOP = 12
WIDTH, ROW_HEIGHT, LABEL_WIDTH = 330, 26, 210


def composition_chart(diff: ManifestDiff, shift: CompositionShift, *, top: int = TOP) -> alt.VConcatChart:
    """Draw how the labels of a column moved.

    Parameters
    ----------
    top
        The largest labels to show, by the larger of their two shares.

    Returns
    -------
    Two panels with a row a label: its share of the cells of A and of B; the difference in points, and how
    many times as large it is in B.
    """
    import altair as alt

    movers = largest(shift, top=top)
    labels = [mover.label for mover in movers]
    y = alt.Y(
        "label:N",
        sort=labels,
        title=None,
        scale=alt.Scale(domain=labels, paddingInner=0.25),
        axis=alt.Axis(
            ticks=False, domain=False, labelLimit=LABEL_WIDTH, minExtent=LABEL_WIDTH, labelPadding=8
        ),
    )
    height = ROW_HEIGHT * len(labels)
    sides = [
        {"label": mover.label, "side": side, "share": share, "cells": n}
        for mover in movers
        for side, share, n in (("A", mover.share_a, mover.n_a), ("B", mover.share_b, mover.n_b))
    ]
    shares = (
        alt.Chart(alt.InlineData(values=sides), width=WIDTH, height=height, title=_panel("share of cells"))
        .mark_bar()
        .encode(
            y=y,
            yOffset=alt.YOffset("side:N", sort=["A", "B"]),
            x=alt.X(
                "share:Q",
                title=None,
                scale=alt.Scale(nice=4),
                axis=alt.Axis(format="~%", tickCount=4, domain=False, ticks=False),
            ),
            color=alt.Color("side:N", scale=alt.Scale(domain=["A", "B"], range=[A, B]), legend=None),
            tooltip=["label:N", "side:N", "share:Q", "cells:Q"],
        )
    )
    return framed(
        alt.hconcat(shares, _points(movers, height), spacing=28).resolve_scale(color="independent"),
        title=f"Cells by {shift.column}",
        subtitle=[f"light: A {diff.a.ref} · dark: B {diff.b.ref} · {_of_all(shift, len(movers))}"],
        source=_source(diff),
    )


def overlap_chart(diff: ManifestDiff, cells: CellsDiff) -> alt.VConcatChart:
    """Draw how many cells are in A only, in both and in B only, as one bar."""
    import altair as alt

    names = ["only in A", "in both", "only in B"]
    start, rows = 0, []
    for side, n in zip(names, (cells.only_a, cells.both, cells.only_b), strict=True):
        rows.append({"side": side, "from": start, "to": start + n, "n": f"{n:,}"})
        start += n
    colours = alt.Scale(domain=names, range=[A, FAINT, B])
    legend = alt.Legend(orient="bottom", title=None, symbolType="square", labelFontSize=12, offset=8)
    bar = (
        alt.Chart(alt.InlineData(values=rows), width=2 * WIDTH, height=34)
        .mark_bar()
        .encode(
            x=alt.X(
                "from:Q",
                title="cells",
                scale=alt.Scale(domain=[0, max(start, 1)], nice=False),
                axis=alt.Axis(format=",d", tickCount=5, grid=False),
            ),
            x2="to:Q",
            color=alt.Color("side:N", sort=names, scale=colours, legend=legend),
            tooltip=["side:N", "n:N"],
        )
    )
    return framed(
        bar, title=f"{cells.both:,} cells shared, Jaccard {cells.jaccard:.4f}", source=_source(diff)
    )


def largest(shift: CompositionShift, *, top: int) -> list[Mover]:
    """Return the labels with the largest shares on either side, the largest first."""
    ordered = sorted(shift.movers, key=lambda mover: (-max(mover.share_a, mover.share_b), mover.label))
    return ordered[:top]


def _points(movers: Sequence[Mover], height: float) -> alt.LayerChart:
    import altair as alt

    rows = [
        {
            "label": mover.label,
            "points": mover.points,
            "fold": mover.fold_shown,
            "is_up": mover.points >= 0,
            "sign": "enriched" if mover.points >= 0 else "depleted",
        }
        for mover in movers
    ]
    labels = [mover.label for mover in movers]
    most = max([abs(mover.points) for mover in movers] + [0.1])
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        y=alt.Y(
            "label:N", sort=labels, title=None, scale=alt.Scale(domain=labels, paddingInner=0.25), axis=None
        ),
    )
    x: dict[str, Any] = {
        "title": None,
        "scale": alt.Scale(domain=[-1.35 * most, 1.35 * most], nice=False),
        "axis": alt.Axis(
            labelExpr="datum.value == 0 ? '0' : format(datum.value, '+~r')",
            tickCount=5,
            domain=False,
            ticks=False,
        ),
    }
    x_of = alt.X("points:Q", **x)
    bars = base.mark_bar(height=12).encode(
        x=x_of,
        color=alt.Color(
            "sign:N", scale=alt.Scale(domain=["enriched", "depleted"], range=[UP, DOWN]), legend=None
        ),
        tooltip=["label:N", "points:Q", "fold:N"],
    )
    up = base.transform_filter("datum.is_up").mark_text(align="left", dx=4, fontSize=11, color=INK)
    down = base.transform_filter("!datum.is_up").mark_text(align="right", dx=-4, fontSize=11, color=INK)
    texts = [each.encode(x=x_of, text="fold:N") for each in (up, down)]
    title = _panel("difference in points, B - A, and B as a multiple of A")
    return alt.LayerChart(layer=[bars, *texts], width=WIDTH, height=height, title=title)


def _of_all(shift: CompositionShift, n_shown: int) -> str:
    n = len(shift.movers)
    return f"the {n_shown} largest of {n:,} labels" if n > n_shown else counted(n, "label")


def _source(diff: ManifestDiff) -> list[str]:
    """Return a line a corpus: what the cells are of, and whether they are simulated."""
    corpora = {side.corpus_id: side for side in (diff.a, diff.b)}
    return [
        f"Corpus {side.corpus}"
        + (" · simulated data, no real cells" if "simulated" in (side.label or "").casefold() else "")
        for side in corpora.values()
    ]


def _panel(title: str) -> alt.TitleParams:
    import altair as alt

    return alt.TitleParams(title, fontSize=12, fontWeight="normal", offset=10, frame="group")
