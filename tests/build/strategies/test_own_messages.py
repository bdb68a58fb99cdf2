"""Messages about strategies of one's own, and about recipes: what can be given, what cannot nest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from curate.build.ladder import build_ladder
from curate.build.strategies.named import settle
from curate.cli import curate
from curate.errors import SelectionError
from curate.manifests.registry import Registry
from curate.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """
import numpy as np
def first(embedding, n, k=3):
    return np.arange(n)
def _helper(): ...
def last(embedding, n):
    return np.arange(len(embedding) - n, len(embedding))
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(TEXT)
    return path


def test_the_hash_of_a_file_is_none_of_the_settings_that_a_user_may_give(own: Path) -> None:
    with pytest.raises(SelectionError, match=r"no parameter 'q'; it has: k$"):
        settle(f"{own}:first", {"q": 1})


def test_a_file_without_a_function_is_told_in_one_line_what_it_has(own: Path, atlas_workspace: Path) -> None:
    arguments = ["-C", str(atlas_workspace), "build", "--fraction", "0.1", "--strategy", str(own)]
    result = CliRunner().invoke(curate, arguments)
    assert isinstance(result.exception, SelectionError)
    assert str(result.exception) == (f"{own} names no function (it has first, last); name one as {own}:first")


def test_a_recipe_that_cannot_nest_names_the_part_that_cannot(atlas_workspace: Path, tmp_path: Path) -> None:
    corpus = Workspace.find(atlas_workspace).corpus()
    with pytest.raises(SelectionError, match=r"combine cannot nest \(of the parts of combine: stratified\)"):
        build_ladder(
            corpus,
            registry=Registry(tmp_path / "manifests"),
            strategies=["combine(parts=0.5 stratified + 0.5 random)"],
            fractions=(0.1, 1.0),
            nested=True,
        )
