"""Options that mean nothing without another, and what is given twice: wrong usage, in every command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from curate.cli import curate
from curate.cli.companions import either

if TYPE_CHECKING:
    from pathlib import Path

RANDOM = "build --strategy random --fraction 0.1"
LADDER = "build --ladder 0.1,0.2 --strategy random"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{RANDOM} --exclude-overlap-by exact", "--exclude-overlap-by goes with --exclude-overlap"),
        (f"{RANDOM} --spike-in-mode add", "--spike-in-mode goes with --spike-in"),
        (f"{RANDOM} --spike-in-mode replace", "--spike-in-mode goes with --spike-in"),
        (f"{RANDOM} --allow-uncompared", "--allow-uncompared goes with --spike-in or --exclude-overlap"),
        (f"{LADDER} --spike-in-balance perturbation", "--spike-in-balance goes with --spike-in"),
        (f"{RANDOM} --nested", "--nested goes with --ladder"),
        (f"{RANDOM} --mito-column m", "--mito-column goes with --max-mito"),
        (f"{RANDOM} --doublet-column d", "--doublet-column goes with --max-doublet-score"),
        (f"{RANDOM} --split-stratify-by none", "--split-stratify-by goes with --split-by of a unit larger"),
        (f"{RANDOM} --k 40", "--k goes with --strategy sketch"),
        (f"{RANDOM} --tiles 2", "--tiles goes with --strategy blocks"),
        (f"{RANDOM} --by sex", "--by goes with --strategy stratified, reweight"),
        (f"{RANDOM} --embedding pca", "--embedding goes with --dedup or --strategy sketch, "),
        (f"{LADDER},reweight --max-iter 3", "--max-iter goes with --strategy sketch"),
        ("leakage m . --layer X", "--layer goes with an h5ad file"),
        ("leakage m s3://x/y --gene-column g", "--gene-column goes with an h5ad file"),
        ("leakage m e.h5ad --by joinid --write-pairs p.csv", "--write-pairs goes with --by exact or near"),
        ("diversity m --no-vendi --order 2", "--order goes with --vendi"),
        ("diversity m --no-vendi --features expression", "--features goes with --vendi"),
        ("diversity m --no-coverage --radius 2", "--radius goes with --coverage"),
        ("diversity m --no-coverage --left-out 0.1", "--left-out goes with --coverage"),
        ("diversity m --no-coverage --no-vendi --embedding pca", "--embedding goes with --vendi or --cov"),
        ("holdout --new-since a --in b --seed 3", "--seed goes with --fraction or --n-cells"),
        ("holdout --new-since a --in b --by identity --min-genes 3", "--min-genes goes with --by content"),
        (
            "holdout --new-since a --in b --by identity --shared-genes",
            "--shared-genes goes with --by content",
        ),
        ("holdout --new-since a --in b --split-seed 3", "--split-seed goes with --split-ratios of more than"),
        ("duplicates --organism mus_musculus", "--organism goes with --census"),
        ("duplicates demo --region eu-west-1", "--region goes with --census"),
        ("duplicates --anonymous", "--anonymous goes with --census"),
        ("embed --from x.npy --n-hvgs 5", "--n-hvgs goes with a PCA that is computed"),
    ],
)
def test_an_option_without_what_it_belongs_to_exits_with_2(
    line: str, message: str, atlas_workspace: Path
) -> None:
    result = CliRunner().invoke(curate, ["-C", str(atlas_workspace), *line.split()])
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("build --ladder 0.1 --strategy random,sketch,random", "'random' is given twice; give each once"),
        ("build --ladder 0.1,0.2,0.10 --strategy random", "0.1 is given twice"),
        ("build --ladder 0.1:0.1001:4 --strategy random", "4 fractions of three digits do not lie between"),
        ("build --fraction 0.5,0.5 --strategy random", "0.5 is given twice"),
        ("build --n-cells 5-7,6 --strategy random", "6 is given twice"),
        (f"{RANDOM} --seed 0-3,2", "2 is given twice"),
        (f"{RANDOM} --exclude-overlap a.h5ad --exclude-overlap a.h5ad", "'a.h5ad' is given twice"),
        (f"{RANDOM} --exclude-overlap a --exclude-overlap-by near,near", "'near' is given twice"),
        ("holdout --new-since a --in b --by content,content", "'content' is given twice"),
    ],
)
def test_what_is_given_twice_exits_with_2_and_is_named(
    line: str, message: str, atlas_workspace: Path
) -> None:
    result = CliRunner().invoke(curate, ["-C", str(atlas_workspace), *line.split()])
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.split())


@pytest.mark.parametrize(
    "options",
    [
        ("--split-ratios", "0.8,0.1,0.1"),
        ("--split-by", "donor", "--split-stratify-by", "none"),
        ("--spike-in-mode", "add", "--spike-in", "screen=0.1"),
        ("--seeds", "2"),
    ],
)
def test_options_with_their_companions_are_taken(
    options: tuple[str, ...], fresh_screen_workspace: Path
) -> None:
    line = ("build", "--strategy", "random", "--n-cells", "200", *options)
    result = CliRunner().invoke(curate, ["-C", str(fresh_screen_workspace), *line], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_an_embedding_by_name_that_is_not_there_is_refused_where_it_only_measures(
    atlas_workspace: Path,
) -> None:
    line = ("build", "--strategy", "blocks", "--n-cells", "50", "--explain", "--embedding", "pcb")
    result = CliRunner().invoke(curate, ["-C", str(atlas_workspace), *line])
    assert result.exit_code == 1
    assert "pcb" in str(result.exception)


def test_names_are_joined_for_a_message() -> None:
    assert [either(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a or b", "a, b or c"]
