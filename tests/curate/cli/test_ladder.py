"""`curate build --ladder`, `curate ladder`, and the options of splits and quality on the command line."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from curate.cli import curate
from curate.cli.numbers import Fractions
from curate.errors import CurateError

LADDER = ("build", "--ladder", "0.1,0.4", "--seeds", "2", "--strategy", "random,reweight")


def run(home: Path, *arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(curate, ["-C", str(home), *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def test_a_ladder_is_built_shown_and_listed(fresh_workspace: Path) -> None:
    built = run(fresh_workspace, *LADDER, "--nested", "--name", "study").stdout
    assert "ladder study@v1" in built
    assert "8 manifests, nested" in built
    assert built.count(" new") == 4
    again = run(fresh_workspace, *LADDER, "--nested", "--name", "study").stdout
    assert again.count("was there") == 4
    listed = run(fresh_workspace, "ladder", "list").stdout
    assert "study@v1" in listed
    assert "2: 0.1 to 0.4" in listed
    shown = run(fresh_workspace, "ladder", "show", "study").stdout
    assert "each step contains the one before it" in shown
    assert "study-reweight-0.4-s0@v1 … s1" in shown
    content = json.loads(run(fresh_workspace, "ladder", "show", "study", "--json").stdout)
    assert [step["manifest"] for step in content["steps"]][:2] == [
        "study-random-0.1-s0",
        "study-random-0.4-s0",
    ]
    (row,) = json.loads(run(fresh_workspace, "ladder", "list", "--json").stdout)
    assert row["fractions"] == [0.1, 0.4]


def test_the_name_of_a_ladder_stands_for_its_manifests(fresh_workspace: Path) -> None:
    run(fresh_workspace, *LADDER, "--name", "study")
    run(fresh_workspace, "build", "--strategy", "random", "--fraction", "0.2", "--name", "study-other")
    shown = run(fresh_workspace, "diversity", "study", "--no-vendi", "--no-coverage", "--json").stdout
    content = json.loads(run(fresh_workspace, "ladder", "show", "study", "--json").stdout)
    steps = {f"{step['manifest']}@v{step['version']}" for step in content["steps"]}
    assert len(steps) == 8
    assert all(ref in shown for ref in steps)
    assert "study-other" not in shown


def test_a_spiked_ladder_is_built_shown_listed_and_measured(fresh_screen_workspace: Path) -> None:
    ladder = ("build", "--ladder", "0.2,0.6", "--nested", "--strategy", "random", "--spike-in", "screen=0.2")
    built = run(fresh_screen_workspace, *ladder, "--name", "study")
    assert "4 manifests, nested" in built.stdout
    assert built.stdout.count("+screen=0.2") == 2
    assert "notice: the spiked steps do not nest: one lacks" in built.stderr
    added = run(fresh_screen_workspace, *ladder, "--name", "added", "--spike-in-mode", "add")
    assert "do not nest" not in added.stderr
    shown = run(fresh_screen_workspace, "ladder", "show", "study").stdout
    assert "screen=0.2 (replace, balance none), a manifest beside each step; these do not nest" in shown
    assert "study-random-0.6-s0+screen=0.2@v1" in shown.replace("\n", "")
    assert "these contain the one before" in run(fresh_screen_workspace, "ladder", "show", "added").stdout
    assert run(fresh_screen_workspace, "ladder", "list").stdout.count("spiked") == 2
    content = json.loads(run(fresh_screen_workspace, "ladder", "show", "study", "--json").stdout)
    assert [step.get("spiked", False) for step in content["steps"]] == [False, True] * 2
    measured = run(fresh_screen_workspace, "diversity", "study", "--no-vendi", "--no-coverage", "--json")
    sets = json.loads(measured.stdout)["sets"][1:]
    assert [each["n_elsewhere"] > 0 for each in sets] == [False, True] * 2
    assert len({each["series"] for each in sets}) == 2
    run(fresh_screen_workspace, "manifests", "verify", "--all")


def test_a_ladder_reports_json(fresh_workspace: Path) -> None:
    content = json.loads(run(fresh_workspace, *LADDER, "--json").stdout)
    assert content["nested"] is False
    assert [step["is_new"] for step in content["steps"]] == [True] * 8


def test_a_workspace_without_ladders_says_how_to_make_one(fresh_workspace: Path) -> None:
    assert "make one with `curate build --ladder" in run(fresh_workspace, "ladder", "list").stdout
    with pytest.raises(CurateError, match="no ladder named 'x'; make one with"):
        run(fresh_workspace, "ladder", "show", "x")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--strategy", "random"), "give one of --fraction, --n-cells and --ladder"),
        (("--strategy", "random", "--fraction", "0.1", "--ladder", "0.1"), "give one of"),
        (("--strategy", "random,sketch", "--fraction", "0.1"), "2 strategies go with --ladder"),
        (("--strategy", "rendom", "--fraction", "0.1"), "'rendom' is not one; did you mean 'random'?"),
        (("--strategy", "random", "--fraction", "0.1", "--nested"), "--nested goes with --ladder"),
        (("--strategy", "random", "--ladder", "0.1", "--seed", "1", "--seeds", "2"), "give one of them"),
        (("--strategy", "random", "--ladder", "1:0.1:3"), "FIRST is to be above 0 and below LAST"),
        (
            ("--strategy", "random", "--fraction", "1", "--min-counts", "9", "--max-counts", "5"),
            "min_counts 9 is above max_counts 5",
        ),
        (("--strategy", "random", "--fraction", "1", "--min-genes", "0"), "0 is not in the range"),
    ],
)
def test_wrong_usage_exits_with_2(atlas_workspace: Path, arguments: tuple[str, ...], message: str) -> None:
    assert message in run(atlas_workspace, "build", *arguments, status=2).output


def test_fractions_can_be_spaced_evenly_in_their_logarithm() -> None:
    convert = Fractions().convert
    assert convert("0.001:1:7", None, None) == [0.001, 0.00316, 0.01, 0.0316, 0.1, 0.316, 1.0]
    assert convert("0.5, 0.1", None, None) == [0.5, 0.1]
    for wrong in ("0.1:1", "a:1:3", "0.1:1:3:4", "0:1:3", "0.1:1:1"):
        with pytest.raises(click.BadParameter):
            convert(wrong, None, None)


def test_quality_and_splits_reach_the_manifest(fresh_workspace: Path) -> None:
    arguments = ("build", "--strategy", "depth", "--fraction", "0.5", "--name", "deep")
    run(
        fresh_workspace, *arguments, "--min-counts", "50", "--min-cells-per-donor", "5", "--split-by", "donor"
    )
    shown = json.loads(run(fresh_workspace, "manifests", "show", "deep", "--json").stdout)
    assert [each["reason"] for each in shown["exclusions"]] == ["min_counts", "min_cells_per_donor"]
    assert shown["splits"]["unit"] == "dataset_id,donor_id"
    assert sum(shown["splits"]["n_units"].values()) > 10
    page = run(fresh_workspace, "manifests", "show", "deep").stdout
    assert "by dataset_id,donor_id, 80/10/10" in page
    assert "min_counts threshold=50" in page


def test_types_that_train_lacks_are_told(fresh_workspace: Path) -> None:
    result = run(fresh_workspace, "build", "--strategy", "reweight", "--n-cells", "30")
    assert "notice: reweight-n30-s0@v1: " in result.stderr
    assert "in val or test but not in train: " in result.stderr
