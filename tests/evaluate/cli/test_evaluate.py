"""`curate evaluate`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pytest
from click.testing import CliRunner, Result

from curate.cli import curate
from curate.errors import CurateError, EvaluationError, LeakageError
from curate.evaluate.results import read_results

if TYPE_CHECKING:
    from pathlib import Path

    from curate.workspace import Workspace


def run(workspace: Workspace, *arguments: str) -> Result:
    asked = ["-C", str(workspace.root), "evaluate", *arguments]
    return CliRunner().invoke(curate, asked, catch_exceptions=False)


def test_a_model_is_shown_beside_its_control_and_the_baselines(
    workspace: Workspace, outside: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results.parquet"
    asked = ("classify", "pca-small", "--data", str(outside), "--label-column", "tissue", "-o", str(out))
    shown = run(workspace, *asked, "--seed", "0,1")
    assert "classify on outside: 30 cells scored, mean ± standard deviation of 2 seeds" in shown.output
    for name in ("pca-small", "pca-untrained-random-n400-s0", "hvg", "logistic-on-genes", "majority"):
        assert name in shown.output
    table = read_results([out])
    assert table["evaluation_seed"].unique().sort().to_list() == [0, 1]
    assert set(table["kind"]) == {"trained", "untrained", "baseline"}
    assert len(list(workspace.results_path.iterdir())) == 2 * 5


def test_json_holds_every_row(workspace: Workspace, outside: Path) -> None:
    asked = ("classify", "--data", str(outside), "--label-column", "tissue", "--json")
    rows = json.loads(run(workspace, *asked).stdout)
    assert {row["model"] for row in rows} == {"hvg", "pca", "logistic-on-genes", "majority"}
    assert {"metric", "value", "metric_version", "trivial"} <= set(rows[0])


def test_parts_are_shown_when_asked_for(workspace: Workspace, outside: Path) -> None:
    asked = ("classify", "--data", str(outside), "--label-column", "tissue", "--parts")
    assert "tissue=" in run(workspace, *asked).output


def test_no_number_is_cut_however_many_columns_there_are(workspace: Workspace, outside: Path) -> None:
    asked = ("classify", "pca-small", "--data", str(outside), "--label-column", "cell_type", "--parts")
    shown = run(workspace, *asked, "--fine-tune", "head", "--set", "max_epochs=1").output
    heading = next(line for line in shown.splitlines() if line.startswith("model"))
    assert max(map(len, shown.splitlines())) > 180
    assert {"ontology_macro_f1", "calibration_error", "hop_distance", "macro_precision"} <= set(
        heading.split()
    )
    assert "…" not in shown


def test_the_loss_of_a_model_s_own_objective_is_shown_with_its_name(
    workspace: Workspace, outside: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results.parquet"
    asked = ("reconstruct", "pca-small", "--data", str(outside), "-o", str(out))
    shown = run(workspace, *asked).output
    losses = read_results([out]).filter(pl.col("metric") == "loss:pca")
    for name, value in losses.select("model_name", "value").iter_rows():
        [line] = [each for each in shown.splitlines() if each.startswith(name) and " objective " in each]
        assert line.endswith(f"pca {value:.3f}")
    assert losses.height == 2
    assert "own loss: what the model is trained to lower" in shown
    other = run(workspace, "classify", "--data", str(outside), "--label-column", "tissue")
    assert "own loss" not in other.output


def test_what_is_found_again_is_said_again(workspace: Workspace, outside: Path) -> None:
    def said(seeds: str) -> list[str]:
        asked = ("--label-column", "tissue", "--fine-tune", "full", "--set", "max_epochs=1", "--seed", seeds)
        return run(workspace, "classify", "pca-small", "--data", str(outside), *asked).stderr.splitlines()

    first = said("0,1")
    assert "outside: pca takes no gradients: it has a head, and is not fine-tuned in full" in first
    assert sum("name terms with --term LABEL=TERM" in line for line in first) == 1
    assert said("0,1") == first
    assert sorted(said("1")) == sorted(line for line in first if "seed 0" not in line)


def test_scores_are_normalised_where_there_is_a_positive_control(workspace: Workspace, outside: Path) -> None:
    asked = ("--data", str(outside), "--label-column", "cell_type")
    shown = run(workspace, "integrate", *asked, "--batch-column", "tissue").output
    heading = next(line for line in shown.splitlines() if line.startswith("model"))
    assert heading.split()[-1] == "normalised"
    (perfect,) = [line for line in shown.splitlines() if line.startswith("shuffled-within-labels")]
    assert perfect.split()[-1] == "1.000"
    assert "0 is shuffled-within-batches and 1 is shuffled-within-labels" in shown
    assert "normalised" not in run(workspace, "classify", *asked).output


def test_results_go_to_csv_too(workspace: Workspace, outside: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.csv"
    run(workspace, "classify", "--data", str(outside), "--label-column", "tissue", "-o", str(out))
    assert pl.read_csv(out)["task"].unique().to_list() == ["classify"]


def test_training_cells_in_the_data_stop_it_unless_dropped(workspace: Workspace, half_seen: Path) -> None:
    asked = ("classify", "pca-small", "--data", str(half_seen), "--label-column", "tissue")
    with pytest.raises(LeakageError, match="40 cells of half-seen"):
        run(workspace, *asked)
    dropped = run(workspace, *asked, "--drop-shared").output
    assert "leakage dropped: 40 cells" in dropped


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("clasify", "--data", "x"), "no task named 'clasify'"),
        (("classify",), "Missing option '--data'"),
        (("classify", "--data", "x", "--batch-column", "b"), "--batch-column is no setting of task classify"),
        (("classify", "--data", "x", "--term", "a"), "'a' is not LABEL=TERM"),
        (("classify", "--data", "x", "-o", "a.txt"), "a.txt ends in none of .parquet, .csv"),
        (("classify", "--data", "x", "--no-baselines"), "nothing to try"),
    ],
)
def test_wrong_usage_is_told(workspace: Workspace, arguments: tuple[str, ...], message: str) -> None:
    found = run(workspace, *arguments)
    assert found.exit_code == 2
    assert message in found.output


def test_wrong_input_is_told_in_one_line(workspace: Workspace, outside: Path) -> None:
    with pytest.raises(EvaluationError, match=r"no setting 'neighbours'.*n_neighbors"):
        run(workspace, "classify", "--data", str(outside), "--set", "neighbours=3")
    with pytest.raises(CurateError, match="no trained model named 'nobody'"):
        run(workspace, "classify", "nobody", "--data", str(outside))


def test_the_tasks_are_listed_with_their_settings(workspace: Workspace) -> None:
    listed = run(workspace, "--list").output
    assert "classify: name the type of cells" in listed
    assert "n_neighbors = 5" in listed
