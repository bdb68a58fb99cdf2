"""Dask workers for the units of a pass; Dask is imported here and nowhere else."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from curate.errors import ScheduleError
from curate.passes.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A unit that runs, and one that waits, for every worker.
UNITS_PER_WORKER = 2
CONNECT_S = 30.0


@contextmanager
def dask_schedule(*, workers: int | None, scheduler: str | None) -> Iterator[Schedule]:
    """Connect to a Dask scheduler, or start one with workers on this machine.

    A unit whose worker dies is given to another, and processes that died are started again.

    Raises
    ------
    ScheduleError
        When Dask is not installed, the scheduler cannot be reached, or workers keep dying.
    """
    try:
        from distributed import Client, KilledWorker, LocalCluster
    except ImportError:
        raise ScheduleError("Dask is not installed; install it with pip install 'cellcurate[dask]'") from None
    if workers is not None and workers < 1:
        raise ScheduleError(f"{workers} workers cannot work; give 1 or more")
    with ExitStack() as stack:
        try:
            address: Any = scheduler or stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.ERROR,
                )
            )
            client = stack.enter_context(Client(address, timeout=CONNECT_S))
        except OSError as error:
            raise ScheduleError(f"cannot reach the Dask scheduler {scheduler}: {error}") from None
        n_workers = len(client.scheduler_info(n_workers=-1)["workers"])
        if not n_workers:
            raise ScheduleError(f"the Dask scheduler {scheduler} has no workers; start some first")

        def submit(function: Any, *arguments: Any) -> Any:
            # Not pure: Dask would hash every argument to find calls that are the same, and none are.
            return client.submit(function, *arguments, pure=False)

        try:
            yield Schedule(submit, UNITS_PER_WORKER * n_workers)
        except KilledWorker as error:
            raise ScheduleError(
                f"a unit of cells ended {error.allowed_failures + 1} Dask workers; give each 1.5 GB of memory"
            ) from None
