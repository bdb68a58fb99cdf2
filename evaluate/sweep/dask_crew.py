"""Dask workers as a crew: processes on this or other machines that see the same folders."""

from __future__ import annotations

import logging
import queue
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curate.errors import ScheduleError
from curate.evaluate.sweep.crew import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from curate.evaluate.sweep.folder import SweepFolder

CONNECT_S = 30.0


@dataclass(eq=False)
class DaskCrew:
    """Jobs given to a Dask scheduler, as many at a time as it has workers."""

    client: Any
    root: Path
    folder: SweepFolder
    keep_shards: bool
    n_workers: int
    _busy: set[str] = field(default_factory=set)
    _ended: queue.Queue[tuple[str, str, Any]] = field(default_factory=queue.Queue)

    @property
    def rooms(self) -> list[str]:
        """Names of the places for jobs; which worker one goes to, Dask decides."""
        return [name for name in map(str, range(self.n_workers)) if name not in self._busy]

    def submit(self, room: str, payload: Mapping[str, Any]) -> None:
        """Give a job to the scheduler."""
        self._busy.add(room)
        future = self.client.submit(
            dask_job, str(self.root), str(self.folder.path), self.keep_shards, dict(payload), pure=False
        )
        future.add_done_callback(lambda ended: self._ended.put((room, payload["key"], ended)))

    def wait(self, seconds: float) -> list[Outcome]:
        """Return what has come of jobs; wait so long at most for the first."""
        found: list[Outcome] = []
        try:
            while True:
                room, key, future = self._ended.get(timeout=0 if found else seconds)
                self._busy.discard(room)
                found.append(_outcome(key, future))
        except queue.Empty:
            return found


def dask_job(root: str, path: str, keep_shards: bool, payload: dict[str, Any]) -> dict[str, Any]:
    """Do a job in a Dask worker, which keeps its bench from job to job."""
    from curate.evaluate.sweep.work import Bench
    from curate.evaluate.sweep.worker import done

    place = (root, path)
    if place not in _benches:
        _benches[place] = Bench.open(
            root, path, keep_shards=keep_shards, tell=logging.getLogger(__name__).info
        )
    return done(_benches[place], payload)


_benches: dict[tuple[str, str], Any] = {}


def _outcome(key: str, future: Any) -> Outcome:
    if future.status == "finished":
        said = future.result()
        return Outcome(key, said.get("result"), said["seconds"], said.get("error", ""))
    error = "the scheduler gave it up" if future.status != "error" else str(future.exception())
    return Outcome(key, error=f"its Dask worker died: {' '.join(error.split())}", died=True)


@contextmanager
def dask_crew(scheduler: str, root: Path, folder: SweepFolder, *, keep_shards: bool) -> Iterator[DaskCrew]:
    """Connect to a Dask scheduler whose workers see the workspace at the same path.

    Raises
    ------
    ScheduleError
        When Dask is not installed, or the scheduler cannot be reached or has no workers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise ScheduleError("Dask is not installed; install it with pip install 'cellcurate[dask]'") from None
    with ExitStack() as stack:
        try:
            client = stack.enter_context(Client(scheduler, timeout=CONNECT_S))
        except OSError as error:
            raise ScheduleError(f"cannot reach the Dask scheduler {scheduler}: {error}") from None
        n_workers = len(client.scheduler_info(n_workers=-1)["workers"])
        if not n_workers:
            raise ScheduleError(f"the Dask scheduler {scheduler} has no workers; start some first")
        yield DaskCrew(client, root, folder, keep_shards, n_workers)
