"""`curate corpus build` and `curate corpus show`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from curate.cli import curate
from curate.errors import CensusError, CorpusError, RecipeError
from curate.workspace import CensusSettings, Workspace

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = """
name = "mine"
[cells]
filter = "is_primary_data == True"
assays = ["10x 3' v3", "10x 3' v2"]
[cell_types]
min_cells = 20
"""


@pytest.fixture
def workspace(coordinate_census: Path, tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "workspace", census=CensusSettings(uri=str(coordinate_census)))


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE)
    return str(path)


def run(workspace: Workspace, *arguments: str) -> Result:
    return CliRunner().invoke(curate, ["-C", str(workspace.root), "corpus", *arguments])


def test_build_prints_what_was_kept_and_what_each_rule_dropped(workspace: Workspace, recipe: str) -> None:
    result = run(workspace, "build", "--recipe", recipe)
    assert result.exit_code == 0, result.output
    header = workspace.corpus("mine").header
    assert f"{header.n_cells:,} of 600 homo_sapiens" in result.output
    for rule in ("filter", "assays", "min_cells"):
        assert rule in result.output
    assert "Smart-seq2" in result.output
    assert header.census.label == "coordinates"
    assert "label     coordinates" in result.output


def test_build_and_show_print_the_same_header_as_json(workspace: Workspace, recipe: str) -> None:
    built = json.loads(run(workspace, "build", "--recipe", recipe, "--name", "other", "--json").output)
    shown = json.loads(run(workspace, "show", "--json", "--column", "disease", "--top", "2").output)
    assert built["name"] == shown["name"] == "other"
    assert built["id"] == shown["id"] == workspace.corpus("other").id
    assert built["dropped"] == shown["dropped"]
    assert built["n_read"] - sum(each["n_cells"] for each in built["dropped"]) == built["n_cells"]
    counts = workspace.corpus("other").value_counts("disease").head(2)
    assert shown["composition"] == {"disease": counts.to_dicts()}


def test_show_draws_the_composition(workspace: Workspace, recipe: str) -> None:
    run(workspace, "build", "--recipe", recipe)
    result = run(workspace, "show")
    assert result.exit_code == 0, result.output
    value, n_cells = workspace.corpus("mine").value_counts("assay").row(0)
    line = next(line for line in result.output.splitlines() if value in line and "█" in line)
    assert f"{n_cells:,}" in line
    assert "cell_type (" in result.output


def test_at_80_columns_no_number_and_no_line_is_cut(
    workspace: Workspace, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(workspace, "build", "--recipe", recipe)
    path = workspace.corpora_path / "mine" / "corpus.json"
    document = json.loads(path.read_text())
    lost = {
        "retina horizontal cell": 1_234_567,
        "CD4-positive,alpha-beta-memory-T-cell-of-one-very-long-name": 328,
        "A": 3,
    }
    document["recipe"]["description"] = "word " * 40
    document["notes"] = ["a note of many words, " * 10 + "/a/path/" + "x" * 90]
    document["dropped"][1] |= {"n_cells": 12_345_678, "n_matching": 12_345_678, "values": lost}
    path.write_text(json.dumps(document))
    monkeypatch.setenv("COLUMNS", "80")
    lines = run(workspace, "show").output.splitlines()
    assert [line for line in lines if len(line) > 80] == [" " * 10 + "/a/path/" + "x" * 90]
    words = " ".join(lines).replace(",", " ").split()
    for number in ("1 234 567", "328", "12 345 678"):
        assert f" {number} " in f" {' '.join(words)} "
    start = next(line for line in lines if "what it dropped" in line).index("what it dropped")
    told = "".join(line[start:].strip() for line in lines).replace(" ", "")
    assert "328CD4-positive,alpha-beta-memory-T-cell-of-one-very-long-nameand1more" in told


def test_show_gives_the_quantiles_of_numbers(workspace: Workspace, recipe: str) -> None:
    run(workspace, "build", "--recipe", recipe)
    sums = workspace.corpus("mine").columns(["raw_sum"])["raw_sum"].sort()
    shown = json.loads(run(workspace, "show", "--column", "raw_sum", "--json").output)
    assert shown["composition"] == {}
    quantiles = shown["quantiles"]["raw_sum"]
    assert (quantiles["least"], quantiles["most"]) == (sums[0], sums[-1])
    assert list(quantiles.values()) == sorted(quantiles.values())
    assert f"median {quantiles['median']:,.0f}" in run(workspace, "show", "--column", "raw_sum").output


def test_show_of_an_absent_column_names_the_nearest(workspace: Workspace, recipe: str) -> None:
    run(workspace, "build", "--recipe", recipe)
    result = run(workspace, "show", "--column", "diseases")
    assert isinstance(result.exception, CorpusError)
    assert "did you mean 'disease'" in str(result.exception)


def test_the_uri_given_goes_before_that_of_the_workspace(
    workspace: Workspace, recipe: str, coordinate_census: Path, tmp_path: Path
) -> None:
    result = run(workspace, "build", "--recipe", recipe, "--uri", str(tmp_path / "none"))
    assert isinstance(result.exception, CensusError)
    assert run(workspace, "build", "--recipe", recipe, "--uri", str(coordinate_census)).exit_code == 0


def test_the_uri_of_the_recipe_is_relative_to_the_recipe(
    coordinate_census: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace.create(tmp_path / "elsewhere", census=CensusSettings(uri="/none"))
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "mine.toml").write_text(RECIPE + '[census]\nuri = "../store"\n')
    (tmp_path / "store").symlink_to(coordinate_census)
    monkeypatch.chdir("/")
    result = run(workspace, "build", "--recipe", str(tmp_path / "recipes" / "mine.toml"))
    assert result.exit_code == 0, result.output


def test_a_name_that_is_taken_is_refused_before_anything_is_read(workspace: Workspace, recipe: str) -> None:
    run(workspace, "build", "--recipe", recipe)
    result = run(workspace, "build", "--recipe", recipe, "--uri", "/none")
    assert isinstance(result.exception, CorpusError)
    assert "there is a corpus 'mine' already" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "demo", "--release", "a", "--uri", "b"], "give one of them"),
        (["--recipe", "demo", "--name", "../up"], "take letters, digits"),
        ([], "Missing option '--recipe'"),
    ],
)
def test_wrong_usage_exits_with_2(workspace: Workspace, arguments: list[str], message: str) -> None:
    result = run(workspace, "build", *arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_an_unknown_recipe_is_an_error(workspace: Workspace) -> None:
    result = run(workspace, "build", "--recipe", "nothing")
    assert isinstance(result.exception, RecipeError)
    assert workspace.corpus_names() == []


@pytest.mark.parametrize("name", ["build", "show"])
def test_help_has_an_example(name: str) -> None:
    output = CliRunner().invoke(curate, ["corpus", name, "--help"]).output
    assert "Examples:" in output
    assert f"curate corpus {name}" in output
