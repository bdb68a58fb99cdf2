"""Processes that do the jobs, and what becomes of a sweep whose processes are killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from polars.testing import assert_frame_equal

from curate.evaluate.sweep.crew import environment, local_crew
from curate.evaluate.sweep.folder import sweep_folder
from curate.evaluate.sweep.grid import Grid
from curate.evaluate.sweep.journal import read_journal
from curate.evaluate.sweep.plan import make_plan
from curate.evaluate.sweep.table import read_sweep
from curate.workspace import Workspace
from tests.evaluate.sweep.conftest import Sweeper

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

TIMES = ["seconds", "train_seconds"]
GRID = """
name = "small"
fractions = [0.1, 1.0]
presets = ["tiny"]
controls = false
strategies = [{ name = "random" }]
models = [{ name = "hvg", settings = { n_dims = 20 } }]
tasks = [{ name = "classify", settings = { probes = ["knn"], ontology = "no" } }]
datasets = { held = { data = "held" } }
"""


@contextmanager
def started(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the grid by the command line, apart from this process."""
    (root / "grid.toml").write_text(GRID)
    code = "from curate.cli import main; main()"
    command = [sys.executable, "-c", code, "-C", str(root), "sweep", "run", str(root / "grid.toml")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        yield process


def trained_already(path: Path) -> bool:
    """Tell whether a model has been trained, and something is still to be done."""
    return any("fit_seconds" in result for result in read_journal(path).done.values())


def test_a_killed_sweep_goes_on_and_ends_as_one_that_was_not(sweeper: Sweeper) -> None:
    folder = sweep_folder(sweeper.workspace, "small")
    with started(sweeper.root) as process:
        deadline = time.monotonic() + 60
        while not trained_already(folder.journal_path):
            assert process.poll() is None, process.stderr.read().decode()  # type: ignore[union-attr]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
    before = dict(read_journal(folder.journal_path).done)
    # Its worker ends by itself; until then nobody takes over.
    grid = Grid.load(folder.grid_path, folder=sweeper.root)
    assert sweeper.run(make_plan(grid, sweeper.workspace)).failures == ()
    progress = read_journal(folder.journal_path)
    assert len(progress.runs) == 2
    assert set(before) < set(progress.done)
    assert all(progress.n_done[key] == 1 for key in before)
    # All anew, in a workspace of its own.
    other = Sweeper(Workspace.find(shutil.copytree(sweeper.root, sweeper.root.parent / "other")))
    for name in ("sweeps", "models", "results", "manifests", "shards"):
        shutil.rmtree(other.root / name)
    whole = other.run(make_plan(Grid.load(folder.grid_path, folder=other.root), other.workspace))
    found, expected = (read_sweep(each).drop(TIMES) for each in (folder, whole.folder))
    assert found.height > 20
    assert_frame_equal(found, expected)


def test_a_worker_that_is_killed_gives_its_job_back_and_another_takes_its_place(sweeper: Sweeper) -> None:
    folder = sweep_folder(sweeper.workspace, "small")
    payload = {
        "key": "k" * 32,
        "kind": "manifest",
        "called": "x",
        "spec": {"corpus_name": "none"},
        "inputs": {},
    }
    with local_crew(1, sweeper.root, folder, keep_shards=True) as crew:
        crew.submit("0", payload)
        assert crew.rooms == []
        os.kill(crew._workers["0"].process.pid, signal.SIGKILL)
        [died] = crew.wait(30)
        assert (died.key, died.died, died.result) == ("k" * 32, True, None)
        assert died.error == "its worker was killed by SIGKILL, as when memory runs out"
        assert crew.rooms == ["0"]
        crew.submit("0", payload)
        [failed] = crew.wait(60)
        assert not failed.died
        assert failed.error == "no corpus named 'none'; there are: demo"
        assert "x (kkkkkkkk)" in (folder.logs_path / "worker-0.log").read_text()
        worker = crew._workers["0"].process
    assert worker.poll() is not None


def test_workers_share_the_processors_and_have_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    found = [environment(number, 3) for number in range(3)]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in found] == ["4", "6", "4"]
    assert {each["OMP_NUM_THREADS"] for each in found} == {"2"}
    assert environment(0, 1)["CUDA_VISIBLE_DEVICES"] == "4,6"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert environment(0, 2)["OMP_NUM_THREADS"] == "1"
