"""Columns of Parquet files as small codes: row groups, dictionaries that differ, nulls, chosen rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.corpus.columns import read_columns
from curate.errors import CorpusError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

COLUMNS = {
    "joinid": pa.array(range(10, 19), pa.int64()),
    "score": pa.array([0.5, None, 2.5, 3.5, None, 5.5, 6.5, 7.5, 8.5], pa.float64()),
    "flag": pa.array([True, None, False] * 3, pa.bool_()),
    "free": pa.array([f"text {i}" for i in range(9)], pa.string()),
    "type": pa.array(["B", "T", None, "T", "T", "B", "NK", None, "B"], pa.string()).dictionary_encode(),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    pq.write_table(pa.table(COLUMNS), tmp_path / "cells.parquet", row_group_size=4)
    return tmp_path / "cells.parquet"


@pytest.mark.parametrize(
    "rows",
    [None, np.arange(9), np.array([0, 3, 4, 8]), np.array([5, 6]), np.array([], dtype=np.int64)],
    ids=["all", "each", "of every row group", "of one row group", "none"],
)
def test_columns_and_rows_are_those_asked_for(path: Path, rows: NDArray[np.int64] | None) -> None:
    names = ["type", "flag", "joinid", "free", "score"]
    frame = pl.DataFrame(read_columns(path, names, rows=rows))
    expected = pa.table(COLUMNS).select(names).take(np.arange(9) if rows is None else rows)
    assert frame.columns == names
    for name in names:
        assert (
            frame[name].cast(pl.String).to_list()
            == pl.Series(expected[name].to_pylist()).cast(pl.String).to_list()
        ), name


def test_text_becomes_an_enum_and_numbers_stay_numbers(path: Path) -> None:
    dtypes = [series.dtype for series in read_columns(path, ["type", "joinid", "score", "flag", "free"])]
    assert dtypes == [pl.Enum(["B", "T", "NK"]), pl.Int64, pl.Float64, pl.Boolean, pl.String]


def test_row_groups_with_dictionaries_of_their_own_are_read_as_one_column(tmp_path: Path) -> None:
    parts = [["b", "a"], ["c", "b", None], ["a", "d", "d"]]
    schema = pa.schema([("x", pa.dictionary(pa.int32(), pa.string()))])
    with pq.ParquetWriter(tmp_path / "x.parquet", schema) as writer:
        for part in parts:
            writer.write_table(pa.table({"x": pa.array(part).dictionary_encode()}, schema=schema))
    (series,) = read_columns(tmp_path / "x.parquet", ["x"])
    assert series.to_list() == ["b", "a", "c", "b", None, "a", "d", "d"]
    assert series.dtype == pl.Enum(["b", "a", "c", "d"])


@pytest.mark.parametrize("n_values", [1, 255, 256, 65_535, 65_536])
def test_codes_are_the_smallest_that_hold_the_values(tmp_path: Path, n_values: int) -> None:
    values = [str(i) for i in range(n_values)]
    pq.write_table(pa.table({"x": pa.array(values).dictionary_encode()}), tmp_path / "x.parquet")
    (series,) = read_columns(tmp_path / "x.parquet", ["x"])
    assert series.to_list() == values
    assert series.to_physical().dtype == (
        pl.UInt8 if n_values <= 255 else pl.UInt16 if n_values <= 65_535 else pl.UInt32
    )


def test_a_damaged_file_says_to_build_again(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CorpusError, match=r"cannot be read: .*; build the corpus again"):
        read_columns(path, ["type"])
