"""What a manifest claims of its parents: a step that contains the one below it, a spiked one of its base."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from click.testing import CliRunner

from curate.cli import curate
from curate.manifests.document import BASE, CONTAINS, ParentRecord, SpikeInRecord
from tests.manifests.conftest import apart, cells_of

if TYPE_CHECKING:
    from curate.corpus import Corpus
    from curate.manifests.check import Check
    from curate.manifests.manifest import Manifest
    from curate.workspace import Workspace
    from tests.manifests.conftest import Write

SMALL, LARGE = range(40), range(80)


def parent_of(manifest: Manifest, relation: str = CONTAINS, **changes: Any) -> ParentRecord:
    return ParentRecord(**{"id": manifest.id, "relation": relation, "ref": manifest.ref} | changes)


def check_of(manifest: Manifest) -> Check:
    """Return the one check of a parent."""
    (check,) = (each for each in manifest.verify().checks if each.name.split()[0] in (CONTAINS, BASE))
    return check


def test_a_step_that_contains_its_parent_passes(write: Write) -> None:
    small = write("small", SMALL)
    check = check_of(write("large", LARGE, parents=[parent_of(small)]))
    assert (check.name, check.outcome) == ("contains small@v1", "ok")
    assert check.detail == "by the ids of its 40 cells"


def test_a_step_that_lacks_cells_of_its_parent_is_one_line_with_pair_and_count(
    write: Write, workspace: Workspace
) -> None:
    small = write("small", SMALL)
    write("large", range(3, 80), parents=[parent_of(small)])
    result = CliRunner().invoke(curate, ["-C", str(workspace.root), "manifests", "verify", "large"])
    assert str(result.exception) == (
        "large@v1 failed 1 of 9 checks: contains small@v1: 3 of its 40 cells are not in this one, first 0 of "
        "census"
    )


def test_cells_of_another_source_are_no_cells_of_the_census(write: Write, corpus: Corpus) -> None:
    def with_screen(rows: range, n: int) -> dict[str, Any]:
        screen = pl.DataFrame(
            {"source": ["screen"] * n, "soma_joinid": range(n), "split": ["train"] * n},
            schema_overrides={"soma_joinid": pl.Int64},
        )
        record = SpikeInRecord(source="screen", id="5" * 64)
        return {"cells": pl.concat([cells_of(corpus, rows), screen]), "spike_ins": [record]}

    small = write("small", SMALL, **with_screen(SMALL, 5))
    large = write("large", LARGE, parents=[parent_of(small)], **with_screen(LARGE, 4))
    assert check_of(large).detail == "1 of its 45 cells are not in this one, first 4 of screen"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ref": None}, "nobody knows what the parent"),
        ({"ref": "absent@v1"}, "has no manifest.json"),
        ({"id": "9" * 64}, "not the parent 999999999999"),
    ],
)
def test_a_parent_that_is_not_there_is_said_and_does_not_fail(
    change: dict[str, Any], said: str, write: Write
) -> None:
    small = write("small", SMALL)
    large = write("large", range(40, 80), parents=[parent_of(small, **change)])
    check = check_of(large)
    assert check.outcome == "not checked"
    assert said in check.detail
    assert large.verify().ok


def test_a_damaged_parent_is_its_own_fault(write: Write) -> None:
    small = write("small", SMALL)
    large = write("large", LARGE, parents=[parent_of(small)])
    Path(small.folder, "cells.parquet").write_bytes(b"nothing")
    assert check_of(large).outcome == "not checked"
    assert not small.verify().ok


def test_a_copy_beside_its_parent_is_checked_and_one_apart_is_not(write: Write, tmp_path: Path) -> None:
    small = write("small", SMALL)
    large = write("large", LARGE, parents=[parent_of(small)])
    assert check_of(apart(large, tmp_path / "copies" / "large" / "v0001")).outcome == "not checked"
    shutil.copytree(small.folder, tmp_path / "copies" / "small" / "v0001")
    assert check_of(apart(large, tmp_path / "copies" / "other" / "v0001")).outcome == "ok"


def test_other_relations_are_not_looked_at(write: Write) -> None:
    small = write("small", SMALL)
    other = write("other", range(50, 60), parents=[parent_of(small, "thought of")])
    assert not [each for each in other.verify().checks if "small" in each.name]


def test_a_spiked_manifest_keeps_val_and_test_of_its_base_and_adds_no_cell_of_the_census(
    write: Write, corpus: Corpus
) -> None:
    base = write("base", SMALL)
    # Of rows 0 … 39, those of 6 mod 8 are val, of 7 mod 8 test.
    cells = cells_of(corpus, SMALL)
    outcomes = {
        "less": (cells.filter(pl.col("soma_joinid") != 0), ""),
        "strangers": (cells_of(corpus, range(41)), "1 cells of the census are not in it, first 40"),
        "lost": (cells.filter(~pl.col("soma_joinid").is_in([6, 15])), "2 of its val and test cells are not"),
        "moved": (
            cells.with_columns(
                split=pl.when(pl.col("soma_joinid") == 7).then(pl.lit("val")).otherwise("split")
            ),
            "1 cells are in another split, first 7",
        ),
    }
    for name, (held, said) in outcomes.items():
        check = check_of(write(name, cells=held, parents=[parent_of(base, BASE)]))
        assert check.name == "base base@v1"
        assert (check.outcome == "failed") == bool(said), name
        assert check.detail.startswith(said or "by the ids of its 40 cells")


def test_json_of_verify_holds_the_check(write: Write, workspace: Workspace) -> None:
    small = write("small", SMALL)
    write("large", LARGE, parents=[parent_of(small)])
    result = CliRunner().invoke(
        curate, ["-C", str(workspace.root), "manifests", "verify", "--all", "--json"], catch_exceptions=False
    )
    names = [[check["name"] for check in report["checks"]] for report in json.loads(result.stdout)]
    assert "contains small@v1" in names[0]
    assert len(names[0]) == len(names[1]) + 1
