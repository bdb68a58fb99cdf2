"""The table of a benchmark: printed, and kept under benchmarks/results/ for RESULTS.md."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Load average (1 minute) when the process started: another's work makes wall times too long.
LOAD = os.getloadavg()[0]
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


@dataclass(frozen=True)
class Table:
    """What one run of a benchmark found, and how."""

    title: str
    command: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    machine: str
    measured: str
    load: float

    @classmethod
    def read(cls, path: Path) -> Table:
        """Read what `report` kept."""
        held = json.loads(path.read_text())
        rows = tuple(Row(**row) for row in held.pop("rows"))
        return cls(**held | {"rows": rows, "notes": tuple(held["notes"])})

    def markdown(self) -> str:
        """Return the table with its heading, command and notes."""
        lines = [f"## {self.title}", "", f"`{self.command}`", ""]
        lines += [*_aligned([HEADINGS, *(row.fields for row in self.rows)]), ""]
        lines += [
            *(f"- {note}" for note in self.notes),
            f"- {self.measured}, load {self.load:.2f} at the start",
        ]
        return "\n".join([*lines, ""])


def report(name: str, title: str, rows: Sequence[Row], *, notes: Sequence[str] = ()) -> None:
    """Print a table and keep it as benchmarks/results/NAME.json.

    Parameters
    ----------
    notes
        One line each, under the table: what the peer is, what was left out.
    """
    table = Table(
        title=title,
        # The last part of a path: where things lie is another matter on every machine.
        command=shlex.join(["python", "-m", "benchmarks", *(Path(each).name for each in sys.argv[1:])]),
        rows=tuple(rows),
        notes=tuple(notes),
        machine=str(Machine.here()),
        measured=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        load=LOAD,
    )
    click.echo(f"{table.markdown()}\nMachine: {table.machine}.")
    RESULTS_PATH.mkdir(exist_ok=True)
    (RESULTS_PATH / f"{name}.json").write_text(json.dumps(asdict(table), indent=1))


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
