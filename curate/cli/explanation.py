"""How commands print what `--explain` found out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.build.explain import Explanation, Line


def show(explanations: Sequence[Explanation], *, as_json: bool) -> None:
    """Print explanations as JSON or as tables."""
    if as_json:
        click.echo(json.dumps([each.to_json() for each in explanations], indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for each in explanations:
        table = Table(box=None, show_header=False, title=each.title, title_justify="left", title_style="bold")
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, justify="right")
        table.add_column(style="dim", overflow="fold")
        for line in each.lines:
            table.add_row(
                line.name, amount(line), f"estimate: {line.source}" if line.is_estimate else line.source
            )
        console.print(table, highlight=False)
        if each.notice:
            console.print(f"notice: {each.notice}", highlight=False)


def amount(line: Line) -> str:
    """Return the value of a line with its unit, estimates marked by ≈."""
    about = "≈ " if line.is_estimate else ""
    value = line.value
    if isinstance(value, str):
        return about + value
    if line.unit == "bytes":
        return about + _scaled(value, 1000, ("B", "kB", "MB", "GB", "TB", "PB"))
    if line.unit == "s" and value < 1:
        return "less than a second"
    if line.unit == "s":
        return about + (
            f"{value:.2g} s"
            if value < 100
            else f"{value / 60:,.0f} min"
            if value < 6000
            else f"{value / 3600:,.1f} h"
        )
    text = f"{value:,.0f}" if line.unit else f"{value:,.4g}"
    return f"{about}{text} {line.unit}".rstrip()


def _scaled(value: float, step: int, units: Sequence[str]) -> str:
    for unit in units[:-1]:
        if abs(value) < step:
            return f"{value:.3g} {unit}"
        value /= step
    return f"{value:,.3g} {units[-1]}"
