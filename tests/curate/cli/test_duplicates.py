"""`curate duplicates` from end to end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

from curate.cli import curate
from curate.errors import CorpusError
from curate.workspace import CensusSettings, Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import WriteRelease

N_GENES = 60


@pytest.fixture(scope="module")
def store(write_release: WriteRelease, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve cells of "a" stand in "b" too; five of "b" are not primary, and two of these nowhere else."""
    counts = np.random.default_rng(0).poisson(1.5, size=(30, N_GENES)).astype(np.float32)
    path = tmp_path_factory.mktemp("cli") / "store"
    return write_release(
        path,
        {
            "a": (counts[:20], {}),
            "b": (counts[8:22], {"is_primary_data": [True] * 9 + [False] * 5}),
        },
    )


@pytest.fixture
def workspace(store: Path, tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "workspace", census=CensusSettings(uri=str(store)))


def run(workspace: Workspace, *arguments: str) -> Result:
    return CliRunner().invoke(curate, ["-C", str(workspace.root), *arguments], catch_exceptions=False)


def build_corpus(workspace: Workspace, **cells: Any) -> None:
    rules = "".join(f"{key} = {json.dumps(value)}\n" for key, value in cells.items())
    (workspace.root / "some.toml").write_text(f'name = "some"\n[cells]\n{rules}')
    done = run(workspace, "corpus", "build", "--recipe", str(workspace.root / "some.toml"))
    assert done.exit_code == 0, done.output


def test_the_whole_census_is_reported_and_listed(workspace: Workspace, tmp_path: Path) -> None:
    for name in ("cells.csv", "cells.parquet"):
        done = run(workspace, "duplicates", "--census", "--output", str(tmp_path / name))
        assert done.exit_code == 0
        assert "18  primary cells hold 9 contents more than once: 9 too many" in done.output
        assert "2  of 5 cells that are not primary have no primary copy: 2 distinct" in done.output
        assert "a                         b              9" in done.output
    listed = [pl.read_csv(tmp_path / "cells.csv"), pl.read_parquet(tmp_path / "cells.parquet")]
    assert [each.height for each in listed] == [20, 20]
    assert listed[0]["soma_joinid"].to_list() == listed[1]["soma_joinid"].to_list()


def test_a_corpus_of_primary_cells_says_where_the_second_question_is_answered(workspace: Workspace) -> None:
    build_corpus(workspace, filter="is_primary_data == True")
    done = run(workspace, "duplicates")
    assert "9 too many" in done.output
    assert "--census looks at every cell" in " ".join(done.output.split())
    found = json.loads(run(workspace, "duplicates", "some", "--json").output)
    assert (found["n_surplus"], found["n_without_primary"], found["what"]) == (9, 0, "corpus some")


def test_explain_reads_no_counts_and_json_is_json(workspace: Workspace) -> None:
    before = json.loads(run(workspace, "duplicates", "--census", "--explain", "--json").output)
    assert not (workspace.root / "content").exists()
    run(workspace, "duplicates", "--census")
    after = json.loads(run(workspace, "duplicates", "--census", "--explain", "--json").output)
    lines = [{line["name"]: line["value"] for line in each[0]["lines"]} for each in (before, after)]
    assert lines[0]["cells"] == 34
    assert lines[0]["counts to read"] > 0
    assert lines[1]["counts to read"] == 0
    assert "time" not in lines[1]


def test_the_rate_of_a_run_is_kept_for_the_next_estimate(workspace: Workspace) -> None:
    build_corpus(workspace)
    run(workspace, "duplicates", "some")
    rates = json.loads((workspace.root / "rates.json").read_text())["rates"]
    assert rates["read content"]["unit"] == "non-zeros"


def test_what_a_recipe_deduplicates_is_not_found_again(workspace: Workspace) -> None:
    build_corpus(
        workspace,
        filter="is_primary_data == True",
        deduplicate="content",
        rescue_without_primary=True,
    )
    found = json.loads(run(workspace, "duplicates", "--json").output)
    assert (found["n_cells"], found["n_surplus"], found["n_without_primary"]) == (22, 0, 2)
    shown = run(workspace, "corpus", "show").output
    assert "deduplicate" in shown
    assert "rescue_without_primary" in shown


def test_other_stores_are_named_on_the_command_line(store: Path, tmp_path: Path) -> None:
    elsewhere = Workspace.create(tmp_path / "elsewhere")
    done = run(elsewhere, "duplicates", "--uri", str(store), "--json")
    assert json.loads(done.output)["n_cells"] == 34


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["some", "--census"], "name a CORPUS, or look at the whole --census"),
        (["--output", "cells.txt"], "end it in .parquet or .csv"),
        (["--min-genes", "0"], "0 is not in the range"),
    ],
)
def test_wrong_usage_exits_with_2(workspace: Workspace, arguments: list[str], message: str) -> None:
    done = run(workspace, "duplicates", *arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())


def test_a_store_without_counts_is_one_line(write_release: WriteRelease, tmp_path: Path) -> None:
    bare = write_release(tmp_path / "bare", {"a": (None, {"donor_id": ["1"] * 5})}, n_genes=30)
    workspace = Workspace.create(tmp_path / "workspace", census=CensusSettings(uri=str(bare)))
    with pytest.raises(CorpusError, match="holds no counts of homo_sapiens"):
        run(workspace, "duplicates", "--census")


def test_of_several_corpora_one_is_to_be_named_as_the_command_takes_it(workspace: Workspace) -> None:
    for name in ("one", "two"):
        (workspace.corpora_path / name).mkdir(parents=True)
        (workspace.corpora_path / name / "corpus.json").touch()
    failed = CliRunner().invoke(curate, ["-C", str(workspace.root), "duplicates"])
    assert isinstance(failed.exception, CorpusError)
    assert "name one as `curate duplicates CORPUS`" in str(failed.exception)
    assert "--corpus" not in str(failed.exception)
