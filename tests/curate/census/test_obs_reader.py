"""Obs that lies on disk in another order than that of its joinids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
import tiledbsoma as soma

from curate.census.obs_reader import TABLE_CELLS, read_tables

if TYPE_CHECKING:
    from pathlib import Path

N = 900
SCHEMA = pa.schema([("soma_joinid", pa.int64()), ("value", pa.int64())])


def write_obs(path: Path, ranges: list[tuple[int, int]]) -> None:
    soma.DataFrame.create(str(path), schema=SCHEMA, domain=[(0, N - 1)]).close()
    for first, last in ranges:
        joinids = np.arange(first, last)
        with soma.DataFrame.open(str(path), "w") as obs:
            obs.write(pa.table({"soma_joinid": joinids, "value": 10 * joinids}, schema=SCHEMA))


@pytest.mark.parametrize("buffer_bytes", [2**11, 2**20], ids=["in many parts", "in one part"])
@pytest.mark.parametrize(
    "ranges",
    [
        [(0, 300), (300, 600), (600, 900)],
        [(600, 900), (0, 300), (300, 600)],
        [(0, 300), (600, 900), (300, 600)],
        [(0, 300), (600, 900)],
    ],
    ids=["in order", "the last first", "a gap that is filled later", "a gap that stays"],
)
def test_cells_come_in_joinid_order_however_they_were_written(
    ranges: list[tuple[int, int]], buffer_bytes: int, tmp_path: Path
) -> None:
    write_obs(tmp_path / "obs", ranges)
    context = soma.SOMATileDBContext(tiledb_config={"soma.init_buffer_bytes": str(buffer_bytes)})
    with soma.DataFrame.open(str(tmp_path / "obs"), context=context) as obs:
        tables = list(
            read_tables(obs, ["value"], value_filter=None, where=None, joinids=slice(0, N), as_stored=False)
        )
    read = pa.concat_tables(tables)
    expected = np.sort(np.concatenate([np.arange(*each) for each in ranges]))
    assert read["soma_joinid"].to_pylist() == expected.tolist()
    assert read["value"].to_pylist() == (10 * expected).tolist()
    assert max(map(len, tables)) <= TABLE_CELLS


def test_no_table_is_larger_than_promised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_obs(tmp_path / "obs", [(0, N)])
    monkeypatch.setattr("curate.census.obs_reader.TABLE_CELLS", 70)
    with soma.DataFrame.open(str(tmp_path / "obs")) as obs:
        tables = list(
            read_tables(obs, ["value"], value_filter=None, where=None, joinids=slice(0, N), as_stored=False)
        )
    assert max(map(len, tables)) == 70
    assert pa.concat_tables(tables)["soma_joinid"].to_pylist() == list(range(N))
