"""How a sweep stands, while it runs and after: counts, failures, what is being done, how long it may take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from curate.evaluate.sweep.journal import read_journal
from curate.evaluate.sweep.plan import read_plan
from curate.evaluate.sweep.standing import blocked_by

if TYPE_CHECKING:
    from collections.abc import Iterable

    from curate.evaluate.sweep.folder import SweepFolder
    from curate.evaluate.sweep.journal import Progress
    from curate.evaluate.sweep.plan import JobRecord

TITLES: Final = {
    "manifest": "manifests",
    "train": "models",
    "baselines": "baselines",
    "evaluate": "evaluations",
}
"""Kinds of jobs that are asked for, as they are called."""


@dataclass(frozen=True)
class Counts:
    """How many jobs of a kind stand how."""

    n: int
    n_done: int
    n_running: int
    n_failed: int
    n_blocked: int

    @property
    def n_waiting(self) -> int:
        """Those that nothing has become of yet."""
        return self.n - self.n_done - self.n_running - self.n_failed - self.n_blocked


@dataclass(frozen=True)
class Failed:
    """A job that has failed, and how many wait for it."""

    called: str
    error: str
    log: str
    n_blocked: int


@dataclass(frozen=True)
class Running:
    """A job that is being done."""

    called: str
    seconds: float


@dataclass(frozen=True)
class Status:
    """How a sweep stands.

    Attributes
    ----------
    is_running
        Whether a run is at work.
    counts
        By kind, of what is asked for.
    left_s
        Seconds that the rest may take, by what was done so far; None where nothing tells.
    n_again
        Jobs that were done more than once: only where what they had made was removed.
    """

    name: str
    is_running: bool
    is_ended: bool
    workers: int
    counts: dict[str, Counts]
    running: tuple[Running, ...]
    failed: tuple[Failed, ...]
    left_s: float | None
    n_runs: int
    n_again: int

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        return {
            "name": self.name,
            "is_running": self.is_running,
            "is_ended": self.is_ended,
            "workers": self.workers,
            "n_runs": self.n_runs,
            "n_again": self.n_again,
            "left_s": self.left_s,
            "counts": {
                TITLES[kind]: {**vars(each), "n_waiting": each.n_waiting}
                for kind, each in self.counts.items()
            },
            "running": [vars(each) for each in self.running],
            "failed": [vars(each) for each in self.failed],
        }


def status(folder: SweepFolder) -> Status:
    """Return how a sweep stands.

    Raises
    ------
    SweepError
        When there is no sweep, or its plan or journal is damaged or of another format.
    """
    plan, progress = read_plan(folder), read_journal(folder.journal_path)
    is_running = folder.is_running
    jobs = {job.key: job for job in plan.jobs}
    failed = {key for key in progress.failed if key in jobs}
    causes = blocked_by(failed, plan.jobs)
    running = {key: at for key, at in progress.running.items() if key in jobs and is_running}
    kinds = {kind: {job.key for job in plan.jobs if job.kind == kind} for kind in TITLES}
    now = datetime.now(UTC)
    workers = progress.runs[-1][1] if progress.runs else 1
    return Status(
        name=folder.path.name,
        is_running=is_running,
        is_ended=progress.is_ended and not is_running,
        workers=workers,
        counts={kind: _counts(keys, progress, set(running), failed, causes) for kind, keys in kinds.items()},
        running=tuple(Running(jobs[key].called, (now - at).total_seconds()) for key, at in running.items()),
        failed=tuple(
            Failed(
                jobs[key].called,
                progress.failed[key].error,
                progress.failed[key].log,
                sum(cause == key for cause in causes.values()),
            )
            for key in jobs
            if key in failed
        ),
        left_s=_left(plan.jobs, progress, {*failed, *causes}, workers),
        n_runs=len(progress.runs),
        n_again=sum(n - 1 for key, n in progress.n_done.items() if key in jobs and jobs[key].kind in TITLES),
    )


def _counts(
    keys: set[str], progress: Progress, running: set[str], failed: set[str], causes: dict[str, str]
) -> Counts:
    return Counts(
        n=len(keys),
        n_done=len(keys & set(progress.done) - failed - running),
        n_running=len(keys & running),
        n_failed=len(keys & failed),
        n_blocked=len(keys & set(causes) - set(progress.done)),
    )


def _left(jobs: Iterable[JobRecord], progress: Progress, given_up: set[str], workers: int) -> float | None:
    """Return how long what is left may take: at the mean speed of such work so far, else as planned."""
    held = list(jobs)
    amounts: dict[str, float] = {}
    times: dict[str, float] = {}
    for job in held:
        if job.key in progress.seconds:
            amounts[job.work] = amounts.get(job.work, 0) + (job.amount or 1)
            times[job.work] = times.get(job.work, 0) + progress.seconds[job.key]
    left = [job for job in held if job.key not in progress.done and job.key not in given_up]
    trained = {job.key for job in held if job.kind == "train" and job.key in progress.done}
    needing = {need for job in left if job.key not in trained for need in job.needs}
    total = 0.0
    for job in left:
        if job.kind not in TITLES and job.key not in needing:
            continue
        if job.work in times:
            total += times[job.work] / amounts[job.work] * (job.amount or 1)
        elif job.expected_s is not None:
            total += job.expected_s
        else:
            return None
    return total / workers
