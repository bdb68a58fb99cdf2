"""A comparison of strategies as tables in the terminal, as a tidy table, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from rich.console import Group
from rich.table import Table
from rich.text import Text

from curate.build.comparison.measures import MEASURES
from curate.manifests.page import percent, simulated
from curate.wording import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from curate.build.comparison.compare import Comparison

LONGEST = 40


def comparison_page(comparison: Comparison) -> RenderableType:
    """Return a comparison as a table of measures, what was left out, and a table of overlaps."""
    parts: list[RenderableType] = [Text(title_of(comparison), style="bold"), _measures(comparison)]
    others = [each for each in comparison.compared if each.outcome != "ok"]
    if others:
        grid = Table.grid(padding=(0, 2))
        for each in others:
            style = "red" if each.outcome == "failed" else "dim"
            grid.add_row(
                Text(short(each.strategy)), Text(each.outcome, style=style), Text(each.reason, style=style)
            )
        parts += [Text(), grid]
    if len(comparison.ran) > 1:
        parts += [Text(), _overlaps(comparison)]
    return Group(*parts, Text(), *(Text(line, style="dim") for line in notes_of(comparison)))


def title_of(comparison: Comparison) -> str:
    """Return what was compared."""
    return (
        f"{counted(comparison.n_cells, 'cell')} of {comparison.n_available:,} "
        f"({percent(comparison.n_cells / comparison.n_available)}) of corpus {comparison.corpus}, by "
        f"{len(comparison.ran)} strategies"
    )


def notes_of(comparison: Comparison) -> list[str]:
    """Return what the numbers mean, a line each."""
    lines = []
    seeds = comparison.seeds
    if len(seeds) > 1:
        lines.append(f"Means over {len(seeds)} seeds.")
    if comparison.radius is not None:
        lines.append(
            f"Covered: within r = {comparison.radius:.3g} of a chosen cell in {comparison.embedding}; from "
            f"{comparison.n_probes or 0:,} cells."
        )
    lines.append("With one seed all draw by the same random number of each cell, and so agree more.")
    below = f"{100 * comparison.rare_below:g} %"
    if comparison.n_rare:
        lines.append(
            f"Rare: {counted(comparison.n_rare, 'type')} under {below} of the corpus, together "
            f"{percent(comparison.rare_share)} of it; held with one cell or more."
        )
    else:
        lines.append(f"No cell type is under {below} of the corpus: --rare-below takes another share.")
    if comparison.task_share is not None:
        n_out = comparison.n_corpus - comparison.n_available
        lines.append(
            f"Task {comparison.task}: its types are {percent(comparison.task_share)} of the corpus; "
            f"{counted(n_out, 'cell')} left out."
        )
    lines.append(
        "Time: reading what a strategy needs, preparing, the first choice. Memory: the peak of a process of "
        f"its own, mapped files and {comparison.base_bytes / 1e6:,.0f} MB of Python and packages included."
    )
    if line := simulated({comparison.corpus: comparison.label}):
        lines.append(line)
    return lines


def overlap_of(comparison: Comparison) -> str:
    """Return what a Jaccard index is, and what it is for choices that have nothing to do with each other."""
    chance = f"{comparison.by_chance:.2g}"
    return f"cells chosen by both over cells chosen by either; {chance} for choices independent of each other"


def comparison_table(comparison: Comparison) -> pl.DataFrame:
    """Return a comparison as one row for each strategy, seed and measure, and for each pair of strategies.

    Returns
    -------
    DataFrame
        strategy, outcome, reason, seed, measure, other (of a pair), value. A share is a number from 0 to 1.
        The measure of a pair is jaccard, its seed null: the mean over the seeds.
    """
    rows: list[dict[str, Any]] = []
    for each in comparison.compared:
        start = {"strategy": each.strategy, "outcome": each.outcome, "reason": each.reason or None}
        if each.by_seed is None:
            rows.append(start)
        rows += [
            start | {"seed": seed, "measure": measure, "value": value}
            for seed, values in (each.by_seed or {}).items()
            for measure in MEASURES
            if (value := values.get(measure)) is not None
        ]
    names = [each.strategy for each in comparison.ran]
    rows += [
        {"strategy": a, "outcome": "ok", "measure": "jaccard", "other": b, "value": comparison.jaccard[i, j]}
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if i != j
    ]
    text, number = pl.String, pl.Float64
    schema = {
        "strategy": text,
        "outcome": text,
        "reason": text,
        "seed": pl.Int64,
        "measure": text,
        "other": text,
        "value": number,
    }
    return pl.DataFrame(rows, schema=schema)


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON knows it."""
    names = [each.strategy for each in comparison.ran]
    return {
        "corpus": comparison.corpus,
        "n_corpus": comparison.n_corpus,
        "n_available": comparison.n_available,
        "n_cells": comparison.n_cells,
        "fraction": comparison.fraction,
        "seeds": list(comparison.seeds),
        "embedding": comparison.embedding,
        "radius": comparison.radius,
        "n_probes": comparison.n_probes,
        "n_rare": comparison.n_rare,
        "rare_share": comparison.rare_share,
        "rare_below": comparison.rare_below,
        "task": comparison.task,
        "task_share": comparison.task_share,
        "base_bytes": comparison.base_bytes,
        "strategies": [
            {
                "strategy": each.strategy,
                "outcome": each.outcome,
                "reason": each.reason or None,
                "measures": {name: value for name in MEASURES if (value := each.mean(name)) is not None},
                "by_seed": {str(seed): values for seed, values in (each.by_seed or {}).items()},
            }
            for each in comparison.compared
        ],
        "jaccard": {
            a: {b: float(comparison.jaccard[i, j]) for j, b in enumerate(names)} for i, a in enumerate(names)
        },
        "jaccard_by_chance": comparison.by_chance,
    }


def short(strategy: str) -> str:
    """Return the name of a strategy, cut where it is too long for a table."""
    return strategy if len(strategy) <= LONGEST else f"{strategy[: LONGEST - 1]}…"


def _measures(comparison: Comparison) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold cyan", expand=False)
    table.add_column("\nstrategy", overflow="fold")
    names = comparison.measures
    for name in names:
        table.add_column(MEASURES[name].heading, justify="right", no_wrap=True)
    for each in comparison.ran:
        table.add_row(
            Text(short(each.strategy), style="bold"),
            *(MEASURES[name].text(each.mean(name)) for name in names),
        )
    return table


def _overlaps(comparison: Comparison) -> Table:
    table = Table(
        box=None,
        padding=(0, 2, 0, 0),
        header_style="bold cyan",
        expand=False,
        caption=overlap_of(comparison),
        caption_justify="left",
    )
    table.add_column("Jaccard", no_wrap=True)
    for at in range(len(comparison.ran)):
        table.add_column(f"{at + 1}", justify="right", no_wrap=True)
    for at, each in enumerate(comparison.ran):
        cells = [
            "·" if at == other else _index(float(value)) for other, value in enumerate(comparison.jaccard[at])
        ]
        table.add_row(f"{at + 1:>2} {short(each.strategy)}", *cells)
    return table


def _index(value: float) -> str:
    return f"{value:.3f}".removeprefix("0") if value < 1 else "1"
