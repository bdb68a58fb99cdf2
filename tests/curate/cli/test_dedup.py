"""build --dedup, as its user meets it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from curate.cli import curate
from curate.errors import CurateError, EmbeddingError
from curate.manifests.registry import Registry
from curate.rates import rate_of
from curate.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

BUILD = ("build", "--strategy", "random", "--fraction", "0.1")


def run(root: Path, *arguments: str, fails: bool = False) -> Result:
    return CliRunner().invoke(curate, ["-C", str(root), *arguments], catch_exceptions=fails)


def test_near_duplicates_are_left_out_before_choosing_and_shown(fresh_workspace: Path) -> None:
    before = rate_of(fresh_workspace, "build random")
    assert (
        run(fresh_workspace, *BUILD, "--dedup", "0.8", "--min-counts", "1", "--name", "thin").exit_code == 0
    )
    assert rate_of(fresh_workspace, "build random") == before
    manifest = Registry(Workspace.find(fresh_workspace).manifests_path).resolve("thin")
    by_counts, near = manifest.document.exclusions
    assert (by_counts.reason, near.parameters["cosine_above"]) == ("min_counts", 0.8)
    assert near.n_cells > 0
    assert manifest.document.selection.n_available == manifest.document.corpus.n_cells - near.n_cells
    shown = " ".join(run(fresh_workspace, "manifests", "show", "thin").output.split())
    assert f"{near.n_cells:,} cells: near-duplicate in the embedding cosine_above=0.8" in shown


def test_a_ladder_takes_it_too(fresh_workspace: Path) -> None:
    arguments = ("--ladder", "0.1,1", "--nested", "--strategy", "random,facility", "--dedup", "0.8", "--json")
    found = json.loads(run(fresh_workspace, "build", *arguments).stdout)
    sizes = {(step["strategy"], step["fraction"]): step["n_cells"] for step in found["steps"]}
    assert sizes["random", 1.0] == sizes["facility", 1.0] < found["corpus"]["n_cells"]


def test_explain_says_what_looking_takes_and_does_not_look(
    fresh_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curate.build.dedup import dedup

    monkeypatch.setattr(dedup, "find_near", None)
    result = run(fresh_workspace, *BUILD, "--dedup", "0.95", "--explain")
    assert result.exit_code == 0
    for expected in (
        "cosine above 0.95 in pca",
        "cells compared, at most",
        "embedding to read",
        "near-duplicates above 0.95 in pca will come off",
        "random of",
    ):
        assert expected in " ".join(result.output.split())
    assert not (fresh_workspace / "manifests").exists()


@pytest.mark.parametrize("cosine", ["1", "0", "-1", "2", "most"])
def test_a_cosine_that_is_none_is_wrong_usage(fresh_workspace: Path, cosine: str) -> None:
    result = run(fresh_workspace, *BUILD, f"--dedup={cosine}")
    assert result.exit_code == 2
    assert "Invalid value for '--dedup'" in result.output


def test_without_an_embedding_it_says_how_to_make_one(fresh_workspace: Path) -> None:
    result = run(fresh_workspace, *BUILD, "--dedup", "0.9", "--embedding", "none", fails=True)
    assert isinstance(result.exception, EmbeddingError)
    assert "has no embedding 'none'" in str(result.exception)
    odd = run(fresh_workspace, *BUILD, "--dedup", "nan", fails=True)
    assert isinstance(odd.exception, CurateError)
    assert "dedup: cosine nan tells no near-duplicates" in str(odd.exception)
