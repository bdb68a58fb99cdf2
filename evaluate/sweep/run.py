"""Run a sweep: go on from what is there, job after job, until nothing is left that can be done.

1. the sweep is locked, its grid and plan are written down;
2. what earlier runs have finished, and is still there, is not done again;
3. jobs are given to the crew as soon as what they need is done; each event is journalled;
4. counts that nothing needs any more are removed;
5. results stand in one table.
"""

from __future__ import annotations

import shutil
import time
from bisect import insort
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from curate.atomic import atomic_file
from curate.evaluate.sweep.crew import local_crew
from curate.evaluate.sweep.estimate import SHARDS
from curate.evaluate.sweep.folder import SHARDS_NAME, sweep_folder
from curate.evaluate.sweep.journal import Journal
from curate.evaluate.sweep.standing import blocked_by, is_there
from curate.evaluate.sweep.table import assemble, refuse_other_rows
from curate.rates import keep_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from curate.evaluate.sweep.crew import Crew, Outcome
    from curate.evaluate.sweep.folder import SweepFolder
    from curate.evaluate.sweep.jobs import Job
    from curate.evaluate.sweep.plan import Plan
    from curate.workspace import Workspace

TRIES: Final = 2
"""A job whose worker dies is given to another once more."""
LOOK_AHEAD: Final = 64
WAIT_S: Final = 0.5
ASSEMBLE_S: Final = 60.0
INTERMEDIATE: Final = ("overlap", "leakage", "shards")
"""Kinds of jobs that are done only where something needs them."""


@dataclass(frozen=True)
class Ended:
    """What a run has done.

    Attributes
    ----------
    n_done, n_failed
        Jobs that this run has finished, and that it has seen fail.
    n_found
        Jobs that were finished before, and were not done again.
    n_blocked
        Jobs that wait for one that has failed.
    failures
        Lines of those that failed, of this run and earlier ones.
    """

    folder: SweepFolder
    n_done: int
    n_found: int
    n_failed: int
    n_blocked: int
    failures: tuple[str, ...]
    n_rows: int


def run(
    plan: Plan,
    workspace: Workspace,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    retry_failed: bool = False,
    tell: Callable[[str], None] = lambda line: None,
    watch: Callable[[Mapping[str, Any]], AbstractContextManager[Callable[[Job], None]]] | None = None,
    source: Path | None = None,
    hire: Callable[[SweepFolder, int], AbstractContextManager[Crew]] | None = None,
) -> Ended:
    """Run a sweep, or go on with it.

    Parameters
    ----------
    workers
        Processes of this machine.
    scheduler
        Address of a Dask scheduler instead, whose workers see the workspace at the same path.
    retry_failed
        Try again what has failed in earlier runs.
    tell
        Called with a line for each job that fails.
    watch
        Shows how it goes on: ``(jobs to do, by key) -> context of a function to call with each that ended``.
    source
        The file of the grid, to keep a copy of.
    hire
        Opens another crew: ``(folder, descriptor of the lock) -> context of it``.

    Raises
    ------
    SweepError
        When something that the grid names is not here, or another run is at work on the sweep.
    ScheduleError
        When the Dask scheduler cannot be used.
    """
    plan.settled.refuse_absent()
    folder = sweep_folder(workspace, plan.grid.name)
    # 1. Locked, and written down.
    with folder.locked() as lock:
        refuse_other_rows(folder)
        with Journal(folder.journal_path) as journal:
            plan.document.save(folder.plan_path)
            if source is not None:
                with atomic_file(folder.grid_path) as aside:
                    shutil.copyfile(source, aside)
            if hire is None:
                hire = _hiring(workspace.root, workers, scheduler, keep_shards=plan.grid.keep_shards)
            with hire(folder, lock) as crew:
                journal.add("run", workers=crew.n_workers)
                return _Run(plan, workspace, folder, journal, crew, retry_failed, tell).to_the_end(watch)


def _hiring(
    root: Path, workers: int, scheduler: str | None, *, keep_shards: bool
) -> Callable[[SweepFolder, int], AbstractContextManager[Crew]]:
    def hire(folder: SweepFolder, lock: int) -> AbstractContextManager[Crew]:
        if scheduler is None:
            return local_crew(workers, root, folder, keep_shards=keep_shards, lock=lock)
        from curate.evaluate.sweep.dask_crew import dask_crew

        return dask_crew(scheduler, root, folder, keep_shards=keep_shards)

    return hire


