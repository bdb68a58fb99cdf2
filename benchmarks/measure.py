"""Run commands in child processes, and measure wall time and peak memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from benchmarks.table import gigabytes, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Run:
    """Medians over the runs of one command, process start included; `cpu_s` is of all its threads."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    n_runs: int
    output: str

    def __str__(self) -> str:
        return f"{seconds(self.wall_s)} (CPU {seconds(self.cpu_s)}), {gigabytes(self.peak_bytes)}"


def run(command: Sequence[str], *, n_runs: int = 3, before: Callable[[], object] | None = None) -> Run:
    """Run a command `n_runs` times in a child process.

    The parent must stay small: Linux hands the parent's own peak down to a child that it starts.

    Parameters
    ----------
    before
        Called before each run, outside the clock: it removes what an earlier run left.

    Raises
    ------
    RuntimeError
        When it fails; the message ends with what it printed.
    """
    walls, cpus, peaks, output = [], [], [], ""
    for _ in range(n_runs):
        if before is not None:
            before()
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert child.stdout is not None
        output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        walls.append(time.perf_counter() - start)
        child.returncode = os.waitstatus_to_exitcode(status)
        child.stdout.close()
        if child.returncode:
            raise RuntimeError(f"{' '.join(command)} exited with {child.returncode}: {output[-2000:]}")
        cpus.append(usage.ru_utime + usage.ru_stime)
        peaks.append(usage.ru_maxrss * RSS_UNIT)
    return Run(
        statistics.median(walls), statistics.median(cpus), int(statistics.median(peaks)), n_runs, output
    )


def python(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a module with this interpreter."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def done(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, and return what it printed and said beside; refuse one that fails."""
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise click.ClickException(f"{' '.join(command[2:])}: {ended.stderr.strip()[-2000:]}")
    return ended


def curate(*arguments: object) -> list[str]:
    """Return a command line of `curate`, started as its console script is."""
    return [sys.executable, "-c", "from curate.cli import main; main()", *map(str, arguments)]
