"""Sources that hold cells of the corpus or of an evaluation set, through the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from curate.build.leakage import doubles
from curate.cli import curate
from curate.errors import CurateError, LeakageError, SelectionError, SourceError
from curate.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def run(root: Path, *arguments: object) -> Result:
    return CliRunner().invoke(curate, ["-C", str(root), *map(str, arguments)])


def text(result: Result) -> str:
    return " ".join(result.output.split())


@pytest.fixture
def screen(fresh_workspace: Path, tmp_path: Path) -> Path:
    """An h5ad file: 60 cells of the corpus, renamed, and the same with other counts in every tenth gene."""
    import anndata as ad
    import numpy as np

    from curate.manifests.manifest import Manifest

    run(fresh_workspace, "build", "--strategy", "depth", "--n-cells", 60, "--name", "few")
    cells = Manifest.load("few", workspace=Workspace.find(fresh_workspace)).to_anndata()
    counts = cells.X.toarray()
    # The genes of each cell moved along: the same depths, other cells.
    both = np.vstack([counts, np.roll(counts, 37, axis=1)])
    screen = ad.AnnData(both, var=cells.var[["feature_name"]])
    screen.obs_names = [f"renamed-{k}" for k in range(120)]
    screen.obs["gene"] = ["control", "A"] * 60
    screen.write_h5ad(tmp_path / "screen.h5ad")
    return tmp_path / "screen.h5ad"


def add(root: Path, file: Path, *options: object) -> Result:
    named = ("--perturbation-column", "gene", "--control", "control")
    return run(root, "corpus", "add-source", "screen", file, *named, *options)


SPIKED = ("build", "--strategy", "random", "--fraction", 0.2, "--spike-in", "screen=0.1")


def test_doubled_cells_are_reported_when_a_source_is_added_and_never_drawn(
    fresh_workspace: Path, screen: Path
) -> None:
    added = add(fresh_workspace, screen)
    assert added.exit_code == 0, added.output
    assert "in corpus 60 of its 120 cells are in corpus demo and will not be drawn" in text(added)
    assert (
        "notice: random-0.2-s0+screen=0.1@v1: cells of source screen were left out of the draw: 60 by "
        in (text(run(fresh_workspace, *SPIKED)))
    )
    shown = text(run(fresh_workspace, "manifests", "show", "random-0.2-s0+screen=0.1"))
    assert "excluded 60 cells: corpus overlap source=screen by=joinid,exact,near" in shown
    assert run(fresh_workspace, "manifests", "verify", "random-0.2-s0+screen=0.1").exit_code == 0
    again = json.loads(run(fresh_workspace, "corpus", "compare-source", "screen", "--json").stdout)
    assert again["n_cells"] == 60


def test_a_source_that_is_the_evaluation_set_is_excluded_and_without_it_reported(
    fresh_workspace: Path, screen: Path
) -> None:
    add(fresh_workspace, screen)
    excluded = run(fresh_workspace, *SPIKED, "--exclude-overlap", screen)
    assert isinstance(excluded.exception, SelectionError)
    assert "of which 0 may be drawn (corpus overlap takes 60, evaluation overlap takes 60)" in str(
        excluded.exception
    )
    run(fresh_workspace, *SPIKED, "--name", "spiked")
    found = run(fresh_workspace, "leakage", "spiked+screen=0.1", screen, "--json")
    assert isinstance(found.exception, LeakageError)
    report = json.loads(found.stdout)
    n = report["n_spike_ins"]["screen"]
    (each,) = report["evaluations"]
    assert each["sources"]["screen"]["methods"]["exact"]["splits"] == {"train": n, "val": 0, "test": 0}
    assert each["sources"]["screen"]["n_shared_cells"] == n > 0
    n_of_corpus = each["methods"]["exact"]["n_cells"]
    assert each["n_shared_cells"] == report["n_shared_cells"] == n + n_of_corpus
    assert f"spiked+screen=0.1@v1 holds {n + n_of_corpus} cells of screen.h5ad" in str(found.exception)
    printed = text(run(fresh_workspace, "leakage", "spiked+screen=0.1", screen))
    assert f"spike-ins of screen ({n:,} cells): {n:,} of them" in printed


def test_spike_ins_whose_source_is_gone_fail_the_check(
    fresh_workspace: Path, screen: Path, tmp_path: Path
) -> None:
    import anndata as ad

    add(fresh_workspace, screen)
    run(fresh_workspace, *SPIKED)
    cells = ad.read_h5ad(screen)
    others = cells[60:].copy()
    others.X = others.X[:, ::-1]
    others.write_h5ad(tmp_path / "others.h5ad")
    checked = ("leakage", "random-0.2-s0+screen=0.1", tmp_path / "others.h5ad")
    assert run(fresh_workspace, *checked).exit_code == 0
    corpus = Workspace.find(fresh_workspace).corpus()
    (corpus.sources_path / "screen").rename(corpus.sources_path / ".screen")
    failed = run(fresh_workspace, *checked)
    assert isinstance(failed.exception, LeakageError)
    assert "cells of source 'screen' could not be compared with others.h5ad: the corpus has no source" in str(
        failed.exception
    )
    assert "not compared: the corpus has no source 'screen'" in text(failed)
    assert run(fresh_workspace, *checked, "--fail-on", "none").exit_code == 0


def test_an_evaluation_set_that_no_method_can_compare_fails_the_check(
    fresh_workspace: Path, screen: Path, tmp_path: Path
) -> None:
    import anndata as ad

    run(fresh_workspace, "build", "--strategy", "random", "--fraction", 0.2)
    ad.read_h5ad(screen)[:, :3].copy().write_h5ad(tmp_path / "panel.h5ad")
    failed = run(fresh_workspace, "leakage", "random-0.2-s0", tmp_path / "panel.h5ad")
    assert isinstance(failed.exception, LeakageError)
    assert "cells of the corpus could not be compared with panel.h5ad" in str(failed.exception)


def test_a_large_corpus_is_compared_only_when_asked(
    fresh_workspace: Path, screen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubles, "AT_ONCE_S", 0.0)
    added = add(fresh_workspace, screen)
    assert added.exit_code == 0, added.output
    assert "notice: not compared with the corpus yet: that reads the counts of" in added.stderr
    refused = run(fresh_workspace, *SPIKED)
    assert isinstance(refused.exception, SourceError)
    assert "run `curate corpus compare-source screen`" in str(refused.exception)
    explained = text(run(fresh_workspace, *SPIKED, "--explain"))
    assert "source screen in corpus demo by joinid, exact, near" in explained
    alone = json.loads(
        run(fresh_workspace, "corpus", "compare-source", "screen", "--explain", "--json").stdout
    )
    assert {line["name"]: line["value"] for line in alone[0]["lines"]}["cells of the source"] == 120
    assert not list(Workspace.find(fresh_workspace).corpus().sources_path.glob("*/doubles"))
    allowed = run(fresh_workspace, *SPIKED, "--allow-uncompared", "--name", "allowed")
    assert allowed.exit_code == 0
    assert "source screen was not compared with the corpus" in text(allowed)
    assert "60 of its 120 cells" in run(fresh_workspace, "corpus", "compare-source", "screen").output
    assert "60 by corpus overlap" in text(run(fresh_workspace, *SPIKED))


def test_an_unknown_source_is_a_known_error(fresh_workspace: Path) -> None:
    failed = run(fresh_workspace, "corpus", "compare-source", "nobody")
    assert isinstance(failed.exception, CurateError)
    assert "has no source named 'nobody'" in str(failed.exception)


def test_explained_a_leakage_check_tells_the_spike_ins_too(fresh_workspace: Path, screen: Path) -> None:
    add(fresh_workspace, screen)
    run(fresh_workspace, *SPIKED)
    result = run(fresh_workspace, "leakage", "random-0.2-s0+screen=0.1", screen, "--explain", "--json")
    titles = [each["title"].split(" by ")[0] for each in json.loads(result.stdout)]
    assert titles == ["screen.h5ad in corpus demo", "screen.h5ad in source screen"]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ((*SPIKED[:-1], "screen=0.5"), "of which 60 may be drawn (corpus overlap takes 60)"),
        ((*SPIKED[:-1], "screen=0.0001"), "is 0 cells; use at least"),
        ((*SPIKED, "--split-ratios", "0.5,0.5,0.5"), "sum to 1.5"),
    ],
)
def test_what_a_build_would_refuse_is_refused_by_the_same_line_when_it_is_explained(
    request_: tuple[object, ...], said: str, fresh_workspace: Path, screen: Path
) -> None:
    add(fresh_workspace, screen)
    explained, built = run(fresh_workspace, *request_, "--explain"), run(fresh_workspace, *request_)
    assert isinstance(explained.exception, CurateError)
    assert said in str(explained.exception)
    assert str(built.exception) == str(explained.exception)


def test_an_overlap_that_an_earlier_build_found_counts_when_a_build_is_explained(
    fresh_workspace: Path, screen: Path
) -> None:
    add(fresh_workspace, screen)
    request = (*SPIKED, "--exclude-overlap", screen)
    before = run(fresh_workspace, *request, "--explain")
    assert before.exit_code == 0, before.output
    assert "its overlap with screen.h5ad by exact and near come off the cells of screen only when it is" in (
        text(before)
    )
    built, after = run(fresh_workspace, *request), run(fresh_workspace, *request, "--explain")
    assert isinstance(after.exception, SelectionError)
    assert str(after.exception) == str(built.exception)
    assert after.stdout == ""


def test_a_source_that_would_have_to_be_compared_first_is_refused_when_it_is_explained(
    fresh_workspace: Path, screen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubles, "AT_ONCE_S", 0.0)
    add(fresh_workspace, screen)
    explained, built = run(fresh_workspace, *SPIKED, "--explain"), run(fresh_workspace, *SPIKED)
    assert isinstance(explained.exception, SourceError)
    assert str(explained.exception) == str(built.exception)
    # What comparing takes is said all the same.
    assert "source screen in corpus demo by joinid, exact, near" in text(explained)
    allowed = run(fresh_workspace, *SPIKED, "--explain", "--allow-uncompared")
    assert allowed.exit_code == 0
