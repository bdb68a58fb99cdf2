"""The command line as a user meets it: what it prints, one line for what is wrong, and the exit status."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from curate.cli import main


class Run(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def curate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """Run the command line in this process."""

    def run(*arguments: object) -> Run:
        monkeypatch.setattr(sys, "argv", ["curate", *map(str, arguments)])
        monkeypatch.delenv("CURATE_HOME", raising=False)
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return Run(code, printed.out, printed.err)

    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_build_diff_and_verify_as_in_the_readme(curate: Callable[..., Run], fresh_workspace: Path) -> None:
    for strategy in ("random", "sketch"):
        built = curate("-C", fresh_workspace, "build", "--fraction", "0.1", "--strategy", strategy)
        assert built.code == 0, built.err
        assert f"{strategy}-0.1-s0@v1" in built.out
        assert " new" in built.out
    compared = curate("-C", fresh_workspace, "diff", "random-0.1-s0", "sketch-0.1-s0", "--json")
    report = json.loads(compared.out)
    assert report["cells"]["only_a"] + report["cells"]["both"] == 133
    assert curate("-C", fresh_workspace, "manifests", "verify", "sketch-0.1-s0").code == 0
    again = curate("-C", fresh_workspace, "build", "--fraction", "0.1", "--strategy", "sketch")
    assert "was there" in again.out


def test_build_reports_json_for_every_size_and_seed(
    curate: Callable[..., Run], fresh_workspace: Path
) -> None:
    run = curate(
        *("-C", fresh_workspace, "build", "--strategy", "reweight", "--by", "tissue_general"),
        *("--n-cells", "50,100", "--seed", "0-1,7", "--json"),
    )
    rows = json.loads(run.out)
    assert [row["ref"] for row in rows] == [
        f"reweight-n{n}-s{seed}@v1" for n in (50, 100) for seed in (0, 1, 7)
    ]
    assert all(sum(row["splits"].values()) == row["n_cells"] for row in rows)


def test_info_shows_what_the_workspace_holds(curate: Callable[..., Run], fresh_workspace: Path) -> None:
    report = json.loads(curate("-C", fresh_workspace, "info", "--json").out)
    assert [(each["name"], each["embeddings"]) for each in report["corpora"]] == [("demo", ["pca"])]
    shown = curate("-C", fresh_workspace, "info")
    assert "demo" in shown.out
    assert "pca" in shown.out
    assert report["corpora"][0]["label"].startswith("Simulated by curate; no real cells: 1500 cells")
    assert shown.out.splitlines()[-1] == "simulated data, no real cells: corpus demo"


def test_init_makes_a_workspace_that_commands_find(
    curate: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert curate("init", tmp_path / "new", "--uri", "store").code == 0
    monkeypatch.chdir(tmp_path / "new")
    assert "no corpus; make one" in curate("info").out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("build --strategy random --fraction 0", 1, "fraction 0 is not a share"),
        ("build --strategy random --fraction -0.5", 1, "fraction -0.5 is not a share"),
        ("build --strategy random --fraction 1.5", 1, "fraction 1.5 is not a share"),
        ("build --strategy random --fraction nan", 1, "fraction nan is not a share"),
        ("build --strategy random --fraction 0.0001", 1, "selects 0 cells; use at least 0.00075"),
        ("build --strategy random --fraction ten", 2, "'ten' is not a number"),
        ("build --strategy random --n-cells 3-x", 2, "'3-x' is not a whole number or a range"),
        ("build --strategy random --fraction 0.1 --seed 4-0", 2, "the range '4-0' is empty"),
        ("build --strategy random --fraction 0.1 --seed -1", 2, "-1 is not in the range 0 to 2**63 - 1"),
        ("build --strategy random", 2, "give one of --fraction, --n-cells and --ladder"),
        ("build --strategy rendom --fraction 0.1", 2, "'rendom' is not one; did you mean 'random'"),
        ("build --strategy sketch --fraction 0.1 --embedding none", 1, "curate embed"),
        (
            "build --strategy random --fraction 0.1 --by sex",
            2,
            "--by goes with --strategy stratified, reweight",
        ),
        (
            "build --strategy random --fraction 0.1 --corpus other",
            1,
            "no corpus named 'other'; there are: demo",
        ),
        ("build --strategy random --fraction 0.1 --where celltype=='x'", 1, "did you mean 'cell_type'"),
        ("build --strategy random --fraction 0.1 --split-ratios 0.8,0.3", 1, "that sum to 1"),
        ("diff none-such neither", 1, "none-such"),
        ("corpus build --recipe no-such-recipe", 1, "shipped are demo, sctab"),
        ("census info --uri no-such-folder", 1, "no such folder"),
        ("nothing", 2, "No such command 'nothing'"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_changes(
    arguments: str, code: int, message: str, curate: Callable[..., Run], fresh_workspace: Path
) -> None:
    before = contents(fresh_workspace)
    run = curate("-C", fresh_workspace, *arguments.split(" "))
    assert run.code == code, run.err
    assert message in run.err
    lines = run.err.strip().splitlines()
    assert len(lines) == 1 if code == 1 else lines[-1].startswith("Error: ")
    assert contents(fresh_workspace) == before


def test_no_workspace_is_one_line(
    curate: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = curate("build", "--strategy", "random", "--fraction", "0.1")
    assert run.code == 1
    assert run.err.startswith("curate: no curate.toml in ")


def test_an_embedding_of_another_corpus_is_refused(curate: Callable[..., Run], fresh_workspace: Path) -> None:
    source = Path(__file__).parents[2] / "curate" / "recipes" / "demo.toml"
    recipe = fresh_workspace / "other.toml"
    recipe.write_text(
        source.read_text().replace('"demo"', '"other"').replace("== True", "== True and sex == 'male'")
    )
    assert curate("-C", fresh_workspace, "corpus", "build", "--recipe", recipe).code == 0
    shutil.copytree(
        fresh_workspace / "corpora" / "demo" / "embeddings",
        fresh_workspace / "corpora" / "other" / "embeddings",
    )
    run = curate(
        "-C", fresh_workspace, "build", "--strategy", "sketch", "--fraction", "0.1", "--corpus", "other"
    )
    assert run.code == 1
    assert "curate embed other" in run.err
    assert len(run.err.strip().splitlines()) == 1


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_an_interrupted_demo_leaves_no_half_store_and_goes_on(
    curate: Callable[..., Run], tmp_path: Path
) -> None:
    folder = tmp_path / "demo"
    process = subprocess.Popen(
        [sys.executable, "-c", "from curate.cli import main; main()", "demo", str(folder), "--cells", "2000"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    deadline = time.monotonic() + 60
    while not list(folder.glob(".simulated-census*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert not (folder / "simulated-census").exists()
    finished = curate("demo", folder, "--cells", "2000")
    assert finished.code == 0, finished.err
    assert "every one verified" in finished.out
    once_more = curate("demo", folder, "--cells", "2000")
    assert once_more.code == 0
    assert curate("demo", folder, "--cells", "3000").err.startswith(
        f"curate: {folder} holds a demo of 2,000 cells"
    )
