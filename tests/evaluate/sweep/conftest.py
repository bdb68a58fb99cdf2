"""Grids on the simulated atlas; crews that do the jobs in this process, or only pretend to."""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from curate.evaluate.results import Score, rows, write_results
from curate.evaluate.sweep.crew import Outcome
from curate.evaluate.sweep.grid import Grid
from curate.evaluate.sweep.plan import make_plan
from curate.evaluate.sweep.run import run
from curate.evaluate.sweep.work import Bench
from curate.evaluate.sweep.worker import done
from curate.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from curate.evaluate.sweep.crew import Crew
    from curate.evaluate.sweep.folder import SweepFolder
    from curate.evaluate.sweep.plan import Plan
    from curate.evaluate.sweep.run import Ended

#: 3 subset settings (random and reweight at 10 %, all), 2 seeds, 2 models, 1 task on 1 data set.
SMALL: dict[str, Any] = {
    "name": "small",
    "fractions": [0.1, 1.0],
    "seeds": [0, 1],
    "presets": ["tiny"],
    "controls": False,
    "strategies": [{"name": "random"}, {"name": "reweight", "parameters": {"by": "cell_type"}}],
    "models": [{"name": "pca", "settings": {"n_dims": 5}}, {"name": "hvg", "settings": {"n_dims": 20}}],
    "tasks": [{"name": "classify", "settings": {"probes": ["knn"], "ontology": "no"}}],
    "datasets": {"held": {"data": "held"}},
}


@dataclass(eq=False)
class PretendCrew:
    """Workers that leave what jobs would, and say what they are told to.

    Attributes
    ----------
    says
        ``(payload, how often the job was given) -> Outcome`` or None for a job that ends well.
    given
        What each was given, in order.
    """

    workspace: Workspace
    folder: SweepFolder
    says: Callable[[Mapping[str, Any], int], Outcome | None] = lambda payload, n: None
    keep_shards: bool = True
    n_workers: int = 2
    given: list[dict[str, Any]] = field(default_factory=list)
    rooms_of: list[str] = field(default_factory=list)
    _busy: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def rooms(self) -> list[str]:
        return [name for name in map(str, range(self.n_workers)) if name not in self._busy]

    def submit(self, room: str, payload: Mapping[str, Any]) -> None:
        self._busy[room] = payload
        self.given.append(dict(payload))
        self.rooms_of.append(room)

    def wait(self, seconds: float) -> list[Outcome]:
        room = next(iter(self._busy))
        payload = self._busy.pop(room)
        n = sum(each["key"] == payload["key"] for each in self.given)
        return [self.says(payload, n) or Outcome(payload["key"], self._left(payload), seconds=0.5)]

    def _left(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        key, kind, spec = payload["key"], payload["kind"], payload["spec"]
        if kind == "manifest":
            path = self.workspace.manifests_path / spec["name"] / "v0001" / "manifest.json"
            result: dict[str, Any] = {"ref": f"{spec['name']}@v1", "id": key * 2}
        elif kind == "train":
            path = self.workspace.models_path / key / "run.json"
            result = {"model": key, "id": key, "is_new": True, "n_cells": 100, "fit_seconds": 0.5}
        elif kind == "shards":
            place = self.workspace.shards_path if self.keep_shards else self.folder.shards_path
            path = place / payload["inputs"][spec["manifest"]]["id"][:32] / "shards.json"
            result = {"path": str(path.parent), "n_bytes": 1}
        elif kind in ("overlap", "leakage"):
            path = self.folder.overlap_path(key) / "found.json"
            result = {"path": str(path.parent)}
        else:
            path = self.folder.rows_path(key)
            result = {"n_rows": 1, "evaluation_seconds": 0.5, "notices": ["of the data"]}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            facts = {"task": spec["task"], "dataset": spec["dataset"], "kind": "baseline", "model": "y"}
            if spec["model"] is not None:
                facts |= {"kind": "trained", "strategy": "x"}
            table = rows([Score("zero-shot", "knn", "accuracy", 0.5, 9)], facts)
            write_results(table, path)
        else:
            path.write_text("{}")
        return result


@dataclass(eq=False)
class OwnCrew:
    """Does the jobs in this process."""

    bench: Bench
    n_workers: int = 1
    _said: list[Outcome] = field(default_factory=list)

    @property
    def rooms(self) -> list[str]:
        return [] if self._said else ["0"]

    def submit(self, room: str, payload: Mapping[str, Any]) -> None:
        said = done(self.bench, dict(payload))
        self._said.append(Outcome(said["key"], said.get("result"), said["seconds"], said.get("error", "")))

    def wait(self, seconds: float) -> list[Outcome]:
        said, self._said = self._said, []
        return said


@dataclass(eq=False)
class Sweeper:
    """A workspace of the atlas, and ways to plan and run grids in it."""

    workspace: Workspace
    crews: list[PretendCrew] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.workspace.root

    def grid(self, **changes: Any) -> Grid:
        """Return SMALL with some changes; None takes a key out."""
        content = {key: value for key, value in {**SMALL, **changes}.items() if value is not None}
        return Grid.parse(content, called="small.toml", folder=self.root)

    def plan(self, **changes: Any) -> Plan:
        return make_plan(self.grid(**changes), self.workspace)

    def pretend(
        self,
        plan: Plan,
        says: Callable[[Mapping[str, Any], int], Outcome | None] = lambda payload, n: None,
        **options: Any,
    ) -> Ended:
        """Run a plan by workers that only pretend."""

        @contextmanager
        def hire(folder: SweepFolder, lock: int) -> Iterator[Crew]:
            self.crews.append(PretendCrew(self.workspace, folder, says, plan.grid.keep_shards))
            yield self.crews[-1]

        return run(plan, self.workspace, hire=hire, **options)

    def run(self, plan: Plan, **options: Any) -> Ended:
        """Run a plan in this process."""

        @contextmanager
        def hire(folder: SweepFolder, lock: int) -> Iterator[Crew]:
            yield OwnCrew(Bench(self.workspace, folder, plan.grid.keep_shards))

        return run(plan, self.workspace, hire=hire, **options)


@pytest.fixture(scope="session")
def _swept(atlas_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from curate.simulate import simulate_atlas

    root = tmp_path_factory.mktemp("sweep") / "workspace"
    shutil.copytree(atlas_workspace, root)
    simulate_atlas(root / "held", n_cells=500, n_genes=300, seed=7)
    return root


@pytest.fixture
def sweeper(_swept: Path, tmp_path: Path) -> Sweeper:
    """A workspace of its own: 1,500 simulated cells, and 500 others in the store "held"."""
    root = tmp_path / "swept"
    shutil.copytree(_swept, root)
    return Sweeper(Workspace.find(root))


@pytest.fixture
def curate(
    sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in the workspace; return exit status, what it printed, and its errors."""
    from curate.cli import main

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["curate", "-C", str(sweeper.root), *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
            sys.exit(0)
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call
