"""An opened source: its file, its damage, its names."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest

from curate.errors import SourceError
from curate.sources.descriptions import load_description, shipped_names
from curate.sources.register import add_source
from curate.sources.source import Source, find_source, source_by_id, source_names
from curate.workspace import Workspace

if TYPE_CHECKING:
    from curate.corpus import Corpus


@pytest.fixture
def corpus(fresh_screen_workspace: Path) -> Corpus:
    return Workspace.find(fresh_screen_workspace).corpus()


@pytest.fixture
def own(corpus: Corpus, coordinate_screen: Path, tmp_path: Path) -> Source:
    """A source whose file can be written to."""
    path = Path(shutil.copy(coordinate_screen, tmp_path / "own.h5ad"))
    return add_source(corpus, "own", path, perturbation_column="gene", control=["control"]).source


def test_a_source_is_found_by_name_and_by_id(corpus: Corpus, own: Source) -> None:
    assert source_names(corpus) == ["own", "screen"]
    assert find_source(corpus, "screen").id == own.id
    found = source_by_id(corpus, own.id, name="own")
    assert found is not None
    assert found.name == "own"
    assert source_by_id(corpus, "0" * 64, name="own") is None


def test_an_unknown_source_is_refused_with_the_nearest(corpus: Corpus) -> None:
    with pytest.raises(SourceError, match="has no source named 'scren'; did you mean 'screen'"):
        find_source(corpus, "scren")


def test_a_shipped_description_that_is_not_registered_says_how_to(corpus: Corpus) -> None:
    with pytest.raises(
        SourceError, match=r"add-source replogle-k562-gwps FILE --description replogle-k562-gwps"
    ):
        find_source(corpus, "replogle-k562-gwps")


def test_a_file_that_vanished_is_said(own: Source) -> None:
    own.find_file().unlink()
    with pytest.raises(SourceError, match=r"source 'own' of corpus 'all': .*own\.h5ad is not there any more"):
        own.check_file()
    with pytest.raises(SourceError, match="is not there any more"):
        list(own.counts(np.array([0])))


def test_a_file_that_was_written_again_with_the_same_content_passes(own: Source) -> None:
    path = own.find_file()
    adata = ad.read_h5ad(path)
    adata.X = adata.X.toarray()
    adata.write_h5ad(path)
    own.check_file()
    own.check_file(thorough=True)
    assert len(list(own.counts(np.array([0, 89])))) == 1


def test_a_file_that_changed_is_said_and_not_read(own: Source) -> None:
    path = own.find_file()
    adata = ad.read_h5ad(path)
    adata.X.data[0] += 1
    adata.obs["gene"] = ["A", *adata.obs["gene"].astype(str)[1:]]
    adata.write_h5ad(path)
    with pytest.raises(SourceError, match=r"has changed since .*: other counts and perturbations; restore"):
        own.check_file()
    with pytest.raises(SourceError, match="other counts"):
        list(own.counts(np.array([0])))


def test_a_change_that_keeps_size_and_time_is_found_by_a_thorough_look(own: Source) -> None:
    path = own.find_file()
    before = path.stat()
    content = path.read_bytes().replace(b"screen-42", b"screen_42")
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    own.check_file()
    with pytest.raises(SourceError, match="other cells"):
        own.check_file(thorough=True)


def test_a_file_that_moved_with_the_workspace_is_found(
    corpus: Corpus, coordinate_screen: Path, tmp_path: Path
) -> None:
    root = corpus.path.parent.parent
    path = Path(shutil.copy(coordinate_screen, root / "inside.h5ad"))
    add_source(corpus, "inside", path, perturbation_column="gene", control=["control"])
    root.rename(tmp_path / "moved")
    moved = find_source(Workspace.find(tmp_path / "moved").corpus(), "inside")
    assert moved.find_file() == (tmp_path / "moved" / "inside.h5ad").resolve()
    moved.check_file(thorough=True)


def test_damaged_labels_are_said(own: Source) -> None:
    (own.path / "cells.parquet").write_bytes(b"")
    with pytest.raises(SourceError, match=r"cells\.parquet of source 'own' is damaged"):
        own.check_labels()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "is a source of format 2, this curate reads 1"),
        ({"n_cells": "many"}, r"source\.json is damaged at n_cells"),
        ({"corpus_genes": "0" * 64}, "was aligned to other genes than those of corpus 'all'"),
    ],
)
def test_a_record_that_cannot_be_used_is_said(own: Source, change: dict[str, object], message: str) -> None:
    path = own.path / "source.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(SourceError, match=message):
        Source.open(own.path, own.corpus)


def test_the_study_s_three_sets_are_described() -> None:
    sizes = {name: load_description(name).n_cells for name in shipped_names()}
    assert sizes == {
        "replogle-k562-essential": 310_385,
        "replogle-k562-gwps": 1_989_578,
        "replogle-rpe1-essential": 247_914,
    }
    for name in shipped_names():
        held = load_description(name)
        assert held.perturbation_column == "gene"
        assert held.control == ("non-targeting",)
        assert held.file is not None
        assert held.file.endswith("_raw_singlecell_01.h5ad")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("title = 3", "title: Input should be a valid string"),
        ("a b", "is not TOML"),
        ("n = 1\ntitle = 'x'", "n: "),
    ],
)
def test_a_description_of_one_s_own_is_checked(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(SourceError, match=message):
        load_description(str(path))


def test_an_unknown_description_is_refused_with_the_shipped_ones() -> None:
    with pytest.raises(
        SourceError, match=r"no description 'replogle-k562': .* did you mean 'replogle-k562-gwps'"
    ):
        load_description("replogle-k562")
