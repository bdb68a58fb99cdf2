"""What a sweep will take: cells, hours, cost, from rates measured here or stated in the grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.build.bytes_read import NONZEROS_PER_CELL
from curate.rates import DEFAULTS, own_rate
from curate.train.models.network import Network
from curate.train.models.settings import NetworkSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from curate.evaluate.sweep.grid import Grid
    from curate.evaluate.sweep.jobs import Job
    from curate.train.models.model import Model
    from curate.train.models.settings import Settings

SHARDS = "shards"


def n_training(grid: Grid, n_cells: int) -> int:
    """Return how many of the cells of a subset are for training."""
    ratios = grid.split.ratios
    return round(n_cells * ratios[0] / sum(ratios))


def cells_trained_on(
    kind: type[Model], settings: Settings, limits: Mapping[str, float | None], n_train: int
) -> float | None:
    """Return how many cells a training sees at most, one twice counted twice; None where time ends it."""
    max_cells, max_steps = limits["max_cells"], limits["max_steps"]
    if not issubclass(kind, Network) or not isinstance(settings, NetworkSettings):
        return float(n_train if max_cells is None else min(n_train, max_cells))
    if all(each is None for each in limits.values()):
        return float(settings.max_epochs * n_train)
    most = [max_cells, None if max_steps is None else max_steps * settings.batch_size]
    return min((each for each in most if each is not None), default=None)


@dataclass(frozen=True)
class Speeds:
    """How fast each kind of work goes: stated in the grid, measured in the workspace, or a default.

    Attributes
    ----------
    stated
        Units a second, by kind of work.
    """

    stated: Mapping[str, float]
    root: Path | None

    def per_s(self, work: str) -> float | None:
        """Return the units a second of a kind of work; None where nothing is known of it."""
        if work in self.stated:
            return self.stated[work]
        rate = own_rate(self.root, work)
        if rate is None and work == SHARDS:
            return DEFAULTS["read"].per_s / NONZEROS_PER_CELL
        if rate is None:
            rate = DEFAULTS.get(work.split()[0])
        return None if rate is None else rate.per_s

    def seconds(self, job: Job) -> float | None:
        """Return how long a job will take at most; None where that is not known."""
        per_s = self.per_s(job.work)
        if job.amount == 0:
            return 0.0
        needed = None if per_s is None or job.amount is None else job.amount / per_s
        return min((each for each in (needed, job.limit_s) if each is not None), default=None)


@dataclass(frozen=True)
class Hours:
    """How long jobs will take, one after the other.

    Attributes
    ----------
    known_s
        Of those of which it is known.
    unknown
        Kinds of work of which it is not, and how many jobs of each.
    """

    known_s: float
    unknown: dict[str, int]


def expected(jobs: Iterable[Job], speeds: Speeds) -> Hours:
    """Add up how long jobs will take."""
    known, unknown = 0.0, dict[str, int]()
    for job in jobs:
        seconds = speeds.seconds(job)
        if seconds is None:
            unknown[job.work] = unknown.get(job.work, 0) + 1
        else:
            known += seconds
    return Hours(known, unknown)
