"""`curate holdout` from end to end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from curate.census import Census
from curate.cli import curate
from curate.corpus.build import build_corpus
from curate.errors import SelectionError
from curate.recipe import Recipe
from curate.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import WriteRelease

N_GENES = 60


@pytest.fixture(scope="module")
def corpora(write_release: WriteRelease, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two corpora: "b" has the 20 cells of "a" once more and as "again", and 30 new ones."""
    folder = tmp_path_factory.mktemp("cli")
    counts = np.random.default_rng(0).poisson(1.5, size=(50, N_GENES)).astype(np.float32)
    releases: dict[str, Any] = {
        "a": {"old": (counts[:20], {})},
        "b": {"old": (counts[:20], {}), "again": (counts[:20], {}), "fresh": (counts[20:], {})},
    }
    for name, datasets in releases.items():
        store = write_release(folder / f"store-{name}", datasets, build_date=f"2026-01-0{len(datasets)}")
        with Census.open(uri=store) as census:
            build_corpus(Recipe(name=name), census, folder / "corpora" / name)
    return folder / "corpora"


@pytest.fixture
def workspace(corpora: Path, tmp_path: Path) -> Workspace:
    workspace = Workspace.create(tmp_path / "workspace")
    workspace.corpora_path.symlink_to(corpora)
    return workspace


def run(workspace: Workspace, *arguments: str) -> Result:
    return CliRunner().invoke(curate, ["-C", str(workspace.root), *arguments], catch_exceptions=False)


def test_new_cells_become_a_manifest_that_verifies(workspace: Workspace) -> None:
    done = run(workspace, "holdout", "--new-since", "a", "--in", "b")
    assert done.exit_code == 0
    assert "30 cells of b are new since a, by identity and content" in done.output
    assert "left out: 20 known by identity" in done.output
    assert "left out: 20 known by content" in done.output
    assert "again    re-versioned     20    0         0       20        0     0" in done.output
    assert run(workspace, "manifests", "verify", "holdout-b-since-a").exit_code == 0
    shown = run(workspace, "manifests", "show", "holdout-b-since-a").output
    assert "holdout" in shown
    assert "train 0, val 0, test 30" in shown


def test_the_report_is_json_too(workspace: Workspace) -> None:
    arguments = ["--new-since", "a", "--in", "b", "--n-cells", "10", "--name", "ten", "--json"]
    found = json.loads(run(workspace, "holdout", *arguments).output)
    assert (found["ref"], found["n_new"], found["n_cells"]) == ("ten@v1", 30, 10)
    assert found["by"] == ["identity", "content"]
    assert [(each["dataset"], each["kind"]) for each in found["datasets"]] == [
        ("fresh", "new"),
        ("again", "re-versioned"),
        ("old", "unchanged"),
    ]
    assert found["exclusions"][0]["reason"] == "known by identity"
    assert found["splits"] == {"train": 0, "val": 0, "test": 10}


def test_settings_reach_the_manifest(workspace: Workspace) -> None:
    arguments = "--new-since a --in b --by identity --split-ratios 0.5,0,0.5 --unseen-donors --name some"
    found = json.loads(run(workspace, "holdout", *arguments.split(), "--json").output)
    assert found["by"] == ["identity"]
    assert found["splits"]["train"] + found["splits"]["test"] == 50
    assert found["splits"]["train"] > 10
    assert [each["reason"] for each in found["exclusions"]] == ["known by identity", "donor known"]


def test_wrong_usage_exits_with_2_and_wrong_settings_are_one_line(workspace: Workspace) -> None:
    both = ["--new-since", "a", "--in", "b", "--fraction", "0.1", "--n-cells", "3"]
    assert run(workspace, "holdout", *both).exit_code == 2
    assert run(workspace, "holdout", "--in", "b").exit_code == 2
    wrong = run(workspace, "holdout", "--new-since", "a", "--in", "b", "--by", "barcode")
    assert wrong.exit_code == 2
    assert "'barcode' is not one" in wrong.output
    with pytest.raises(SelectionError, match="none of its cells is new"):
        run(workspace, "holdout", "--new-since", "a", "--in", "a")


def test_the_same_cells_by_shared_genes(workspace: Workspace) -> None:
    arguments = ["--new-since", "a", "--in", "b", "--shared-genes", "--name", "shared", "--json"]
    found = json.loads(run(workspace, "holdout", *arguments).stdout)
    assert found["n_new"] == 30
    assert "60 genes, those that every dataset of both measured" in found["notes"][0]
