"""A sweep on disk, and the lock that keeps two runs of it apart.

::

    <workspace>/sweeps/<name>/
        grid.toml            the document as it was last run
        plan.json            its jobs and numbers
        journal.jsonl        what has become of each job
        rows/<job>.parquet   results of one model, or of baselines, on a task and a data set
        results.parquet      all of them, one tidy table
        logs/                what workers wrote beside their results
        shards/, overlap/    what models and manifests of the sweep are made from
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.errors import SweepError
from curate.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from curate.workspace import Workspace

FOLDER = "sweeps"
SHARDS_NAME = 32
"""Digits of a manifest's id that name its shards in the folder of a sweep."""
WAIT_S = 15.0
"""How long a run waits for the workers of one that was killed: they end when they notice."""


@dataclass(frozen=True)
class SweepFolder:
    """Where things of a sweep lie."""

    path: Path

    @property
    def grid_path(self) -> Path:
        """The document as it was last run."""
        return self.path / "grid.toml"

    @property
    def plan_path(self) -> Path:
        """Its jobs and numbers."""
        return self.path / "plan.json"

    @property
    def journal_path(self) -> Path:
        """What has become of each job."""
        return self.path / "journal.jsonl"

    @property
    def results_path(self) -> Path:
        """All results, one table."""
        return self.path / "results.parquet"

    @property
    def logs_path(self) -> Path:
        """What workers wrote beside their results."""
        return self.path / "logs"

    @property
    def shards_path(self) -> Path:
        """Shards that go when they were used."""
        return self.path / "shards"

    def rows_path(self, key: str) -> Path:
        """The results of one job."""
        return self.path / "rows" / f"{key}.parquet"

    def overlap_path(self, key: str) -> Path:
        """What of the evaluation data the corpus, or a subset, holds."""
        return self.path / "overlap" / key

    @property
    def is_running(self) -> bool:
        """Whether a run is at work on it."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            return not _taken(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Keep other runs away; yield the descriptor of the lock, for workers to hold too.

        Raises
        ------
        SweepError
            When another run is at work on it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            deadline = time.monotonic() + WAIT_S
            while not _taken(descriptor):
                if _is_alive(_pid(descriptor)) or time.monotonic() > deadline:
                    raise SweepError(
                        f"another run is at work on sweep {self.path.name} (process {_pid(descriptor)}); "
                        f"wait for it, stop it, or see `curate sweep status {self.path.name}`"
                    )
                time.sleep(0.05)
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield descriptor
        finally:
            os.close(descriptor)


def sweep_folder(workspace: Workspace, name: str) -> SweepFolder:
    """Return where a sweep of this name lies, or will lie."""
    return SweepFolder(workspace.root / FOLDER / name)


def find_sweep(workspace: Workspace, name: str | None = None) -> SweepFolder:
    """Return a sweep that was run; without a name the one that was run last.

    Raises
    ------
    SweepError
        When there is none, naming the nearest.
    """
    journals = sorted(
        (workspace.root / FOLDER).glob("*/journal.jsonl"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    names = [path.parent.name for path in journals]
    if not names:
        raise SweepError(f"{workspace.root} holds no sweep; run one with `curate sweep run GRID.toml`")
    if name is not None and name not in names:
        raise SweepError(f"no sweep named {name!r}; {nearest(name, names)}")
    return sweep_folder(workspace, name or names[0])


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without locks: nothing is known of other runs.
        return True
    return True


def _pid(descriptor: int) -> int:
    try:
        return int(os.pread(descriptor, 32, 0) or b"0")
    except ValueError:
        return 0


def _is_alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
