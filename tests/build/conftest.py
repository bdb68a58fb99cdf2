"""Corpora of every cell of the coordinate store."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from curate.corpus import Corpus


@pytest.fixture(scope="session")
def built_corpora(tmp_path_factory: pytest.TempPathFactory, coordinate_census: Path) -> Path:
    """A folder of two corpora, `all` and `other` (one dataset less). Copy it, never write to it."""
    from curate.census import Census
    from curate.corpus.build import build_corpus
    from curate.recipe import Recipe

    folder = tmp_path_factory.mktemp("corpora")
    filters = {"all": None, "other": "dataset_id != 'dataset-c'"}
    with Census.open(uri=coordinate_census) as census:
        for name, chosen in filters.items():
            recipe = Recipe.model_validate({"name": name, "cells": {"filter": chosen}})
            build_corpus(recipe, census, folder / name)
    return folder


def _copied(source: Path, target: Path) -> Corpus:
    from curate.corpus import Corpus

    shutil.copytree(source, target)
    return Corpus.open(target)


@pytest.fixture
def corpus(built_corpora: Path, tmp_path: Path) -> Corpus:
    """All 600 cells and 120 genes of the coordinate store, with a folder of its own."""
    return _copied(built_corpora / "all", tmp_path / "all")


@pytest.fixture
def other_corpus(built_corpora: Path, tmp_path: Path) -> Corpus:
    """450 of those cells, with a folder of its own."""
    return _copied(built_corpora / "other", tmp_path / "other")
