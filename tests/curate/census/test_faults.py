"""Errors of TileDB as a reader meets them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
import tiledbsoma as soma
from click.testing import CliRunner

from curate.census import Census
from curate.census.faults import sentence
from curate.cli import curate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

S3 = "[TileDB::Task] Error: Caught std::exception: S3: Error while listing with prefix 's3://b/c/'"
HEADERS = "[Headers: 'content-length' = '117' 'server' = 'a [b] c']"


def cancelled(*_: object, **__: object) -> None:
    raise soma.SOMAError("[TileDB::Query] Error: Query cancelled.")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[TileDB::Array] Error: Cannot open array; Array does not exist.", None),
        (
            f"{S3}[Error Type: 15] [HTTP Response Code: 403] [Request ID: 1] {HEADERS} : Access Denied",
            "S3: Error while listing with prefix 's3://b/c/': Access Denied",
        ),
        (
            f"{S3}[Error Type: 99] [HTTP Response Code: -1] : curlCode: 7, No connection; Details: Failed",
            "S3: Error while listing with prefix 's3://b/c/': curlCode: 7, No connection",
        ),
        ("\n\n[TileDB::S3] Error: \nno such bucket\nheaders:\nx: y", "no such bucket"),
        ("'cancelled' does not exist", "'cancelled' does not exist"),
        ("", "RuntimeError"),
    ],
)
def test_an_error_is_cut_to_its_first_sentence(text: str, said: str | None) -> None:
    assert sentence(RuntimeError(text)) == (said or "Cannot open array; Array does not exist")


def test_an_interrupt_while_a_store_is_written_is_an_interrupt_and_leaves_nothing(
    write_h5ad: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_h5ad(obs={"cell_type": ["B cell"] * 30})
    before = set(tmp_path.iterdir())
    monkeypatch.setattr(soma.SparseNDArray, "write", cancelled)
    result = CliRunner().invoke(curate, ["census", "create", str(tmp_path / "store"), str(source)])
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == "Aborted!"
    assert "could not write" not in result.output
    assert set(tmp_path.iterdir()) == before


def test_an_interrupt_while_a_store_is_read_is_an_interrupt(
    coordinate_census: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Census.open(uri=coordinate_census) as census:
        assert isinstance(census.read_var("homo_sapiens"), pl.DataFrame)
        monkeypatch.setattr(soma.DataFrame, "read", cancelled)
        with pytest.raises(KeyboardInterrupt):
            census.read_var("homo_sapiens")
        monkeypatch.setattr(soma.SparseNDArray, "read", cancelled)
        with pytest.raises(KeyboardInterrupt):
            next(census.read_counts("homo_sapiens", np.arange(3)))
