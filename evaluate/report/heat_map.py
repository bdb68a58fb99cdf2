"""Where each model saturates, by strategy: the study's point, below it one that runs can stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np

from curate.charts import COLOURS, INK, framed
from curate.evaluate.report.look import below_title, extent, ordered, panel_title, share

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

WIDTH, HEIGHT, PAGE = 62, 27, 940
LEAST_WIDTH = 150
"""Of a map of few strategies: its title must have room."""
PALE, UNKNOWN = "#dcebf6", "#f0f0f0"
SAID = {"rising": "rises", "undecided": "?"}


def heat_map(table: pl.DataFrame, *, source: Sequence[str] = ()) -> alt.VConcatChart:
    """Draw the saturation points of a table (`summary`) as maps of model by strategy, one a data set.

    As figure 3 of DenAdel et al. 2026, each with its robust counterpart below.
    """
    models = table["model"].unique().sort().to_list()
    strategies = ordered(table["strategy"].unique().to_list())
    low, high = extent(table["study_point"], table["largest"])
    domain = float(np.log10(low)), float(np.log10(max(high, 1.01 * low)))
    views = table.partition_by("task", "dataset", "setting", "metric", maintain_order=True)
    label_width = 8 * max(map(len, models)) + 12
    n_a_row = max(1, int((PAGE - label_width) // (_width(strategies) + 30)))
    rows = []
    for start in range(0, len(views), n_a_row):
        held = views[start : start + n_a_row]
        for is_study in (True, False):
            maps = [
                _map(each, models, strategies, domain, is_study=is_study, is_first=at == 0)
                for at, each in enumerate(held)
            ]
            rows.append(alt.hconcat(*maps, spacing=30, bounds="flush"))
    return framed(
        alt.vconcat(*rows, spacing=24),
        title="Where more cells stop paying",
        subtitle=[
            "Above, the study's point: the smallest subset with any run above 95 % of the best run",
            "Below, the plateau of the mean over seeds, called only where the runs can tell; ?: they cannot",
            "rises: the largest subset is still better by more than the tolerance",
        ],
        source=source,
    )


def _map(
    table: pl.DataFrame,
    models: list[str],
    strategies: list[str],
    domain: tuple[float, float],
    *,
    is_study: bool,
    is_first: bool,
) -> alt.LayerChart:
    rows = [_cell(row, domain, is_study=is_study) for row in table.iter_rows(named=True)]
    y = alt.Y(
        "model:N", title=None, scale=alt.Scale(domain=models),
        axis=alt.Axis(ticks=False, domain=False, labels=is_first, labelPadding=8, labelLimit=240),
    )  # fmt: skip
    x = alt.X(
        "strategy:N", title=None, scale=alt.Scale(domain=strategies),
        axis=alt.Axis(ticks=False, domain=False, labels=not is_study, labelAngle=-35, labelLimit=140),
    )  # fmt: skip
    base = alt.Chart(alt.InlineData(values=rows))
    none = base.mark_rect(stroke="white", strokeWidth=1.5, color=UNKNOWN).encode(x=x, y=y)
    square = base.transform_filter("isValid(datum.log)").mark_rect(stroke="white", strokeWidth=1.5).encode(
        x=x, y=y,
        color=alt.Color("log:Q", scale=alt.Scale(domain=list(domain), range=[PALE, COLOURS[0]]), legend=None),
        tooltip=["model:N", "strategy:N", "text:N", "cells:Q", "verdict:N"],
    )  # fmt: skip
    text = base.mark_text(fontSize=11).encode(
        x=x, y=y, text="text:N",
        color=alt.condition("datum.is_dark", alt.value("white"), alt.value(INK)),
    )  # fmt: skip
    held = table.row(0, named=True)
    where = f"{held['task']}, {held['setting']}"
    title = (
        panel_title(held["dataset"], subtitle=[where, "study's point"])
        if is_study
        else below_title("plateau of the mean")
    )
    return alt.LayerChart(
        layer=[none, square, text],
        title=title,
        width=_width(strategies),
        height=HEIGHT * len(models),
    )


def _width(strategies: list[str]) -> int:
    return max(WIDTH * len(strategies), LEAST_WIDTH)


def _cell(row: dict[str, Any], domain: tuple[float, float], *, is_study: bool) -> dict[str, Any]:
    cells = row["study_point"] if is_study else row["plateau"]
    fraction = row["study_fraction"] if is_study else row["plateau_fraction"]
    log = None if cells is None else float(np.log10(cells))
    verdict = "undecided" if is_study else row["verdict"] or "undecided"
    text = SAID.get(verdict, "?") if cells is None else share(fraction, cells)
    return {
        "model": row["model"],
        "strategy": row["strategy"],
        "cells": cells,
        "verdict": "study" if is_study and cells is not None else verdict,
        "log": log,
        "text": text.removesuffix(" cells"),
        "is_dark": log is not None and log > domain[0] + 0.75 * (domain[1] - domain[0]),
    }
