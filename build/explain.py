"""What a command will read, hold and take, before it runs.

Every line says whether it is exact or an estimate, and where it comes from: the index of the corpus, the size
of the store, or a rate that a run in this workspace has measured (`curate.rates`). What each command says
stands in `explain_build.py`, `explain_embed.py`, `explain_content.py` and `leakage/explain.py`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from curate.build.bytes_read import NONZEROS_PER_CELL
from curate.rates import rate_of

if TYPE_CHECKING:
    from pathlib import Path

    from curate.build.bytes_read import CountsSize
    from curate.corpus import Corpus

BASE_BYTES = 350e6
"""Resident memory of the process itself: Python, numpy, polars, pyarrow."""

Unit = Literal["cells", "tiles", "bytes", "s", "non-zeros", ""]


@dataclass(frozen=True)
class Line:
    """One thing that is known before a command runs."""

    name: str
    value: float | str
    unit: Unit
    is_estimate: bool
    source: str


@dataclass(frozen=True)
class Explanation:
    """What is known before a command runs.

    Attributes
    ----------
    title
        What would be made.
    notice
        A promise that will not be kept, with the numbers; empty when there is none.
    """

    title: str
    lines: tuple[Line, ...]
    notice: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        return asdict(self)

    def value(self, name: str) -> float | str:
        """Return the value of the line with this name."""
        return next(line.value for line in self.lines if line.name == name)


def corpus_nonzeros(corpus: Corpus) -> tuple[float, float, str]:
    """Return the non-zeros of the cells of a corpus, those of a mean cell, and how they are known."""
    if "nnz" in corpus.header.columns:
        nnz = corpus.columns(["nnz"])["nnz"]
        if nnz.null_count() < len(nnz):
            total = float(nnz.sum())
            return total, total / corpus.n_cells, "nnz of the index, all genes of the store"
    total = NONZEROS_PER_CELL * corpus.n_cells
    return total, NONZEROS_PER_CELL, f"{NONZEROS_PER_CELL:,.0f} a cell, a usual mean: the index has no nnz"


def counts_line(name: str, n_tiles: float, size: CountsSize) -> Line:
    """Return a line of the counts in so many tiles."""
    source = f"{size.bytes_per_tile / 1e6:.3g} MB a tile, the mean; {size.source}"
    return Line(name, round(n_tiles * size.bytes_per_tile), "bytes", is_estimate=True, source=source)


def process_lines(
    root: Path, work: str, amount: float, unit: Unit, *, held_bytes: float, fixed_s: float = 0.0
) -> list[Line]:
    """Return memory, and time at the rate of the last run, else at the default one.

    Parameters
    ----------
    fixed_s
        What a run takes however few its cells; a rate that was measured here holds it already.
    """
    held_s = 0.0 if rate_of(root, work).measured else fixed_s
    rate = rate_of(root, work)
    when = f", {rate.measured:%Y-%m-%d}" if rate.measured else ""
    memory = round(BASE_BYTES + held_bytes)
    speed = f"{rate.per_s:,.3g} {unit}/s, {rate.source}{when}"
    return [
        Line("memory", memory, "bytes", is_estimate=True, source="the process, its arrays, mapped files"),
        Line("time", held_s + amount / rate.per_s, "s", is_estimate=True, source=speed),
    ]
