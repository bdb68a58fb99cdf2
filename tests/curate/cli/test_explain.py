"""--explain, and the rates that runs leave behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from curate.build.explain import Line
from curate.cli import curate
from curate.cli.explanation import amount
from curate.rates import RATES_FILE, rate_of

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

BLOCKS = ("build", "--strategy", "blocks", "--n-cells", "100")
FEW = ("build", "--strategy", "blocks", "--n-cells", "2")


def run(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(curate, ["-C", str(root), *arguments], catch_exceptions=False)


def test_build_explained_builds_nothing(fresh_workspace: Path) -> None:
    result = run(fresh_workspace, *BLOCKS, "--explain")
    assert result.exit_code == 0
    for expected in (
        "blocks of 100 cells of corpus demo",
        "tiles read later, at most",
        "bytes saved against random",
        "design effect on cell types",
        "distance to the nearest chosen cell",
        "≈",
        "estimate: ",
    ):
        assert expected in result.output
    few = run(fresh_workspace, *FEW, "--explain").output
    assert "notice: 2 cells leave out some of 6 datasets" in few
    assert not (fresh_workspace / "manifests").exists()
    assert not (fresh_workspace / RATES_FILE).exists()


def test_spike_ins_are_explained_with_the_subsets_of_a_ladder(fresh_screen_workspace: Path) -> None:
    ladder = ("build", "--strategy", "random,reweight", "--ladder", "0.1,0.5", "--spike-in", "screen=0.1")
    result = run(fresh_screen_workspace, *ladder, "--split-ratios", "0.5,0.25,0.25", "--explain", "--json")
    # What comparing the source with the corpus takes comes first, where that has not been done.
    first, *_ = found = [
        each for each in json.loads(result.stdout) if not each["title"].startswith("source screen in")
    ]
    assert first["title"].startswith("cells of sources that may be drawn")
    assert [(line["name"], line["value"]) for line in first["lines"]] == [("screen", 90)]
    assert [each["title"] for each in found[1:]] == [
        f"{strategy} of {n} cells of corpus all" for strategy in ("random", "reweight") for n in (60, 300)
    ]
    lines = [line for each in found for line in each["lines"] if line["name"] == "spiked with screen"]
    assert [(line["value"], line["is_estimate"]) for line in lines] == [(3, True), (15, True)] * 2
    assert lines[0]["source"] == "0.1 of some 30 training cells, in a manifest beside it"
    assert "notice: this is of the subsets alone" in result.stderr
    assert not (fresh_screen_workspace / "manifests").exists()


def test_json_holds_what_is_printed(fresh_workspace: Path) -> None:
    result = run(fresh_workspace, *BLOCKS, "--explain", "--json")
    (found,) = json.loads(result.stdout)
    lines = {line["name"]: line for line in found["lines"]}
    assert lines["cells chosen"]["value"] == 100
    assert lines["cells chosen"]["unit"] == "cells"
    assert lines["cells chosen"]["is_estimate"] is False
    assert lines["time"]["is_estimate"] is True
    assert "default: " in lines["time"]["source"]
    assert found["notice"] == ""
    (few,) = json.loads(run(fresh_workspace, *FEW, "--explain", "--json").stdout)
    assert few["notice"].startswith("2 cells leave out some of 6 datasets")


def test_embed_explained_embeds_nothing(fresh_workspace: Path) -> None:
    result = run(fresh_workspace, "embed", "--name", "other", "--explain", "--json")
    (found,) = json.loads(result.stdout)
    names = [line["name"] for line in found["lines"]]
    assert {"passes over the counts", "counts to read", "memory", "time"} <= set(names)
    assert not (fresh_workspace / "corpora/demo/embeddings/other").exists()
    refused = run(fresh_workspace, "embed", "--from", "x.npy", "--explain")
    assert refused.exit_code == 2
    assert "--explain goes with a PCA that is computed" in refused.output


def test_runs_leave_their_rates_for_the_next_estimate(fresh_workspace: Path) -> None:
    assert run(fresh_workspace, "embed", "--name", "other", "--n-components", "5").exit_code == 0
    assert run(fresh_workspace, "build", "--strategy", "random", "--fraction", "0.1").exit_code == 0
    build_rate, embed_rate = (rate_of(fresh_workspace, work) for work in ("build random", "embed"))
    assert build_rate.measured is not None
    assert embed_rate.measured is not None
    n_cells = json.loads((fresh_workspace / "corpora/demo/corpus.json").read_text())["n_cells"]
    assert build_rate.amount == n_cells
    before = (fresh_workspace / RATES_FILE).read_bytes()
    # Opening the embedding that is there takes no time and tells nothing.
    assert run(fresh_workspace, "embed", "--name", "other", "--n-components", "5").exit_code == 0
    assert (fresh_workspace / RATES_FILE).read_bytes() == before
    printed = run(fresh_workspace, "embed", "--name", "third", "--explain", "--json")
    (found,) = json.loads(printed.stdout)
    time = next(line for line in found["lines"] if line["name"] == "time")
    assert time["value"] == pytest.approx(embed_rate.seconds)


def test_building_a_corpus_leaves_its_rate(fresh_workspace: Path) -> None:
    assert run(fresh_workspace, "corpus", "build", "--recipe", "demo", "--name", "again").exit_code == 0
    rate = rate_of(fresh_workspace, "corpus build")
    assert (rate.amount, rate.unit) == (1500, "cells")


def test_a_promise_that_is_not_kept_is_said_on_stderr(fresh_workspace: Path) -> None:
    result = run(fresh_workspace, *FEW, "--json")
    assert "notice: blocks-n2-s0@v1: 2 cells leave out some of 6 datasets" in result.stderr
    (row,) = json.loads(result.stdout)
    assert row["n_cells"] == 2
    assert "leave out" not in run(fresh_workspace, *BLOCKS).stderr


def test_a_manifest_of_blocks_shows_tiles_bytes_and_costs(fresh_workspace: Path) -> None:
    run(fresh_workspace, *BLOCKS)
    page = run(fresh_workspace, "manifests", "show", "blocks-n100-s0").output.replace("\n", " ")
    for note in ("n_tiles_read=", "bytes_saved=", "design_effect=", "coverage_distance="):
        assert note in page


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (999, "bytes", "999 B"),
        (1.06e6, "bytes", "1.06 MB"),
        (4.4e13, "bytes", "44 TB"),
        (2.5e18, "bytes", "2.5e+03 PB"),
        (0.2, "s", "less than a second"),
        (12.3, "s", "12 s"),
        (400, "s", "7 min"),
        (36000, "s", "10.0 h"),
        (22_189_056, "cells", "22,189,056 cells"),
        (0.9114, "", "0.9114"),
        (3, "", "3"),
    ],
)
def test_amounts_are_written_for_people(value: float, unit: str, text: str) -> None:
    assert amount(Line("x", value, unit, is_estimate=False, source="")) == text  # type: ignore[arg-type]
