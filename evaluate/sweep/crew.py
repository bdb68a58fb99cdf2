"""Who does the jobs: processes of this machine, or Dask workers.

A crew takes a job when it `has_room`, and `wait` returns what has come of some. A worker that dies takes no
other with it: its job comes back as died, and another worker takes its place.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from curate.evaluate.sweep.folder import SweepFolder

STOP_S = 5.0


@dataclass(frozen=True)
class Outcome:
    """What has come of a job.

    Attributes
    ----------
    result
        None when it failed.
    error
        One line; of a job whose worker died, how.
    log
        Where a traceback stands, of an error that nobody foresaw.
    """

    key: str
    result: dict[str, Any] | None = None
    seconds: float = 0.0
    error: str = ""
    log: str = ""
    died: bool = False


class Crew(Protocol):
    """Who does the jobs."""

    @property
    def n_workers(self) -> int:
        """How many jobs are done at the same time."""

    @property
    def rooms(self) -> list[str]:
        """Names of the workers that have nothing to do."""

    def submit(self, room: str, payload: Mapping[str, Any]) -> None:
        """Give a job to a worker."""

    def wait(self, seconds: float) -> list[Outcome]:
        """Return what has come of jobs; wait so long at most for the first."""


@dataclass(eq=False)
class _Worker:
    """A process, and the job that it is doing."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    listener: threading.Thread = field(default_factory=threading.Thread)
    key: str | None = None
    started: float = 0.0


@dataclass(eq=False)
class LocalCrew:
    """Processes of this machine, each doing job after job.

    Attributes
    ----------
    lock
        Descriptor that workers hold too, so that nobody takes over while one of them lives.
    """

    n_workers: int
    root: Path
    folder: SweepFolder
    keep_shards: bool
    lock: int | None = None
    _workers: dict[str, _Worker] = field(default_factory=dict)
    _answers: queue.Queue[tuple[_Worker, bytes]] = field(default_factory=queue.Queue)

    @property
    def rooms(self) -> list[str]:
        """Names of the workers that have nothing to do."""
        names = [str(number) for number in range(self.n_workers)]
        return [name for name in names if name not in self._workers or self._workers[name].key is None]

    def submit(self, room: str, payload: Mapping[str, Any]) -> None:
        """Give a job to a worker; its process is started with its first."""
        worker = self._workers.get(room) or self._start(room)
        worker.key, worker.started = payload["key"], time.perf_counter()
        assert worker.process.stdin is not None
        # One that has just died is noticed by what it says: nothing.
        with suppress(BrokenPipeError):
            worker.process.stdin.write(json.dumps(payload).encode() + b"\n")
            worker.process.stdin.flush()

    def wait(self, seconds: float) -> list[Outcome]:
        """Return what has come of jobs; wait so long at most for the first."""
        found: list[Outcome] = []
        try:
            while True:
                worker, line = self._answers.get(timeout=0 if found else seconds)
                outcome = self._heard(worker, line)
                if outcome is not None:
                    found.append(outcome)
        except queue.Empty:
            return found

    def close(self) -> None:
        """End the workers: those in the midst of a job leave it."""
        for worker in self._workers.values():
            worker.process.terminate()
        deadline = time.monotonic() + STOP_S
        for worker in self._workers.values():
            try:
                worker.process.wait(max(0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            _close(worker)

    def _start(self, name: str) -> _Worker:
        self.folder.logs_path.mkdir(parents=True, exist_ok=True)
        log = self.folder.logs_path / f"worker-{name}.log"
        keep = "yes" if self.keep_shards else "no"
        command = [sys.executable, "-m", "curate.evaluate.sweep.worker"]
        with log.open("ab") as stream:
            process = subprocess.Popen(
                [*command, str(self.root), str(self.folder.path), keep],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env=environment(int(name), self.n_workers),
                pass_fds=[] if self.lock is None else [self.lock],
                # Ctrl-C is for the one who gives the jobs.
                start_new_session=True,
            )
        worker = self._workers[name] = _Worker(name, process, log)
        worker.listener = threading.Thread(target=self._listen, args=(worker,), daemon=True)
        worker.listener.start()
        return worker

    def _listen(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        for line in worker.process.stdout:
            self._answers.put((worker, line))
        self._answers.put((worker, b""))

    def _heard(self, worker: _Worker, line: bytes) -> Outcome | None:
        key, seconds = worker.key, time.perf_counter() - worker.started
        if not line.endswith(b"\n"):
            status = worker.process.wait()
            _close(worker)
            del self._workers[worker.name]
            if key is None:
                return None
            return Outcome(key, seconds=seconds, error=_how(status), log=str(worker.log), died=True)
        worker.key = None
        said = json.loads(line)
        log = str(worker.log) if said.get("is_bug") else ""
        return Outcome(said["key"], said.get("result"), said["seconds"], said.get("error", ""), log)


def _close(worker: _Worker) -> None:
    """Close the pipes of a process that has ended; its listener goes first, which reads from one."""
    worker.listener.join()
    for pipe in (worker.process.stdin, worker.process.stdout):
        assert pipe is not None
        # What was never read by it is gone with it.
        with suppress(BrokenPipeError):
            pipe.close()


@contextmanager
def local_crew(
    n_workers: int, root: Path, folder: SweepFolder, *, keep_shards: bool, lock: int | None = None
) -> Iterator[LocalCrew]:
    """Keep processes of this machine at work, and end them."""
    crew = LocalCrew(n_workers, root, folder, keep_shards, lock)
    try:
        yield crew
    finally:
        crew.close()


def environment(number: int, n_workers: int) -> dict[str, str]:
    """Return the environment of a worker: its part of the processors, and of several GPUs one of its own."""
    found = dict(os.environ)
    threads = max(1, (os.cpu_count() or 1) // n_workers)
    found.setdefault("OMP_NUM_THREADS", str(threads))
    gpus = [each for each in found.get("CUDA_VISIBLE_DEVICES", _gpus()).split(",") if each]
    if n_workers > 1 and len(gpus) > 1:
        found["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
    return found


def _gpus() -> str:
    names = (path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))
    return ",".join(sorted(names, key=int))


def _how(status: int) -> str:
    if status >= 0:
        return f"its worker ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = ", as when memory runs out" if name == "SIGKILL" else ""
    return f"its worker was killed by {name}{hint}"
