"""verify: one flipped byte, one wrong number, one cell that is not in the corpus."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from curate.errors import ManifestError
from curate.manifests.document import SpikeInRecord, header_digest
from curate.manifests.manifest import Manifest
from curate.manifests.write import file_record
from tests.manifests.conftest import apart, cells_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.corpus import Corpus
    from curate.manifests.verify import Report
    from curate.workspace import Workspace
    from tests.manifests.conftest import Write


def outcomes(report: Report) -> dict[str, str]:
    return {check.name: check.outcome for check in report.checks}


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << position % 8
    path.write_bytes(content)


def forge(manifest: Manifest, edit: Callable[[dict[str, Any]], object], workspace: Workspace) -> Manifest:
    """Change manifest.json as someone would who recomputes its digest."""
    path = Path(manifest.folder, "manifest.json")
    content = json.loads(path.read_bytes())
    edit(content)
    content["digest"] = header_digest(content)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return Manifest.open(manifest.folder, workspace=workspace)


def test_a_manifest_as_written_passes_every_check(write: Write) -> None:
    report = write().verify()
    assert report.ok
    assert outcomes(report) == dict.fromkeys(
        ["manifest.json", "cells.parquet", "cells", "id", "counts", "corpus", "joinids", "composition"], "ok"
    )
    report.raise_if_failed()
    assert json.loads(json.dumps(report.to_json()))["ok"] is True


def test_a_flipped_byte_of_the_document_is_found(write: Write) -> None:
    manifest = Manifest.open(write(rows=[1, 2, 3]).folder)
    path = Path(manifest.folder, "manifest.json")
    content = path.read_bytes()
    for position in range(0, len(content), 3):
        flip(path, position)
        around = content[max(position - 20, 0) : position + 1]
        assert outcomes(manifest.verify())["manifest.json"] == "failed", around
        path.write_bytes(content)


def test_a_flipped_byte_of_the_cells_is_found(write: Write) -> None:
    manifest = write(rows=[1, 2, 3])
    path = Path(manifest.folder, "cells.parquet")
    content = path.read_bytes()
    for position in range(0, len(content), 3):
        flip(path, position)
        report = Manifest.open(manifest.folder).verify()
        assert outcomes(report)["cells.parquet"] == outcomes(report)["cells"] == "failed"
        path.write_bytes(content)


def test_a_failed_check_is_one_line(write: Write) -> None:
    manifest = write()
    flip(Path(manifest.folder, "cells.parquet"), 100)
    report = Manifest.open(manifest.folder).verify()
    with pytest.raises(
        ManifestError, match=r"random-0\.1-s0@v1 failed 2 of 3 checks: cells\.parquet: its sha256"
    ) as error:
        report.raise_if_failed()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "detail"), [("unlink", r"has no cells\.parquet"), ("cut", r"100 bytes, recorded 1,\d{3}")]
)
def test_a_missing_or_shortened_file_is_found(write: Write, change: str, detail: str) -> None:
    manifest = write()
    path = Path(manifest.folder, "cells.parquet")
    content = path.read_bytes()
    path.unlink()
    if change == "cut":
        path.write_bytes(content[:100])
    report = Manifest.open(manifest.folder).verify()
    with pytest.raises(ManifestError, match=detail):
        report.raise_if_failed()


def test_a_document_of_the_same_content_in_other_bytes_is_found(write: Write) -> None:
    manifest = write()
    path = Path(manifest.folder, "manifest.json")
    path.write_text(json.dumps(json.loads(path.read_bytes())))
    check = manifest.verify().failed[0]
    assert (check.name, check.detail) == (
        "manifest.json",
        "its bytes are not those that were written, though its content is",
    )


@pytest.mark.parametrize(
    ("edit", "check", "detail"),
    [
        (lambda content: content["selection"].update(seed=1), "id", "id is recorded as"),
        (lambda content: content.update(id="0" * 64), "id", "id is recorded as 000"),
        (lambda content: content["corpus"].update(id="0" * 64), "id", "id is recorded as"),
        (lambda content: content.update(n_cells=85), "counts", "cells is recorded as 85, found 86"),
        (
            lambda content: content["splits"]["counts"].update(train=65),
            "counts",
            "cells in train is recorded as 65, found 64",
        ),
        (lambda content: content["corpus"].update(n_cells=1), "corpus", "cells is recorded as 1, found 600"),
        (lambda content: content.update(n_donors=11), "composition", "donors is recorded as 11, found 12"),
        (
            lambda content: content["composition"]["dataset_id"].update({"dataset-a": 37}),
            "composition",
            "dataset_id 'dataset-a' is recorded as 37, found 36",
        ),
        (
            lambda content: content["composition"]["assay"].update(imaginary=1),
            "composition",
            "assay 'imaginary' is recorded as 1, found None",
        ),
        (
            lambda content: content["composition"].pop("assay"),
            "composition",
            r"assay .* is recorded as None, found \d+ \(and 2 more\)",
        ),
        (
            lambda content: content["diversity"]["cell_type"].update(shannon_bits=1.5),
            "composition",
            "shannon_bits of cell_type is recorded as 1.5, found",
        ),
    ],
)
def test_a_wrong_number_in_the_header_is_found(
    write: Write, workspace: Workspace, edit: Callable[[dict[str, Any]], object], check: str, detail: str
) -> None:
    report = forge(write(), edit, workspace).verify()
    assert outcomes(report)["manifest.json"] == "ok"
    failed = {failure.name: failure.detail for failure in report.failed}
    assert re.search(detail, failed[check])
    with pytest.raises(ManifestError, match=r"random-0\.1-s0@v1 failed \d of \d checks"):
        report.raise_if_failed()


def test_other_cells_under_the_same_header_are_found(write: Write, workspace: Workspace) -> None:
    manifest, other = write(rows=[1, 2, 3]), write("other", rows=[1, 2, 4])
    content = other.read("cells.parquet")
    Path(manifest.folder, "cells.parquet").write_bytes(content)
    record = file_record(content).model_dump()
    report = forge(manifest, lambda held: held["files"].update({"cells.parquet": record}), workspace).verify()
    assert outcomes(report)["cells.parquet"] == "ok"
    assert outcomes(report)["id"] == "failed"


def test_a_cell_that_is_not_in_the_corpus_is_found(
    write: Write, corpus: Corpus, workspace: Workspace
) -> None:
    primary = workspace.corpus("primary")
    stranger = corpus.columns(["soma_joinid", "is_primary_data"]).filter(~pl.col("is_primary_data"))[
        "soma_joinid"
    ][0]
    manifest = write(rows=[1, 2, stranger])
    report = Manifest(manifest.document, manifest.folder, known_corpus=primary).verify()
    assert [(check.name, check.outcome) for check in report.checks[-2:]] == [
        ("corpus", "failed"),
        ("joinids", "failed"),
    ]
    assert report.checks[-1].detail == f"1 of 3 are not in the corpus, first {stranger}"


def test_without_the_corpus_it_is_said_what_could_not_be_checked(write: Write, tmp_path: Path) -> None:
    report = apart(write(), tmp_path / "copy").verify()
    assert report.ok
    assert report.checks[-1].name == "corpus"
    assert report.checks[-1].outcome == "not checked"
    assert "is not at hand: whether it holds every joinid" in report.checks[-1].detail


def test_labels_of_spike_ins_are_not_checked(write: Write, corpus: Corpus) -> None:
    screen = pl.DataFrame({"source": ["screen"], "soma_joinid": [0], "split": ["train"]})
    manifest = write(
        cells=pl.concat([screen, cells_of(corpus, [1, 2])]),
        spike_ins=[SpikeInRecord(source="screen", id="5" * 64)],
    )
    report = manifest.verify()
    assert report.ok
    assert outcomes(report)["counts"] == outcomes(report)["joinids"] == "ok"
    assert outcomes(report)["composition"] == "not checked"


def test_a_manifest_from_before_labels_is_still_byte_for_byte(write: Write, workspace: Workspace) -> None:
    def without(content: dict[str, Any]) -> None:
        del content["corpus"]["census"], content["corpus"]["label"]

    older = forge(write(), without, workspace)
    assert (older.document.corpus.census, older.document.corpus.label) == (None, None)
    assert older.verify().ok
