"""Two corpora of the store whose data encode their coordinates, and manifests of chosen rows of one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl
import pytest

from curate.manifests.document import SPLITS, SelectionRecord, SplitRecord
from curate.manifests.registry import Registry
from curate.manifests.write import write_manifest
from curate.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from curate.corpus import Corpus
    from curate.manifests.manifest import Manifest

ROWS = range(0, 600, 7)


class Write(Protocol):
    """Writes a manifest of some rows of the corpus "all"."""

    def __call__(self, name: str = ..., rows: Sequence[int] = ..., **changes: Any) -> Manifest: ...


def split_of(row: int) -> str:
    """Return the split that `cells_of` gives to the cell of a row."""
    return SPLITS[{6: 1, 7: 2}.get(row % 8, 0)]


def cells_of(corpus: Corpus, rows: Sequence[int]) -> pl.DataFrame:
    """Return the cells in corpus rows, as a builder would hand them over."""
    joinids = corpus.joinids()[list(rows)]
    splits = [split_of(row) for row in rows]
    return pl.DataFrame({"source": ["census"] * len(joinids), "soma_joinid": joinids, "split": splits})


@pytest.fixture(scope="session")
def corpora(tmp_path_factory: pytest.TempPathFactory, coordinate_census: Path) -> Path:
    """A folder of two corpora of one store: "all" (600 cells) and "primary" (570, those marked so)."""
    from curate.census import Census
    from curate.corpus.build import build_corpus
    from curate.recipe import CellRules, Recipe

    folder = tmp_path_factory.mktemp("corpora")
    with Census.open(uri=str(coordinate_census)) as census:
        for name, rule in [("all", None), ("primary", "is_primary_data == True")]:
            recipe = Recipe(name=name, organism="homo_sapiens", cells=CellRules(filter=rule))
            build_corpus(recipe, census, folder / name)
    return folder


@pytest.fixture
def workspace(tmp_path: Path, corpora: Path) -> Workspace:
    """A workspace that holds both corpora and no manifest."""
    workspace = Workspace.create(tmp_path / "workspace")
    workspace.corpora_path.symlink_to(corpora)
    return workspace


@pytest.fixture
def corpus(workspace: Workspace) -> Corpus:
    """600 cells; row i is soma_joinid i."""
    return workspace.corpus("all")


@pytest.fixture
def simulated(corpus: Corpus) -> Corpus:
    """The same corpus, as if its Census were a simulated one."""
    census = corpus.header.census.model_copy(update={"label": "Simulated by hand: 600 cells"})
    return replace(corpus, header=corpus.header.model_copy(update={"census": census}))


@pytest.fixture
def registry(workspace: Workspace) -> Registry:
    return Registry(workspace.manifests_path, workspace=workspace)


@pytest.fixture
def write(registry: Registry, corpus: Corpus) -> Write:
    def write(name: str = "random-0.1-s0", rows: Sequence[int] = ROWS, **changes: Any) -> Manifest:
        arguments: dict[str, Any] = {
            "corpus": corpus,
            "cells": cells_of(changes.get("corpus", corpus), rows),
            "selection": SelectionRecord(strategy="random", seed=0, fraction=0.1, n_available=600),
            "splits": SplitRecord(),
        }
        return write_manifest(registry, name, **(arguments | changes))

    return write


def apart(manifest: Manifest, folder: Path, *, portable: bool = False) -> Manifest:
    """Return a copy of a manifest in a new folder outside of any workspace."""
    from curate.manifests.export import export
    from curate.manifests.manifest import Manifest

    export(manifest, str(folder), portable=portable)
    return Manifest.open(str(folder))


def of_census(manifest: Manifest, content: str, **changes: Any) -> Manifest:
    """Return a manifest as one of another Census would be; its corpus is not at hand unless known."""
    corpus = manifest.document.corpus.model_copy(update={"census": content, **changes})
    return replace(manifest, document=manifest.document.model_copy(update={"corpus": corpus}))


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return every file and folder under a path, files with their bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }
