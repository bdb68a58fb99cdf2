"""How fast commands ran here: measured by the runs themselves, kept in the workspace, for estimates of time.

``rates.json`` beside curate.toml holds, for each kind of work, the last run that tells something. Where there
is none, a stated default stands in.
"""

from __future__ import annotations

import os
import platform
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationError

from curate.atomic import atomic_file
from curate.documents import Document
from curate.errors import WriteError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RATES_FILE = "rates.json"
NEGLIGIBLE = 0.1
"""A run of less than this share of the amount of the one on record tells less than that, and is not kept."""


class Rate(Document):
    """An amount of work, and how long it took.

    Attributes
    ----------
    amount, unit
        Such as 22,189,056 cells.
    seconds
        Wall time.
    source
        The machine, or where a default comes from.
    measured
        When; None for a default.
    """

    amount: float = Field(gt=0)
    unit: str
    seconds: float = Field(gt=0)
    source: str
    measured: datetime | None = None

    @property
    def per_s(self) -> float:
        """Units a second."""
        return self.amount / self.seconds


class Rates(Document):
    """The content of rates.json: kind of work, such as "embed" or "build random", to its rate."""

    format: Literal[1] = 1
    rates: dict[str, Rate] = Field(default_factory=dict)


_LOCAL = "default: a local store in the page cache, 19,331 genes, 2,100 non-zeros a cell, on 2 cores"
_RANDOM = Rate(
    amount=22_189_056, unit="cells", seconds=6, source="default: random, 22.2 million cells on 2 cores"
)
DEFAULTS: dict[str, Rate] = {
    # 240,000 cells fitted on 24,576, and 16,384 cells read blockwise; from a disk or a network it is less.
    "embed": Rate(amount=608e6, unit="non-zeros", seconds=13.5, source=_LOCAL),
    "read": Rate(amount=34.4e6, unit="non-zeros", seconds=0.66, source=_LOCAL),
    "corpus build": Rate(
        amount=4.5e6, unit="cells", seconds=1, source="default: reading obs columns raw on 2 cores"
    ),
    "leakage": Rate(
        amount=1e6, unit="cells", seconds=100, source="default: 1 million cells read and compared, on 2 cores"
    ),
    "build": _RANDOM,
    "build random": _RANDOM,
    "dedup": Rate(
        amount=1e6, unit="cells", seconds=17, source="default: a million cells x 50, none dropped, on 2 cores"
    ),
    "build facility": Rate(
        amount=1e6, unit="cells", seconds=22, source="default: a million cells x 50, 1 %, on 2 cores"
    ),
    "build sketch": Rate(
        amount=22_189_056, unit="cells", seconds=41, source="default: 22.2 million cells x 50, on 2 cores"
    ),
    "build coreset": Rate(
        amount=22_189_056, unit="cells", seconds=91, source="default: 1 % of 22.2 million x 50, on 2 cores"
    ),
    "build herding": Rate(
        amount=22_189_056, unit="cells", seconds=35, source="default: 22.2 million cells x 50, on 2 cores"
    ),
    "build leverage": Rate(
        amount=22_189_056, unit="cells", seconds=18, source="default: 22.2 million cells x 50, on 2 cores"
    ),
    "build density": Rate(
        amount=22_189_056, unit="cells", seconds=162, source="default: 22.2 million cells x 50, on 2 cores"
    ),
    "build target": Rate(
        amount=22_189_056, unit="cells", seconds=20, source="default: 22.2 million cells x 50, on 2 cores"
    ),
}


def this_machine() -> str:
    """Return the name of the machine and its cores."""
    return f"{platform.node() or 'this machine'} ({os.cpu_count() or 1} cores)"


def rate_of(root: Path, work: str) -> Rate:
    """Return the rate of a kind of work: measured in this workspace, else the default of its first word.

    Parameters
    ----------
    work
        Such as "embed" or "build random".
    """
    found = _load(root).rates.get(work)
    return found or DEFAULTS.get(work) or DEFAULTS[work.split()[0]]


def own_rate(root: Path | None, work: str) -> Rate | None:
    """Return the rate of exactly this kind of work, measured in the workspace or a stated default.

    None where there is neither: `rate_of` then takes that of a like kind.
    """
    found = _load(root).rates.get(work) if root is not None else None
    return found or DEFAULTS.get(work)


@contextmanager
def measured(root: Path, work: str, amount: float, *, unit: str, is_whole: bool = True) -> Iterator[None]:
    """Time the block and keep its rate in the workspace, unless it fails or was too small to tell.

    Parameters
    ----------
    is_whole
        False where the block goes on from what an earlier run has done: its time is not that of a whole one.
    """
    start = time.perf_counter()
    yield
    if is_whole:
        keep_rate(root, work, amount, time.perf_counter() - start, unit=unit)


def keep_rate(root: Path, work: str, amount: float, seconds: float, *, unit: str) -> None:
    """Keep a rate in the workspace, unless the amount was too small to tell."""
    rates = _load(root).rates
    before = rates.get(work)
    machine = this_machine()
    if before is not None and before.source == machine and amount < NEGLIGIBLE * before.amount:
        return
    rate = Rate(
        amount=amount,
        unit=unit,
        seconds=seconds,
        source=machine,
        measured=datetime.now(UTC).replace(microsecond=0),
    )
    _save(root, Rates(rates=rates | {work: rate}))


def _load(root: Path) -> Rates:
    """Return what is on record; a file that cannot be read counts as none, as nothing depends on it."""
    try:
        return Rates.model_validate_json((root / RATES_FILE).read_text())
    except (OSError, ValidationError):
        return Rates()


def _save(root: Path, rates: Rates) -> None:
    try:
        with atomic_file(root / RATES_FILE) as aside:
            aside.write_text(rates.model_dump_json(indent=2) + "\n")
    except (WriteError, OSError):
        return  # what was measured is a convenience; the work itself is done
