"""export: a copy with the same id, and one that names its cells without the corpus."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import fsspec
import polars as pl
import pytest

from curate.corpus import Corpus
from curate.errors import ManifestError, WriteError
from curate.manifests.export import export
from curate.manifests.manifest import Manifest
from tests.manifests.conftest import ROWS, apart, snapshot

if TYPE_CHECKING:
    from tests.manifests.conftest import Write


def test_a_copy_is_the_same_files(write: Write, tmp_path: Path) -> None:
    manifest = write()
    copy = export(manifest, str(tmp_path / "copy"))
    assert snapshot(tmp_path / "copy") == snapshot(Path(manifest.folder))
    assert copy.document == manifest.document
    assert copy.verify().ok


def test_a_portable_copy_names_every_cell_and_keeps_the_id(write: Write, tmp_path: Path) -> None:
    manifest = write()
    export(manifest, str(tmp_path / "copy"), portable=True)
    copy = Manifest.open(str(tmp_path / "copy"))
    assert copy.id == manifest.id
    assert copy.verify().ok
    assert copy.cells().equals(manifest.cells())
    table = pl.read_parquet(tmp_path / "copy" / "cells.parquet")
    assert table.columns == ["source", "soma_joinid", "split", "dataset_id", "observation_joinid"]
    assert table["observation_joinid"].to_list() == [f"cell-{row:04}" for row in ROWS]
    datasets = ["dataset-a" if row < 250 else "dataset-b" if row < 450 else "dataset-c" for row in ROWS]
    assert table["dataset_id"].to_list() == datasets


def test_a_copy_at_a_url_is_read_from_there_and_not_written_over(write: Write) -> None:
    manifest = write()
    export(manifest, "memory://copies/one", portable=True)
    assert Manifest.load("memory://copies/one").id == manifest.id
    with fsspec.open("memory://copies/one/cells.parquet", "rb") as stream:
        assert "observation_joinid" in pl.read_parquet(io.BytesIO(stream.read())).columns
    with pytest.raises(WriteError, match="memory://copies/one holds a manifest; name another place"):
        export(manifest, "memory://copies/one")


def test_a_destination_that_exists_or_cannot_be_is_said(write: Write, tmp_path: Path) -> None:
    manifest = write()
    with pytest.raises(WriteError, match="exists; name another path"):
        export(manifest, str(tmp_path))
    with pytest.raises(WriteError, match="could not write nosuch://place: Protocol not known"):
        export(manifest, "nosuch://place")


def test_damaged_cells_are_not_copied(write: Write, tmp_path: Path) -> None:
    manifest = write()
    Path(manifest.folder, "cells.parquet").write_bytes(b"PAR1")
    with pytest.raises(ManifestError, match=r"cells\.parquet is damaged"):
        export(Manifest.open(manifest.folder), str(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()


def test_a_portable_copy_needs_the_corpus_and_its_observation_joinids(
    write: Write, corpus: Corpus, tmp_path: Path
) -> None:
    manifest = write()
    with pytest.raises(ManifestError, match="is not at hand"):
        export(apart(manifest, tmp_path / "apart"), str(tmp_path / "copy"), portable=True)
    older = shutil.copytree(corpus.path, tmp_path / "older")
    (older / "observation_joinids.parquet").unlink()
    manifest = replace(manifest, known_corpus=Corpus.open(older))
    with pytest.raises(
        ManifestError, match="cannot be made portable: release 2026-01-31 has no observation_joinid"
    ):
        export(manifest, str(tmp_path / "copy"), portable=True)
    assert not (tmp_path / "copy").exists()
