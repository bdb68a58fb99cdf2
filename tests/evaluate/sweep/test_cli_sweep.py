"""`curate sweep` as a user meets it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from curate.evaluate.sweep.crew import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.evaluate.sweep.conftest import Sweeper

    Curate = Callable[..., tuple[int, str, str]]

GRID = """
name = "small"
fractions = [0.1, 1.0]
presets = ["tiny"]
strategies = [{ name = "random" }]
models = [{ name = "hvg" }]
tasks = [{ name = "classify" }]
datasets = { held = { data = "held" } }
"""


@pytest.fixture
def grid(sweeper: Sweeper) -> Path:
    path = sweeper.root / "grid.toml"
    path.write_text(GRID)
    return path


def lines_of(text: str) -> dict[str, str]:
    return {line[:12].strip(): line[12:] for line in text.splitlines()}


def test_the_grid_of_the_study_plans_400_models_and_6400_evaluations(
    curate: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = curate("sweep", "plan", "study")
    assert code == 0
    lines = lines_of(out)
    assert lines["subsets"].startswith(
        "16 settings (random, reweight, sketch at 0.01 0.1 0.25 0.5 0.75; all at 1) x 5 seeds: 76 manifests"
    )
    assert lines["models"].startswith("16 settings x 5 seeds x 5 models: 400 models, and 25 untrained")
    assert lines["evaluations"] == (
        "400 models x 16: 6,400 evaluations; beside them 400 of controls and 16 of baselines"
    )


def test_a_plan_says_what_is_unknown_and_what_it_costs(curate: Curate, grid: Path) -> None:
    grid.write_text(GRID + '[rates]\n"train hvg tiny" = 10\n"evaluate classify" = 1\n')
    numbers = json.loads(curate("sweep", "plan", grid, "--json")[1])["numbers"]
    assert (numbers["n_settings"], numbers["n_models"], numbers["cost"]) == (2, 2, None)
    lines = lines_of(curate("sweep", "plan", grid, "--price", 3600)[1])
    assert lines["sweep"].startswith("small, of demo: ")
    assert lines["models"] == "2 settings x 1 seed x 1 model: 2 models, and 1 untrained control"
    assert lines["unknown"].startswith("no rate is known of baselines classify (1); a run measures it")
    assert lines["cost"].startswith("at least ")
    assert lines["cost"].endswith(" USD at 3600 an hour")


def test_a_sweep_is_run_and_its_status_told(
    curate: Curate, grid: Path, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = [True]

    def says(payload: Mapping[str, Any], n: int) -> Outcome | None:
        if fails[0] and payload["kind"] == "train" and "all" in payload["called"]:
            return Outcome(payload["key"], error="too few cells", log="worker-0.log")
        return None

    def pretended(plan: Any, workspace: Any, **options: Any) -> Any:
        given = {key: options[key] for key in ("retry_failed", "tell", "watch")}
        return sweeper.pretend(plan, says, **given)

    monkeypatch.setattr("curate.evaluate.sweep.run.run", pretended)
    code, out, err = curate("sweep", "run", grid)
    assert code == 1
    assert "11 jobs done, 0 found done, 1 failed, 1 wait for failed ones" in out
    # Told when it happens; in the end only counted.
    assert "failed: hvg tiny on all 1 s0: too few cells" in err
    assert "too few cells" not in out
    assert "`curate sweep status small` lists what failed, and its logs; --retry-failed tries it again" in out
    assert "3 rows" in out
    assert err.startswith("sweep       small")
    code, out, _ = curate("sweep", "status")
    assert code == 0
    assert out.splitlines() == [
        "sweep small: ended",
        "manifests   2 of 2 done",
        "models      2 of 3 done, 1 failed",
        "baselines   1 of 1 done",
        "evaluations 2 of 3 done, 1 waiting for failed ones",
        "failed      hvg tiny on all 1 s0: too few cells (see worker-0.log) (1 wait for it)",
    ]
    said = json.loads(curate("sweep", "status", "small", "--json")[1])
    assert said["counts"]["models"]["n_failed"] == 1
    out = curate("sweep", "run", grid)[1]
    assert "0 jobs done, 7 found done, 0 failed, 1 failed in earlier runs, 1 wait for failed ones" in out
    fails[0] = False
    code, out, _ = curate("sweep", "run", grid, "--retry-failed", "--json")
    assert (code, json.loads(out)["n_done"], json.loads(out)["failures"]) == (0, 2, [])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["run", "grid.toml", "--workers", "2", "--scheduler", "tcp://x:1"],
            2,
            "give --workers or --scheduler",
        ),
        (["run", "grid.toml", "--workers", "0"], 2, "0 is not in the range"),
        (["run", "absent.toml"], 1, "curate: no grid 'absent.toml': No such file"),
        (["status"], 1, "holds no sweep; run one with `curate sweep run GRID.toml`"),
        (["status", "x"], 1, "holds no sweep"),
    ],
)
def test_what_is_asked_for_wrongly_is_said_in_a_line(
    curate: Curate, grid: Path, arguments: list[str], code: int, message: str
) -> None:
    found, _, err = curate("sweep", *[str(grid) if each == "grid.toml" else each for each in arguments])
    assert found == code
    assert message in err
