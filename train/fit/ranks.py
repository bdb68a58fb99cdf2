"""Ranks: one process each, which take equal shares of the batches and add up their gradients (DDP).

1. the checkpoint that all begin with lies in the folder of the plan;
2. each rank is a fresh process, which makes the network anew and fills it from there;
3. the first error of a rank ends the others, and is raised here;
4. the first rank writes the checkpoints: the last one says what came of it.

All on one machine.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
import traceback
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from curate.errors import CurateError, TrainingError
from curate.train.fit.checkpoint import Checkpoint
from curate.train.fit.rank import train_rank

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from curate.gene_space import GeneSpace
    from curate.train.fit.plan import FitPlan
    from curate.train.models.network import Network
    from curate.train.shards.shards import Shards


#: How long the others are waited for, when a rank has failed for no reason of ours.
GRACE_S = 5.0


def train_ranks(network: Network, shards: Shards, plan: FitPlan) -> None:
    """Train in as many processes as the plan has devices, from the checkpoint in its folder.

    Raises
    ------
    TrainingError
        When a rank has died; further whatever a rank raised.
    """
    spawn = multiprocessing.get_context("spawn")
    parts = (type(network), network.settings, network.genes, network.facts)
    port = _free_port()
    processes, pipes = [], []
    try:
        for rank in range(plan.devices):
            ours, theirs = spawn.Pipe(duplex=False)
            process = spawn.Process(target=_run_rank, args=(parts, shards, plan, rank, port, theirs))
            with _torch_is_quiet():
                process.start()
            theirs.close()
            processes.append(process)
            pipes.append(ours)
        _await(pipes, processes)
    finally:
        for process in processes:
            process.kill()
            process.join()


def _await(pipes: list[Connection], processes: list[Any]) -> None:
    """Return when all ranks have ended well; raise what went wrong in the one that failed first."""
    open_pipes = dict(zip(pipes, range(len(pipes)), strict=True))
    faults: list[Exception] = []
    while open_pipes and (ready := wait(list(open_pipes), timeout=GRACE_S if faults else None)):
        for pipe in [each for each in open_pipes if each in ready]:
            rank = open_pipes.pop(pipe)
            try:
                fault: Exception | None = pipe.recv()
            except EOFError:
                processes[rank].join()
                fault = TrainingError(
                    f"rank {rank} of {len(processes)} died (exit code {processes[rank].exitcode}), for want "
                    "of memory perhaps"
                )
            if fault is not None:
                faults.append(fault)
        # Ranks that have lost another fail too, at what they share: that one is the cause.
        for fault in faults:
            if isinstance(fault, CurateError):
                raise fault
    if faults:
        raise faults[0]


def _run_rank(
    parts: tuple[type[Network], Any, GeneSpace, Any],
    shards: Shards,
    plan: FitPlan,
    rank: int,
    port: int,
    pipe: Connection,
) -> None:
    """Train one rank in a process of its own, and send its error or None."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    # What Lightning's environment reads of a process that somebody else has started.
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"}
    os.environ |= {"LOCAL_RANK": str(rank)}
    fault: Exception | None = None
    try:
        checkpoint = Checkpoint.read(plan.folder, rank=rank)
        assert checkpoint is not None
        kind, settings, genes, facts = parts
        network = kind(settings, genes, facts)
        network.load_state_dict(checkpoint.model)
        train_rank(network, shards, plan, checkpoint, rank=rank)
    except CurateError as error:
        fault = error
    except Exception:  # noqa: BLE001 (whatever it is: it is raised again by the parent)
        fault = RuntimeError(f"rank {rank} failed:\n{traceback.format_exc()}")
    pipe.send(fault)
    pipe.close()


def _die_with_parent() -> None:
    """End this process as soon as the one that started it has ended, however it ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


@contextmanager
def _torch_is_quiet() -> Iterator[None]:
    """Let a process that is started begin without torch's advice on how we use DDP, which comes from C++."""
    name = "TORCH_CPP_LOG_LEVEL"
    before = os.environ.get(name)
    os.environ.setdefault(name, "ERROR")
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
