"""`curate corpus add-source`, `curate corpus sources`, and `curate build --spike-in`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from curate.cli import curate
from curate.errors import SelectionError, SourceError

if TYPE_CHECKING:
    from pathlib import Path


def run(workspace: Path, *arguments: object) -> Result:
    return CliRunner().invoke(curate, ["-C", str(workspace), *map(str, arguments)])


def test_add_source_prints_cells_and_both_shares_of_genes(
    fresh_screen_workspace: Path, coordinate_screen: Path
) -> None:
    result = run(
        fresh_screen_workspace,
        *("corpus", "add-source", "more", coordinate_screen),
        *("--perturbation-column", "gene", "--control", "control", "--map", "donor_id=line"),
    )
    assert result.exit_code == 0, result.output
    assert "90: 3 perturbations in gene, 30 controls (control)" in result.output
    assert "the corpus has 90 of its 100 genes (90.0%)" in result.output
    assert "it measured 90 of the corpus' 120 (75.0%)" in result.output
    listed = json.loads(run(fresh_screen_workspace, "corpus", "sources", "--json").output)
    assert [source["name"] for source in listed["registered"]] == ["more", "screen"]
    assert [each["n_cells"] for each in listed["described"]] == [310_385, 1_989_578, 247_914]


def test_sources_prints_what_is_registered_and_described(screen_workspace: Path) -> None:
    output = run(screen_workspace, "corpus", "sources").output
    assert "screen" in output
    assert "90.0%" in output
    assert "replogle-k562-gwps" in output


def test_a_description_is_checked_and_what_differs_is_said(
    fresh_screen_workspace: Path, coordinate_screen: Path
) -> None:
    result = run(
        fresh_screen_workspace,
        *("corpus", "add-source", "k562", coordinate_screen, "--description", "replogle-k562-gwps"),
        *("--perturbation-column", "gene", "--control", "control", "--json"),
    )
    assert result.exit_code == 0, result.output
    assert "its number of cells is 90, described 1,989,578" in result.stderr
    assert "its name is" in result.stderr
    report = json.loads(result.stdout)
    assert report["description"] == "replogle-k562-gwps"
    assert report["alignment"]["n_mapped"] == 90


def test_build_writes_the_base_and_the_spiked_subset(fresh_screen_workspace: Path) -> None:
    result = run(
        fresh_screen_workspace,
        *("build", "--strategy", "random", "--n-cells", "50", "--spike-in", "screen=0.1", "--json"),
    )
    assert result.exit_code == 0, result.output
    base, spiked = json.loads(result.output)
    assert spiked["ref"] == "random-n50-s0+screen=0.1@v1"
    assert spiked["splits"] == base["splits"]
    shown = run(fresh_screen_workspace, "manifests", "show", "random-n50-s0+screen=0.1").output
    assert "replace balance=none seed=0" in shown
    assert "base random-n50-s0@v1" in shown


def test_explain_says_what_reading_spike_ins_will_take(screen_workspace: Path) -> None:
    options = ("--strategy", "random", "--n-cells", "50", "--spike-in", "screen=0.1", "--explain")
    result = run(screen_workspace, "build", *options)
    assert result.exit_code == 0, result.output
    assert "reads the files of screen (90 cells, 0.00 GB)" in result.stderr


@pytest.mark.parametrize("value", ["screen", "screen=much", "=0.1"])
def test_a_spike_in_that_is_no_name_and_share_is_wrong_usage(screen_workspace: Path, value: str) -> None:
    result = run(screen_workspace, "build", "--strategy", "random", "--n-cells", "5", "--spike-in", value)
    assert result.exit_code == 2
    assert "write NAME=SHARE, such as screen=0.1" in result.output


@pytest.mark.parametrize(
    ("value", "error"),
    [("scren=0.1", SourceError), ("screen=1.5", SelectionError), ("screen=0", SelectionError)],
)
def test_a_spike_in_that_cannot_be_is_a_known_error(
    screen_workspace: Path, value: str, error: type[Exception]
) -> None:
    result = run(screen_workspace, "build", "--strategy", "random", "--n-cells", "5", "--spike-in", value)
    assert isinstance(result.exception, error)


def test_the_genes_of_a_corpus_are_shown_with_who_measured_them(fresh_screen_workspace: Path) -> None:
    output = run(fresh_screen_workspace, "corpus", "show", "--genes", "--column", "assay").output
    assert "measured by every data set 120, by none 0" in output
    shown = json.loads(run(fresh_screen_workspace, "corpus", "show", "--genes", "--json").output)
    assert shown["measured"]["n_measured_by_dataset"] == {
        "dataset-a": 120,
        "dataset-b": 120,
        "dataset-c": 120,
    }
    assert shown["measured"]["n_measured_by_source"] == {"screen": 90}
