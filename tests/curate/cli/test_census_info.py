from __future__ import annotations

import json
from typing import TYPE_CHECKING

import cellxgene_census
import polars as pl
import pytest
from click.testing import CliRunner

from curate.census import Census
from curate.census.composition import count_labels, count_numbers
from curate.cli import curate
from curate.errors import CensusError, FilterError, WorkspaceError
from curate.quantiles import line, quantiles
from curate.where import Where
from curate.workspace import CensusSettings, Workspace

if TYPE_CHECKING:
    from pathlib import Path


def run(*arguments: str | int | Path) -> str:
    result = CliRunner().invoke(
        curate, [str(each) for each in arguments], catch_exceptions=False, standalone_mode=False
    )
    return result.output


def refused(*arguments: str | Path) -> str:
    result = CliRunner().invoke(curate, [str(each) for each in arguments])
    assert result.exit_code == 2
    return result.output


def test_info_prints_release_organisms_and_sizes(coordinate_census: Path) -> None:
    output = run("census", "info", "--uri", coordinate_census)
    assert "release 2026-01-31, schema 2.4.0, coordinates" in output
    assert "3 datasets" in output
    assert output.splitlines()[-1].split() == ["homo_sapiens", "600", "570", "120", "normalized,", "raw"]


def test_info_counts_a_column_and_splits_cells_of_two_diseases(coordinate_census: Path) -> None:
    output = run("census", "info", "--uri", coordinate_census, "--column", "disease", "--top", 2)
    lines = [line.split() for line in output.splitlines()]
    assert ["COVID-19", "400", "66.67%"] in lines
    assert ["normal", "200", "33.33%"] in lines
    assert "and 1 more: --top shows them" in output


def test_info_as_json_holds_every_label_of_the_cells_that_match(coordinate_census: Path) -> None:
    output = run(
        "census",
        "info",
        "--uri",
        coordinate_census,
        "--json",
        "--column",
        "disease",
        "--where",
        "sex == 'male'",
    )
    report = json.loads(output)
    assert report["release"] == "2026-01-31"
    assert report["organisms"][0]["n_primary_cells"] == 570
    assert report["organisms"][0]["absent_columns"] == []
    (composition,) = report["composition"]
    assert composition["n_cells"] == 280
    assert composition["labels"] == [
        {"label": "COVID-19", "n_cells": 180},
        {"label": "normal", "n_cells": 100},
        {"label": "type 2 diabetes mellitus", "n_cells": 100},
    ]


def test_info_takes_the_census_of_the_workspace(coordinate_census: Path, tmp_path: Path) -> None:
    Workspace.create(tmp_path / "atlas", census=CensusSettings(uri=str(coordinate_census)))
    assert str(coordinate_census) in run("-C", tmp_path / "atlas", "census", "info")


def test_info_of_a_folder_that_is_no_workspace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"no curate\.toml"):
        run("-C", tmp_path, "census", "info")


def test_info_outside_of_a_workspace_asks_for_the_stable_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        cellxgene_census._release_directory, "CELL_CENSUS_RELEASE_DIRECTORY_URL", "http://127.0.0.1:9/none"
    )
    with pytest.raises(CensusError, match=r"cannot reach the Census release 'stable': no network.*--uri"):
        run("census", "info")


def test_info_of_an_unknown_organism_is_refused(coordinate_census: Path) -> None:
    with pytest.raises(CensusError, match="no organism 'mus_musculus'; there are: homo_sapiens"):
        run("census", "info", "--uri", coordinate_census, "--organism", "mus_musculus")


def test_info_of_an_unknown_column_names_the_nearest(coordinate_census: Path) -> None:
    with pytest.raises(CensusError, match="no column 'diseases'; did you mean 'disease'"):
        run("census", "info", "--uri", coordinate_census, "--column", "diseases")


@pytest.mark.parametrize("column", ["raw_sum", "nnz", "raw_mean_nnz"])
def test_info_gives_the_quantiles_of_numbers(coordinate_census: Path, column: str) -> None:
    arguments = ("census", "info", "--uri", coordinate_census, "--column", column, "--where", "sex == 'male'")
    report = json.loads(run(*arguments, "--json"))
    (found,) = report["composition"]
    with Census.open(uri=coordinate_census) as census:
        tables = census.read_obs("homo_sapiens", [column], where=Where.parse("sex == 'male'"))
        values = pl.concat([pl.DataFrame(pl.from_arrow(table)) for table in tables])[column]
    assert (found["n_cells"], found["n_missing"]) == (280, 0)
    assert found["quantiles"] == quantiles(values.to_numpy())
    assert found["quantiles"]["least"] == values.min()
    lines = run(*arguments).splitlines()
    assert lines[-2:] == [
        "280 cells of homo_sapiens where sex == 'male'",
        f"{column}  {line(found['quantiles'])}",
    ]


def test_labels_and_numbers_are_counted_each_in_their_way(coordinate_census: Path) -> None:
    with Census.open(uri=coordinate_census) as census:
        with pytest.raises(CensusError, match="'raw_sum' holds numbers; `count_numbers` counts them"):
            count_labels(census, "homo_sapiens", "raw_sum")
        with pytest.raises(CensusError, match="'sex' holds labels; `count_labels` counts them"):
            count_numbers(census, "homo_sapiens", "sex")


def test_info_refuses_a_filter_that_does_not_parse(coordinate_census: Path) -> None:
    with pytest.raises(FilterError, match="does not parse"):
        run("census", "info", "--uri", coordinate_census, "--column", "sex", "--where", "sex ==")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--release", "stable", "--uri", "x"], "give one of them"),
        (["--endpoint", "http://127.0.0.1:9"], "name it"),
        (["--uri", "x", "--where", "sex == 'male'"], "name it"),
        (["--uri", "x", "--column", "sex", "--top", "0"], "not in the range"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(arguments: list[str], message: str) -> None:
    assert message in refused("census", "info", *arguments)


@pytest.mark.parametrize("command", [["census", "info"], ["corpus", "build", "--recipe", "demo"]])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--uri", "s3://b/c"], ("s3://b/c", "eu-west-1", "http://127.0.0.1:9", True)),
        (
            ["--uri", "s3://b/c", "--endpoint", "http://127.0.0.1:10", "--region", "us-east-1"],
            ("s3://b/c", "us-east-1", "http://127.0.0.1:10", True),
        ),
        (["--endpoint", "http://127.0.0.1:10"], ("s3://own/store", "eu-west-1", "http://127.0.0.1:10", True)),
    ],
)
def test_options_go_before_the_access_of_the_workspace_in_every_command(
    command: list[str],
    options: list[str],
    expected: tuple[str, str, str, bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[object, ...]] = []

    def unreachable(release: str, *, uri: str, region: str, endpoint: str, anonymous: bool) -> Census:
        asked.append((uri, region, endpoint, anonymous))
        raise CensusError("not reached")

    settings = CensusSettings(
        uri="s3://own/store", region="eu-west-1", endpoint="http://127.0.0.1:9", anonymous=True
    )
    Workspace.create(tmp_path, census=settings)
    monkeypatch.setattr(Census, "open", unreachable)
    with pytest.raises(CensusError, match="not reached"):
        run("-C", tmp_path, *command, *options)
    assert asked == [expected]


def test_a_broken_workspace_is_told_rather_than_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "curate.toml").write_text("[census")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkspaceError, match="is not TOML"):
        run("census", "info", "--uri", "s3://b/c")