@dataclass(eq=False)
class _Run:
    """A run under way.

    Attributes
    ----------
    todo
        Jobs that are neither finished nor given up, by key.
    waiting
        For each of them, what it still needs.
    ready
        Numbers of those that need nothing more, ascending.
    rooms, last_like
        What each worker does, and what it had read last.
    times
        Amount and seconds of what was done, by kind of work.
    noticed
        Data set and text of notices that were told.
    """

    plan: Plan
    workspace: Workspace
    folder: SweepFolder
    journal: Journal
    crew: Crew
    retry_failed: bool
    tell: Callable[[str], None]
    todo: dict[str, Job] = field(default_factory=dict)
    waiting: dict[str, set[str]] = field(default_factory=dict)
    ready: list[int] = field(default_factory=list)
    rooms: dict[str, Job] = field(default_factory=dict)
    last_like: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    needed_by: dict[str, list[str]] = field(default_factory=dict)
    times: dict[str, tuple[float, float]] = field(default_factory=dict)
    noticed: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.jobs = {job.key: job for job in self.plan.jobs.in_order}
        self.numbers = {key: number for number, key in enumerate(self.jobs)}
        self.n_done = self.n_failed = 0
        self.assembled = time.monotonic()

    def to_the_end(
        self, watch: Callable[[Mapping[str, Any]], AbstractContextManager[Callable[[Job], None]]] | None
    ) -> Ended:
        """Do what can be done."""
        # 2. What is there.
        self._find_todo()
        asked = {key for key, job in self.jobs.items() if job.kind not in INTERMEDIATE}
        n_found = len(asked - set(self.todo) - self.given_up)
        watched = watch(self.todo) if watch is not None else nullcontext(lambda job: None)
        try:
            with watched as advance:
                # 3. Job after job.
                while self._give():
                    for outcome in self.crew.wait(WAIT_S):
                        job = self._take(outcome)
                        if job is not None:
                            advance(job)
                            if job.kind == "train":
                                # 4. Counts that nothing needs.
                                self._release()
                    self._assemble_now_and_then()
        finally:
            # 5. One table, of a run that was stopped too.
            table = assemble(self.folder, self.plan.document)
        self._release()
        self.journal.add("ended")
        self._keep_rates()
        failed = self.journal.progress.failed
        return Ended(
            folder=self.folder,
            n_done=self.n_done,
            n_found=n_found,
            n_failed=self.n_failed,
            n_blocked=len(blocked_by(set(failed), self.plan.document.jobs)),
            failures=tuple(
                f"{job.called}: {failed[key].error}" for key, job in self.jobs.items() if key in failed
            ),
            n_rows=table.height,
        )

    def _find_todo(self) -> None:
        """Find what is to be done: what is asked for and not there, and what that needs."""
        progress = self.journal.progress
        if not self.retry_failed:
            failed = set(progress.failed) & set(self.jobs)
            self.given_up = failed | set(blocked_by(failed, self.plan.document.jobs))
        seen: set[str] = set()
        wanted = [key for key, job in self.jobs.items() if job.kind not in INTERMEDIATE]
        while wanted:
            key = wanted.pop()
            if key in seen or key in self.given_up:
                continue
            seen.add(key)
            job, held = self.jobs[key], progress.done.get(key)
            if held is None or not is_there(job.kind, key, held, self.folder, self.workspace):
                self.todo[key] = job
                wanted += job.needs
        self.todo = {key: job for key, job in self.jobs.items() if key in self.todo}
        for key, job in self.todo.items():
            self.waiting[key] = {need for need in job.needs if need in self.todo}
            for need in self.waiting[key]:
                self.needed_by.setdefault(need, []).append(key)
            if not self.waiting[key]:
                self.ready.append(self.numbers[key])
        self._release()

    def _give(self) -> bool:
        """Give jobs to those who have nothing to do; return whether any is being done."""
        for room in self.crew.rooms:
            self.rooms.pop(room, None)
            if not self.ready:
                continue
            job = self._choose(room)
            self.ready.remove(self.numbers[job.key])
            self.rooms[room] = job
            self.last_like[room] = job.like
            done = self.journal.progress.done
            payload = {
                "key": job.key,
                "kind": job.kind,
                "called": job.called,
                "spec": job.spec,
                "inputs": {need: done[need] for need in job.needs if need in done},
            }
            self.journal.add("started", job.key, worker=room)
            self.crew.submit(room, payload)
        return bool(self.rooms)

    def _choose(self, room: str) -> Job:
        """Return the first job that is ready; sooner one of which this worker, and no other, has the data."""
        near = [self.plan.jobs.in_order[number] for number in self.ready[:LOOK_AHEAD]]
        others = [job.like for name, job in self.rooms.items() if name != room]
        mine = (job for job in near if job.like == self.last_like.get(room))
        nobodys = (job for job in near if job.like not in others)
        return next(mine, next(nobodys, near[0]))

    def _take(self, outcome: Outcome) -> Job | None:
        """Write down what has come of a job; return it when it has ended, for better or worse."""
        job, journal = self.jobs[outcome.key], self.journal
        if outcome.died:
            journal.add("died", job.key, error=outcome.error)
            if journal.progress.n_died[job.key] < TRIES:
                self.tell(f"{job.called}: {outcome.error}; it is tried once more")
                insort(self.ready, self.numbers[job.key])
                return None
        if outcome.result is None:
            twice = f", {TRIES} times" if outcome.died else ""
            self.n_failed += 1
            journal.add(
                "failed", job.key, error=outcome.error + twice, log=outcome.log, seconds=outcome.seconds
            )
            self.tell(f"failed: {job.called}: {outcome.error}{twice}")
            self.todo.pop(job.key)
            for key in blocked_by({job.key}, self.plan.document.jobs):
                self.todo.pop(key, None)
            return job
        self.n_done += 1
        journal.add("done", job.key, result=outcome.result, seconds=outcome.seconds)
        if job.kind == "baselines":
            # What is to be said of the data, once.
            for notice in outcome.result.get("notices", ()):
                if (job.spec["dataset"], notice) not in self.noticed:
                    self.noticed.add((job.spec["dataset"], notice))
                    self.tell(f"notice: {job.called}: {notice}")
        self.todo.pop(job.key)
        self._remember(job, outcome)
        for key in self.needed_by.get(job.key, ()):
            self.waiting[key].discard(job.key)
            if not self.waiting[key] and key in self.todo:
                insort(self.ready, self.numbers[key])
        return job

    def _release(self) -> None:
        """Remove counts in the folder of the sweep that no job to do needs."""
        if not self.folder.shards_path.is_dir():
            return
        chosen = {job.spec["manifest"] for job in self.todo.values() if job.kind in ("shards", "train")}
        results = self.journal.progress.done
        kept = [results[key]["id"][:SHARDS_NAME] for key in chosen if key in results]
        for path in self.folder.shards_path.iterdir():
            # What a killed run has begun to write bears the name too, between other letters.
            if not any(name in path.name for name in kept):
                shutil.rmtree(path, ignore_errors=True)

    def _remember(self, job: Job, outcome: Outcome) -> None:
        """Keep how long work took that was done now, for the estimates of other sweeps."""
        held, root = outcome.result or {}, self.workspace.root
        if job.kind == "train":
            if held["is_new"] and held["n_cells"] and held["fit_seconds"] > 0:
                keep_rate(root, job.work, held["n_cells"], held["fit_seconds"], unit="cells")
        elif job.kind in ("shards", "baselines", "evaluate") and job.amount:
            amount, seconds = self.times.get(job.work, (0.0, 0.0))
            taken = held.get("evaluation_seconds", outcome.seconds)
            self.times[job.work] = (amount + job.amount, seconds + taken)

    def _keep_rates(self) -> None:
        for work, (amount, seconds) in self.times.items():
            if seconds > 0:
                unit = "cells" if work == SHARDS else "evaluations"
                keep_rate(self.workspace.root, work, amount, seconds, unit=unit)

    def _assemble_now_and_then(self) -> None:
        if time.monotonic() - self.assembled > ASSEMBLE_S:
            start = time.monotonic()
            assemble(self.folder, self.plan.document)
            # Never more than a twentieth of the time.
            self.assembled = time.monotonic() + max(0, 20 * (time.monotonic() - start) - ASSEMBLE_S)
