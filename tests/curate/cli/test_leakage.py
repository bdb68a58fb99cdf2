"""curate leakage, and build --exclude-overlap."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import polars as pl
import pytest
from click.testing import CliRunner

from curate.cli import curate
from curate.errors import CurateError, LeakageError
from curate.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def run(root: Path, *arguments: object, fails: bool = False) -> Result:
    return CliRunner().invoke(curate, ["-C", str(root), *map(str, arguments)], catch_exceptions=fails)


@pytest.fixture
def evaluation(fresh_workspace: Path, tmp_path: Path) -> Path:
    """An h5ad file of 60 cells of the corpus, renamed, with their donors but not their datasets."""
    corpus = Workspace.find(fresh_workspace).corpus()
    run(fresh_workspace, "build", "--strategy", "random", "--fraction", 1, "--name", "all")
    run(fresh_workspace, "build", "--strategy", "random", "--n-cells", 60, "--seed", 3, "--name", "few")
    from curate.manifests.manifest import Manifest

    cells = Manifest.load("few", workspace=Workspace.find(fresh_workspace)).to_anndata()
    cells.obs_names = [f"renamed-{k}" for k in range(cells.n_obs)]
    # Of one donor, by what the file says.
    cells.obs = cells.obs[["donor_id"]].astype(str).assign(donor_id=str(cells.obs["donor_id"].iloc[0]))
    assert corpus.n_cells > 60
    cells.write_h5ad(tmp_path / "eval.h5ad")
    return tmp_path / "eval.h5ad"


def test_overlap_is_reported_and_fails(fresh_workspace: Path, evaluation: Path) -> None:
    result = run(fresh_workspace, "leakage", "all", evaluation, "--json", fails=True)
    assert isinstance(result.exception, LeakageError)
    (found,) = json.loads(result.stdout)["evaluations"]
    n = found["n_shared_cells"]
    assert str(result.exception) == (
        f"all@v1 holds {n} cells of eval.h5ad; build with --exclude-overlap, or allow it with --fail-on none"
    )
    # The shallowest of the simulated cells hold too little to be decided.
    assert 60 - found["n_too_few"] == found["methods"]["exact"]["n_cells"] == n
    assert n >= 55
    assert found["methods"]["joinid"]["why_not"].startswith("it has no obs column")
    allowed = run(fresh_workspace, "leakage", "all", evaluation, "--fail-on", "none")
    assert allowed.exit_code == 0
    of_donors = allowed.stdout.rpartition("donor_id")[2]
    assert "?" in of_donors, "joinid did not compare and found no number of cells"
    assert "not compared by joinid: it has no obs column observation_joinid and no dataset_id" in " ".join(
        allowed.stdout.split()
    )


def test_a_build_without_the_overlap_passes_until_donors_are_asked_for(
    fresh_workspace: Path, evaluation: Path
) -> None:
    built = run(
        fresh_workspace,
        *("build", "--strategy", "random", "--fraction", 0.5, "--name", "clean"),
        *("--exclude-overlap", evaluation),
    )
    assert "notice: eval.h5ad was not compared by joinid" in built.stderr
    assert run(fresh_workspace, "leakage", "clean", evaluation).exit_code == 0
    failed = run(fresh_workspace, "leakage", "clean", evaluation, "--fail-on", "any", fails=True)
    assert "cells of donors of eval.h5ad" in str(failed.exception)
    run(
        fresh_workspace,
        *("build", "--strategy", "random", "--fraction", 0.5, "--name", "cleaner"),
        *("--exclude-overlap", evaluation, "--exclude-overlap-by", "exact,near,possible-donor"),
    )
    assert run(fresh_workspace, "leakage", "cleaner", evaluation, "--fail-on", "any").exit_code == 0


def test_pairs_are_written(fresh_workspace: Path, evaluation: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    arguments = ("leakage", "all", evaluation, "--fail-on", "none", "--write-pairs", pairs)
    assert run(fresh_workspace, *arguments).exit_code == 0
    written = pl.read_csv(pairs)
    assert written.height >= 55
    assert written.columns[:4] == ["evaluation", "source", "soma_joinid", "split"]


def test_explained_nothing_is_compared(fresh_workspace: Path, evaluation: Path) -> None:
    result = run(fresh_workspace, "leakage", "all", evaluation, "--explain", "--json")
    (found,) = json.loads(result.stdout)
    lines = {line["name"]: line["value"] for line in found["lines"]}
    assert lines["evaluation cells"] == 60
    assert lines["pairs decided"] == 60 * lines["cells compared"]
    corpus = Workspace.find(fresh_workspace).corpus()
    assert not (corpus.path / "leakage").exists()
    built = run(
        fresh_workspace,
        *("build", "--strategy", "random", "--fraction", 0.5, "--explain", "--exclude-overlap", evaluation),
    )
    assert "eval.h5ad in corpus demo by joinid, exact, near" in " ".join(built.stdout.split())


def explained(root: Path, *arguments: object) -> list[dict[str, dict[str, object]]]:
    """Return the lines by name of each explanation of a build; "left out" by what left them out."""
    result = run(root, "build", "--strategy", "random", "--explain", "--json", *arguments)
    return [
        {
            line["source"] if line["name"] == "left out" else line["name"]: line
            for line in (*each["lines"], {"name": "notice", "value": each["notice"]})
        }
        for each in json.loads(result.stdout)
    ]


def test_what_a_build_explained_counts_is_what_it_then_uses(fresh_workspace: Path, evaluation: Path) -> None:
    request = ("--fraction", 0.5, "--min-genes", 20, "--exclude-overlap", evaluation)
    corpus = Workspace.find(fresh_workspace).corpus()
    overlap, before = explained(fresh_workspace, *request)
    assert "exact and near will find come off" in str(overlap["notice"]["value"])
    assert "built, after a pass over the counts: the numbers below are of more cells" in str(
        overlap["notice"]["value"]
    )
    n_few = before["min_genes 20 nnz"]["value"]
    assert before["cells to choose from"]["value"] == corpus.n_cells - int(str(n_few))
    assert before["cells to choose from"]["is_estimate"] is True
    assert "the overlap with eval.h5ad by exact and near will come off" in str(
        before["cells to choose from"]["source"]
    )
    assert before["cells chosen"]["is_estimate"] is True
    assert not (corpus.path / "leakage").exists()

    run(fresh_workspace, "build", "--strategy", "random", *request, "--name", "built")
    document = json.loads(run(fresh_workspace, "manifests", "show", "built", "--json").stdout)
    taken = [each["n_cells"] for each in document["exclusions"]]
    overlap, known = explained(fresh_workspace, *request)
    assert overlap["notice"]["value"] == ""
    assert overlap["counts to read"]["value"] == 0
    assert known["cells to choose from"]["value"] == document["selection"]["n_available"]
    assert known["cells to choose from"]["is_estimate"] is False
    assert known["cells chosen"]["value"] == document["n_cells"]
    by_content = [known[f"overlap with eval.h5ad by {method}"]["value"] for method in ("exact", "near")]
    assert [n_few, *by_content] == taken
    assert sum(map(int, map(str, by_content))) >= 55


def test_an_evaluation_set_that_takes_long_to_read_is_not_read_to_explain(
    fresh_workspace: Path, evaluation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.build.leakage.explain.MOST_READ", 10)
    request = ("--n-cells", 50, "--exclude-overlap", evaluation)
    overlap, before = explained(fresh_workspace, *request)
    assert "too large to be read" in str(overlap["notice"]["value"])
    assert before["cells chosen"]["is_estimate"] is False


def test_everything_excluded_names_the_evaluation_set_not_its_fingerprint(
    fresh_workspace: Path, atlas_census: Path
) -> None:
    n_cells = Workspace.find(fresh_workspace).corpus().n_cells
    failed = run(
        fresh_workspace,
        *("build", "--strategy", "random", "--n-cells", 1),
        *("--exclude-overlap", atlas_census, "--exclude-overlap-by", "joinid"),
        fails=True,
    )
    assert str(failed.exception) == (
        f"none of the {n_cells:,} cells of corpus 'demo' is left: overlap with atlas by joinid takes "
        f"{n_cells:,}; loosen one"
    )


def test_an_unknown_manifest_or_method_is_refused(fresh_workspace: Path, evaluation: Path) -> None:
    failed = run(fresh_workspace, "leakage", "nothing", evaluation, fails=True)
    assert isinstance(failed.exception, CurateError)
    assert "no manifest named 'nothing'" in str(failed.exception)
    wrong = run(fresh_workspace, "leakage", "all", evaluation, "--by", "exact,names")
    assert wrong.exit_code == 2
    assert "'names' is none of joinid, exact, near, donor, possible-donor" in wrong.stderr


def test_the_command_line_exits_with_one_line(fresh_workspace: Path, evaluation: Path) -> None:
    command = [sys.executable, "-c", "from curate.cli import main; main()", "-C", str(fresh_workspace)]
    done = subprocess.run(
        [*command, "leakage", "all", str(evaluation), "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("curate: all@v1 holds ")
    assert done.stderr.count("\n") == 1


def test_the_methods_on_offer_are_those_that_there_are() -> None:
    from curate.build.leakage.guard import METHODS
    from curate.cli import leakage_options

    assert leakage_options._METHODS == METHODS
