"""Who works on the units: threads of this process, or Dask workers. Results come in order in any case."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from curate.errors import ScheduleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from curate.passes.units import Unit

THREADS = 2


@dataclass(frozen=True)
class Task:
    """What to do with a unit: `function(joinids of each run, *arrays of the unit, **shared)`.

    Attributes
    ----------
    joinids
        int64 [n_cells], of the corpus.
    by_cell
        Further arrays [n_cells] whose rows of the unit go with it.
    shared
        What is the same for all units.
    """

    function: Callable[..., Any]
    joinids: NDArray[np.int64]
    shared: dict[str, Any]
    by_cell: tuple[NDArray[Any], ...] = ()

    def arguments(self, unit: Unit) -> tuple[Any, ...]:
        """Return what is passed for one unit."""
        runs = [self.joinids[start:stop].copy() for start, stop in unit.runs]
        return (runs, *(unit.take(values) for values in self.by_cell))


@dataclass(frozen=True)
class Schedule:
    """Runs tasks ahead of what has been asked for, a bounded number of them.

    Attributes
    ----------
    submit
        Starts a call and returns a future.
    n_ahead
        Calls that may be under way or wait for their turn; results take memory until they are.
    """

    submit: Callable[..., Any]
    n_ahead: int

    def run(self, task: Task, units: Iterable[Unit]) -> Iterator[Any]:
        """Yield the result of each unit, in their order."""
        function = partial(task.function, **task.shared)
        waiting: deque[Any] = deque()
        try:
            for unit in units:
                waiting.append(self.submit(function, *task.arguments(unit)))
                if len(waiting) >= self.n_ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def schedule(*, workers: int | None = None, scheduler: str | None = None) -> Iterator[Schedule]:
    """Open what the units are worked on by.

    Parameters
    ----------
    workers
        Processes of a Dask cluster on this machine, each with one thread.
    scheduler
        Address of a Dask scheduler, such as tcp://10.0.0.1:8786. Its workers need curate and a way to the
        Census, but not the corpus. Without either: two threads of this process.

    Raises
    ------
    ScheduleError
        When both are given, Dask is not installed, or the scheduler cannot be reached.
    """
    if workers is None and scheduler is None:
        with ThreadPoolExecutor(THREADS) as threads:
            yield Schedule(threads.submit, THREADS + 1)
        return
    if workers is not None and scheduler is not None:
        raise ScheduleError("give workers or a scheduler, not both: a scheduler has its own workers")
    from curate.passes.dask import dask_schedule

    with dask_schedule(workers=workers, scheduler=scheduler) as found:
        yield found
