"""Dask workers as a crew; the scheduler is a pretended one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from curate.errors import ScheduleError
from curate.evaluate.sweep.dask_crew import DaskCrew, dask_crew
from curate.evaluate.sweep.folder import SweepFolder

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Future:
    """Ends as it is told to, when it is listened to."""

    status: str
    said: Any

    def add_done_callback(self, call: Callable[[Future], None]) -> None:
        call(self)

    def result(self) -> Any:
        return self.said

    def exception(self) -> Any:
        return self.said


@dataclass
class Client:
    """Answers with the futures that it was given."""

    futures: list[Future]
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def submit(self, function: Any, *arguments: Any, pure: bool) -> Future:
        assert not pure
        self.asked.append(arguments)
        return self.futures.pop(0)


def test_what_comes_of_jobs_is_told_and_a_dead_worker_too() -> None:
    well = Future("finished", {"key": "a", "result": {"n": 1}, "seconds": 2.0})
    badly = Future("finished", {"key": "b", "error": "too few cells", "seconds": 1.0})
    client = Client([well, badly, Future("error", RuntimeError("worker died\n4 times"))])
    crew = DaskCrew(client, Path("root"), SweepFolder(Path("sweep")), keep_shards=False, n_workers=3)
    for room, key in zip(crew.rooms, "abc", strict=True):
        crew.submit(room, {"key": key})
    assert crew.rooms == []
    outcomes = crew.wait(1)
    assert [(each.key, each.result, each.error, each.died) for each in outcomes] == [
        ("a", {"n": 1}, "", False),
        ("b", None, "too few cells", False),
        ("c", None, "its Dask worker died: worker died 4 times", True),
    ]
    assert crew.rooms == ["0", "1", "2"]
    assert client.asked[0] == ("root", "sweep", False, {"key": "a"})
    assert crew.wait(0) == []


def test_a_scheduler_that_is_not_there_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("curate.evaluate.sweep.dask_crew.CONNECT_S", 0.3)
    with (
        pytest.raises(ScheduleError, match=r"cannot reach the Dask scheduler tcp://127\.0\.0\.1:9: "),
        dask_crew("tcp://127.0.0.1:9", tmp_path, SweepFolder(tmp_path), keep_shards=True),
    ):
        pass
