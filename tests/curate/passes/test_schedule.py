from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from curate.errors import ScheduleError
from curate.passes.schedule import Schedule, Task, schedule
from curate.passes.units import Unit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

JOINIDS = np.arange(100)
NOWHERE = "127.0.0.1:0"
UNITS = [Unit(((first, first + 10),)) for first in range(0, 100, 10)]


def first_and_sum(runs: list[NDArray[np.int64]], *, delay_s: float) -> tuple[int, int]:
    """Take longer for earlier cells, so that later ones are done first."""
    first = int(runs[0][0])
    time.sleep(delay_s * (100 - first))
    return first, sum(int(run.sum()) for run in runs)


def die_once(runs: list[NDArray[np.int64]], *, mark: Path) -> int:
    """End the process at the fourth unit, the first time."""
    if runs[0][0] == 30 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return int(runs[0][0])


def die(runs: list[NDArray[np.int64]]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(runs: list[NDArray[np.int64]]) -> int:
    if runs[0][0] == 30:
        raise ScheduleError("unit 3")
    return int(runs[0][0])


EXPECTED = [(first, sum(range(first, first + 10))) for first in range(0, 100, 10)]


def test_threads_give_results_in_order() -> None:
    with schedule() as threads:
        task = Task(first_and_sum, JOINIDS, {"delay_s": 1e-4})
        assert list(threads.run(task, UNITS)) == EXPECTED


def test_arrays_by_cell_go_with_their_unit() -> None:
    task = Task(fail, JOINIDS, {}, by_cell=(JOINIDS % 7,))
    runs, values = task.arguments(Unit(((3, 5), (50, 52))))
    assert [run.tolist() for run in runs] == [[3, 4], [50, 51]]
    assert values.tolist() == [3, 4, 1, 2]


def test_no_more_units_are_under_way_than_allowed() -> None:
    under_way: list[int] = []

    class Waiting:
        def __init__(self, runs: list[NDArray[np.int64]]) -> None:
            self.first = int(runs[0][0])
            under_way.append(self.first)
            assert len(under_way) <= 3

        def result(self) -> int:
            under_way.remove(self.first)
            return self.first

    def submit(function: Any, *arguments: Any) -> Waiting:
        return Waiting(*arguments)

    results = list(Schedule(submit, 3).run(Task(fail, JOINIDS, {}), UNITS))
    assert results == list(range(0, 100, 10))


def test_an_error_in_a_unit_is_the_error_of_the_pass() -> None:
    with schedule() as threads, pytest.raises(ScheduleError, match="unit 3"):
        list(threads.run(Task(fail, JOINIDS, {}), UNITS))


def test_workers_and_a_scheduler_together_are_refused() -> None:
    with pytest.raises(ScheduleError, match="not both"), schedule(workers=2, scheduler="tcp://here:1"):
        pass


def test_a_missing_dask_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ScheduleError, match=r"pip install 'cellcurate\[dask\]'"), schedule(workers=2):
        pass


@pytest.fixture(scope="module")
def workers() -> Iterator[Schedule]:
    """Two processes of a local Dask cluster."""
    pytest.importorskip("distributed")
    with schedule(workers=2) as found:
        yield found


def test_workers_give_results_in_order(workers: Schedule) -> None:
    task = Task(first_and_sum, JOINIDS, {"delay_s": 1e-4})
    assert list(workers.run(task, UNITS)) == EXPECTED


def test_a_worker_that_is_killed_costs_nothing_but_time(workers: Schedule, tmp_path: Path) -> None:
    mark = tmp_path / "died"
    results = list(workers.run(Task(die_once, JOINIDS, {"mark": mark}), UNITS))
    assert results == list(range(0, 100, 10))
    assert mark.exists()


def test_an_error_in_a_worker_is_the_error_of_the_pass(workers: Schedule) -> None:
    with pytest.raises(ScheduleError, match="unit 3"):
        list(workers.run(Task(fail, JOINIDS, {}), UNITS))


def test_a_unit_that_ends_every_worker_is_given_up() -> None:
    pytest.importorskip("distributed")
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        pytest.raises(ScheduleError, match="ended 1 Dask workers"),
        schedule(workers=1) as one,
    ):
        list(one.run(Task(die, JOINIDS, {}), UNITS[:1]))


def test_a_scheduler_that_is_not_there_is_said_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    from curate.passes import dask as dask_module

    monkeypatch.setattr(dask_module, "CONNECT_S", 0.5)
    message = r"cannot reach the Dask scheduler tcp://127\.0\.0\.1:9"
    with pytest.raises(ScheduleError, match=message), schedule(scheduler="tcp://127.0.0.1:9"):
        pass
