"""The table of a benchmark: printed, and kept as Markdown under benchmarks/results/."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS_PATH = Path(__file__).parent / "results"
HEADINGS = ("", "ours", "peer", "ratio", "target", "met")


@dataclass(frozen=True)
class Row:
    """One measurement: `met` is None where there is no target."""

    what: str
    ours: str
    peer: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """The texts of the row, under HEADINGS."""
        met = "" if self.met is None else ("yes" if self.met else "NO")
        return (self.what, self.ours, self.peer, self.ratio, self.target, met)


def report(name: str, title: str, rows: Sequence[Row], *, notes: Sequence[str] = ()) -> None:
    """Print a table and keep it in benchmarks/results/NAME.md.

    Parameters
    ----------
    notes
        One line each, under the table: what the peer is, what was left out.
    """
    table = _aligned([HEADINGS, *(row.fields for row in rows)])
    # The last part of a path: where things lie is another matter on every machine.
    command = shlex.join(["python", "-m", "benchmarks", *(Path(each).name for each in sys.argv[1:])])
    lines = [f"## {title}", "", f"`{command}`", "", *table, ""]
    lines += [*(f"- {note}" for note in notes), *([""] if notes else []), f"Machine: {Machine.here()}.", ""]
    text = "\n".join(lines)
    click.echo(text)
    RESULTS_PATH.mkdir(exist_ok=True)
    (RESULTS_PATH / f"{name}.md").write_text(text)


def seconds(value: float) -> str:
    """Write seconds with three figures."""
    return f"{value:.3g} s" if value < 100 else f"{value:.0f} s"


def gigabytes(n_bytes: float) -> str:
    """Write bytes as 10^9 bytes."""
    return f"{n_bytes / 1e9:.2f} GB"


def times(peer: float, ours: float) -> str:
    """Write how many times faster (or smaller) ours is than the peer."""
    return f"{peer / ours:.3g} x"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    lines = ["| " + " | ".join(f"{t:<{w}}" for t, w in zip(row, widths, strict=True)) + " |" for row in rows]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
