"""What has become of the jobs of a sweep: a file of JSON lines that is only ever added to.

One process at a time adds to it, under the lock of the sweep; any may read it meanwhile. A line that a kill
has cut short counts as not written.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from curate.errors import SweepError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

FORMAT: Final = 1
Event = Literal["run", "started", "done", "failed", "died", "ended"]


@dataclass(frozen=True)
class Failure:
    """Why a job has failed.

    Attributes
    ----------
    error
        One line.
    log
        Where more is written; empty where there is no more to say.
    """

    error: str
    log: str = ""


@dataclass
class Progress:
    """What a journal tells.

    Attributes
    ----------
    done
        Result of each finished job, by key.
    failed, running
        Why jobs have failed; when they were started. Of running ones the process may be gone.
    seconds
        What finished jobs took, by key.
    n_done
        How often a job was finished, by key: more than once only where its result had vanished.
    n_died
        How often the worker of a job died since it was last begun anew, by key.
    runs
        When each run began, and with how many workers.
    is_ended
        Whether the last run came to its end.
    """

    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)
    running: dict[str, datetime] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    n_done: dict[str, int] = field(default_factory=dict)
    n_died: dict[str, int] = field(default_factory=dict)
    runs: list[tuple[datetime, int]] = field(default_factory=list)
    is_ended: bool = False

    def take(self, line: dict[str, Any]) -> None:
        """Take what a line says."""
        event, key = line["event"], line.get("job", "")
        at = datetime.fromisoformat(line["at"])
        if event == "run":
            self.runs.append((at, line["workers"]))
            # Those of an earlier run ended with it.
            self.running.clear()
            self.is_ended = False
            return
        if event == "ended":
            self.is_ended = True
            return
        if event == "started":
            self.running[key] = at
            self.failed.pop(key, None)
            return
        self.running.pop(key, None)
        if event == "done":
            self.done[key] = line["result"]
            self.seconds[key] = line["seconds"]
            self.n_done[key] = self.n_done.get(key, 0) + 1
            self.n_died.pop(key, None)
        elif event == "failed":
            self.failed[key] = Failure(line["error"], line.get("log", ""))
            self.n_died.pop(key, None)
        elif event == "died":
            self.n_died[key] = self.n_died.get(key, 0) + 1


def read_journal(path: Path) -> Progress:
    """Return what a journal tells; nothing where there is none.

    Raises
    ------
    SweepError
        When it is damaged, or of another format.
    """
    progress = Progress()
    for number, line in enumerate(_whole_lines(path), start=1):
        try:
            content = json.loads(line)
            if number == 1 and content.get("format") != FORMAT:
                found = content.get("format")
                raise SweepError(
                    f"{path} is of format {found!r}, this curate reads {FORMAT}; go on with the curate that "
                    "wrote it, or remove the folder of the sweep"
                )
            if content["event"] != "sweep":
                progress.take(content)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SweepError(
                f"{path} is damaged in line {number:,}; remove that line: what it said is found again"
            ) from None
    return progress


class Journal:
    """Adds lines to a journal, each on disk before the next."""

    def __init__(self, path: Path) -> None:
        self.progress = read_journal(path)
        n_bytes = sum(len(line) + 1 for line in _whole_lines(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("ab")
        # What a kill has cut short goes.
        self._stream.truncate(n_bytes)
        if n_bytes == 0:
            self._write({"event": "sweep", "format": FORMAT})

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def add(self, event: Event, job: str | None = None, **said: Any) -> None:
        """Add a line, and take what it says."""
        line = {"event": event, **({"job": job} if job else {}), **said}
        self.progress.take(self._write(line))

    def _write(self, line: dict[str, Any]) -> dict[str, Any]:
        line = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **line}
        self._stream.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())
        return line


def _whole_lines(path: Path) -> list[bytes]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    return content.split(b"\n")[:-1]
