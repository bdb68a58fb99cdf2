"""`curate manifests` and `curate diff` from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from curate.cli import curate
from curate.corpus import Corpus
from curate.errors import CorpusError, CurateError, ManifestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.workspace import Workspace
    from tests.manifests.conftest import Write


@pytest.fixture
def run(workspace: Workspace) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(curate, ["-C", str(workspace.root), *arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return run


def test_manifests_are_listed_the_newest_of_each_name(write: Write, run: Callable[..., str]) -> None:
    assert "holds no manifest; make one with `curate build`" in run("manifests", "list")
    assert json.loads(run("manifests", "list", "--json")) == []
    write("a", [1])
    write("a", [2])
    write("b", [3])
    run("manifests", "tag", "a@v2", "paper")
    listed = json.loads(run("manifests", "list", "--json"))
    assert [(row["ref"], row["n_cells"], row["tags"]) for row in listed] == [
        ("a@v2", 1, ["paper"]),
        ("b@v1", 1, []),
    ]
    every = json.loads(run("manifests", "list", "--all", "--json"))
    assert [row["ref"] for row in every] == ["a@v1", "a@v2", "b@v1"]
    shown = run("manifests", "list").splitlines()
    assert shown[0].split() == ["manifest", "id", "strategy", "seed", "cells", "corpus", "tags"]
    assert shown[1].split() == ["a@v2", listed[0]["id"][:12], "random", "0", "1", "all", "paper"]


def test_a_damaged_manifest_is_listed_as_such(write: Write, run: Callable[..., str]) -> None:
    Path(write("a").folder, "manifest.json").write_text("{}")
    assert run("manifests", "list").splitlines()[1].split() == ["a@v1", "damaged"]
    (row,) = json.loads(run("manifests", "list", "--json"))
    assert "not a manifest format" in row["problem"]
    assert json.loads(run("info", "--json"))["damaged_manifests"] == ["a@v1"]
    assert "damaged   a@v1" in run("info")


def test_damaged_tags_do_not_keep_manifests_from_being_listed(write: Write, run: Callable[..., str]) -> None:
    path = Path(write("a").folder)
    write("b")
    (path.parent / "tags.json").write_text("{")
    shown = run("manifests", "list").splitlines()
    assert [line.split()[0] for line in shown[:3]] == ["manifest", "a@v1", "b@v1"]
    assert shown[1].split()[-1] == "damaged"
    assert "remove it and tag the versions again" in shown[3]


def test_a_manifest_is_shown_and_printed_as_it_is(write: Write, run: Callable[..., str]) -> None:
    manifest = write("a")
    run("manifests", "tag", "a", "paper")
    shown = run("manifests", "show", "a@paper", "--top", "1")
    assert shown.startswith("a@v1")
    assert "paper" in shown
    assert "2 more" in shown
    assert run("manifests", "show", manifest.id[:8], "--json").encode() == manifest.document.to_bytes()


def test_a_manifest_is_verified_line_by_line(write: Write, run: Callable[..., str]) -> None:
    write("a")
    write("b")
    checks = [line.split()[:2] for line in run("manifests", "verify", "a").splitlines()[1:]]
    names = ["manifest.json", "cells.parquet", "cells", "id", "counts", "corpus", "joinids", "composition"]
    assert checks == [["ok", name] for name in names]
    reports = json.loads(run("manifests", "verify", "--all", "--json"))
    assert [(report["ref"], report["ok"]) for report in reports] == [("a@v1", True), ("b@v1", True)]


def test_a_failed_check_is_one_line_and_exit_status_1(write: Write, workspace: Workspace) -> None:
    path = Path(write("a").folder, "cells.parquet")
    content = bytearray(path.read_bytes())
    content[50] ^= 4
    path.write_bytes(content)
    command = [sys.executable, "-m", "curate.cli", "-C", str(workspace.root), "manifests", "verify", "a"]
    code = "import sys; from curate.cli import main; sys.argv = ['curate', *sys.argv[1:]]; main()"
    ran = subprocess.run(
        [sys.executable, "-c", code, *command[3:]], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith(
        "curate: a@v1 failed 2 of 3 checks: cells.parquet: its sha256 is not the one"
    )
    assert ran.stderr.count("\n") == 1
    assert "failed" in ran.stdout


def test_all_manifests_are_checked_before_one_fails(write: Write, workspace: Workspace) -> None:
    Path(write("a").folder, "cells.parquet").unlink()
    write("b")
    result = CliRunner().invoke(
        curate, ["-C", str(workspace.root), "manifests", "verify", "a", "b", "--json"]
    )
    assert str(result.exception).startswith("1 of 2 manifests failed: a@v1; a@v1: cells.parquet: ")
    assert [report["ok"] for report in json.loads(result.output)] == [False, True]


def test_manifests_that_cannot_be_opened_fail_and_the_rest_is_checked(
    write: Write, workspace: Workspace
) -> None:
    Path(write("a").folder, "manifest.json").write_text("{")
    write("b")
    Path(write("c").folder, "manifest.json").unlink()
    result = failed("-C", str(workspace.root), "manifests", "verify", "--all", "--json")
    assert isinstance(result.exception, ManifestError)
    assert str(result.exception).startswith("2 of 3 manifests failed: a@v1, c@v1; a@v1: manifest.json: ")
    reports = json.loads(result.output)
    assert [(report["ref"], report["ok"]) for report in reports] == [
        ("a@v1", False),
        ("b@v1", True),
        ("c@v1", False),
    ]
    assert [check["name"] for check in reports[0]["checks"]] == ["manifest.json"]
    assert "is damaged: not JSON" in reports[0]["checks"][0]["detail"]


def test_a_damaged_corpus_fails_the_check_of_its_manifests_alone(
    write: Write, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a", [1])

    def fail(corpus: Corpus) -> None:
        raise CorpusError("cells.parquet cannot be read")

    monkeypatch.setattr(Corpus, "joinids", fail)
    result = failed("-C", str(workspace.root), "manifests", "verify", "--all")
    assert "a@v1 failed 1 of 1 checks: corpus: cells.parquet cannot be read" in str(result.exception)


def test_a_single_unknown_manifest_is_said_as_by_any_command(write: Write, workspace: Workspace) -> None:
    write("a")
    result = failed("-C", str(workspace.root), "manifests", "verify", "b")
    assert str(result.exception).startswith("no manifest named 'b'; ")


def test_the_log_says_what_changed(write: Write, run: Callable[..., str]) -> None:
    write("a", [1])
    write("a", [2, 3])
    shown = run("manifests", "log", "a")
    assert "selection.n_cells: 1 → 2" in shown
    assert [version["n_cells"] for version in json.loads(run("manifests", "log", "a", "--json"))] == [1, 2]


def test_simulated_corpora_are_said_under_list_and_log(
    write: Write, run: Callable[..., str], simulated: Corpus
) -> None:
    write("a", [1])
    assert "simulated" not in run("manifests", "list")
    write("b", [1], corpus=simulated)
    said = "simulated data, no real cells: corpus all"
    for command in (["list"], ["log", "b"]):
        assert run("manifests", *command).splitlines()[-1] == said
    labels = [row["label"] for row in json.loads(run("manifests", "list", "--json"))]
    assert labels == ["coordinates", "Simulated by hand: 600 cells"]
    assert "simulated" not in run("manifests", "log", "a")


def test_a_tag_is_given_moved_and_removed(
    write: Write, run: Callable[..., str], workspace: Workspace
) -> None:
    write("a", [1])
    write("a", [2])
    assert run("manifests", "tag", "a@v1", "paper") == "a@paper is a@v1\n"
    refused = CliRunner().invoke(curate, ["-C", str(workspace.root), "manifests", "tag", "a", "paper"])
    assert "--move takes it to a@v2" in str(refused.exception)
    assert run("manifests", "tag", "a", "paper", "--move") == "a@paper is a@v2\n"
    assert run("manifests", "tag", "a", "paper", "--delete") == "removed tag paper of a\n"


def test_a_manifest_is_exported(write: Write, run: Callable[..., str], tmp_path: Path) -> None:
    write("a")
    copy = str(tmp_path / "copy")
    assert run("manifests", "export", "a", copy, "--portable").startswith("a@v1: 86 cells, ")
    assert run("manifests", "verify", copy).startswith("a@v1")


def test_a_diff_is_printed_and_is_json(write: Write, run: Callable[..., str]) -> None:
    write("a", range(100))
    write("b", range(50, 150))
    assert "Jaccard" in run("diff", "a", "b")
    content = json.loads(
        run("diff", "a", "b", "--column", "dataset_id", "--column", "sex", "--json", "--top", "1")
    )
    assert content["cells"]["both"] == 50
    assert [column["column"] for column in content["composition"]] == ["dataset_id", "sex"]
    assert [len(column["movers"]) for column in content["composition"]] == [1, 1]


def failed(*arguments: str) -> Result:
    result = CliRunner().invoke(curate, arguments)
    assert isinstance(result.exception, CurateError)
    assert "\n" not in str(result.exception)
    return result


def test_an_unknown_manifest_names_the_nearest(write: Write, workspace: Workspace) -> None:
    write("sketch-0.01-s0")
    result = failed("-C", str(workspace.root), "manifests", "show", "sketch-0.1-s0")
    assert "did you mean 'sketch-0.01-s0'?" in str(result.exception)


def test_an_unknown_manifest_names_no_more_than_three(write: Write, workspace: Workspace) -> None:
    for seed in range(6):
        write(f"sketch-0.01-s{seed}")
    for name, said in [
        ("sketch-0.1-s5", "no manifest named 'sketch-0.1-s5'; did you mean 'sketch-0.01-s5', "),
        ("xyz", "no manifest named 'xyz'; the nearest are "),
    ]:
        message = str(failed("-C", str(workspace.root), "manifests", "show", name).exception)
        assert message.startswith(said)
        assert message.count("sketch-0.01-s") == 3
        assert message.endswith("(see `curate manifests list`)")


def test_without_a_workspace_it_is_said_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CURATE_HOME", raising=False)
    for arguments in (["manifests", "list"], ["manifests", "show", "a"], ["diff", "a", "b"]):
        assert "make a workspace with" in str(failed(*arguments).exception)


def test_verify_wants_names_or_all(workspace: Workspace) -> None:
    for arguments in ([], ["a", "--all"]):
        result = CliRunner().invoke(curate, ["-C", str(workspace.root), "manifests", "verify", *arguments])
        assert result.exit_code == 2
        assert "name manifests, or give --all" in result.output
