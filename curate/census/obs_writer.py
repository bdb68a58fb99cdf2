"""The obs table of a store in the making: spooled by dataset, written when its categories are known."""

from __future__ import annotations

import base64
import hashlib
import shutil
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import tiledbsoma as soma

from curate.census import layout
from curate.census.tables import add_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from curate.census.counts_writer import CellStatistics

#: Cells in one TileDB fragment.
_ROWS = 2**18
_POLARS_TYPES = {pa.float64(): pl.Float64, pa.int64(): pl.Int64, pa.string(): pl.String}


class ObsWriter:
    """Spool obs columns, text as codes, then write one table with whole enumerations.

    Spooling means that no enumeration is ever extended in a TileDB array, and that the memory needed is that
    of one dataset.
    """

    def __init__(self, spool: Path, *, schema_version: str) -> None:
        self._spool = spool
        self._columns = columns = layout.obs_columns(schema_version)
        self._has_enumerations = layout.version(schema_version) >= layout.ENUMERATIONS_SINCE
        self._codes: dict[str, dict[str, int]] = {c.name: {} for c in columns if c.is_enumeration}
        self._files: list[Path] = []
        self.n_cells = 0

    def check(self, obs: pl.DataFrame, *, has_counts: bool) -> None:
        """Raise ValueError when obs has columns that are not of the Census, or are assigned here."""
        assigned = {"soma_joinid", "dataset_id"} | (set(layout.STATISTICS) if has_counts else set())
        settable = [c.name for c in layout.OBS_COLUMNS if c.name not in assigned]
        if unknown := sorted(set(obs.columns) - set(settable)):
            raise ValueError(
                f"obs has columns {', '.join(unknown)}; the columns to give are {', '.join(settable)}"
            )

    def add(
        self,
        dataset_id: str,
        obs: pl.DataFrame,
        statistics: CellStatistics | None,
        *,
        n_measured: int,
    ) -> pl.DataFrame:
        """Spool the cells of one dataset; return its obs as completed."""
        filled = self._filled(dataset_id, obs, statistics, n_measured=n_measured)
        arrays = {c.name: self._array(c, filled[c.name]) for c in self._columns if c.name != "soma_joinid"}
        table = pa.table(arrays)
        self._spool.mkdir(exist_ok=True)
        path = self._spool / f"{len(self._files):06}.arrow"
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as out:
            out.write_table(table, max_chunksize=_ROWS)
        self._files.append(path)
        self.n_cells += table.num_rows
        return filled

    def finish(self, experiment: soma.Experiment) -> None:
        """Write obs into the experiment."""
        enumerations = {name: pa.array(list(codes), pa.large_string()) for name, codes in self._codes.items()}
        schema = pa.schema([self._field(column, enumerations) for column in self._columns])
        config = layout.obs_config(self._columns)
        uri = add_table(experiment, "obs", schema, n_rows=self.n_cells, config=config)
        first = 0
        for batch in _gathered(self._batches()):
            columns = [pa.array(np.arange(first, first + batch.num_rows))]
            for column in self._columns[1:]:
                values = batch.column(column.name)
                field = schema.field(column.name)
                if column.is_enumeration:
                    values = pa.DictionaryArray.from_arrays(values, enumerations[column.name])
                    values = values.cast(field.type)
                columns.append(values)
            table = pa.Table.from_arrays(columns, schema=schema)
            with soma.DataFrame.open(uri, "w") as array:
                array.write(table, platform_config=soma.TileDBWriteOptions(sort_coords=False))
            first += batch.num_rows
        shutil.rmtree(self._spool)

    def _filled(
        self, dataset_id: str, obs: pl.DataFrame, statistics: CellStatistics | None, *, n_measured: int
    ) -> pl.DataFrame:
        given = {"dataset_id": pl.repeat(dataset_id, obs.height, dtype=pl.String, eager=True)}
        if statistics is not None:
            given |= {name: pl.Series(value) for name, value in vars(statistics).items()}
            given["n_measured_vars"] = pl.repeat(n_measured, obs.height, dtype=pl.Int64, eager=True)
        return pl.DataFrame(
            [
                _completed(
                    column,
                    given.get(column.name, obs.get_column(column.name, default=None)),
                    obs.height,
                    dataset_id,
                ).alias(column.name)
                for column in self._columns
                if column.name != "soma_joinid"
            ]
        )

    def _array(self, column: layout.ObsColumn, values: pl.Series) -> pa.Array:
        if not column.is_enumeration:
            return values.to_arrow().cast(pa.large_string() if column.type == pa.string() else column.type)
        encoded = pc.dictionary_encode(values.to_arrow())
        codes = self._codes[column.name]
        mapping = [codes.setdefault(value, len(codes)) for value in encoded.dictionary.to_pylist()]
        return pa.array(np.array(mapping, np.int32)[encoded.indices.to_numpy()])

    def _field(self, column: layout.ObsColumn, enumerations: dict[str, pa.Array]) -> pa.Field:
        if not (column.is_enumeration and self._has_enumerations):
            return pa.field(column.name, pa.large_string() if column.type == pa.string() else column.type)
        n_values = len(enumerations[column.name])
        index = pa.int8() if n_values < 2**7 else pa.int16() if n_values < 2**15 else pa.int32()
        return pa.field(column.name, pa.dictionary(index, pa.large_string()))

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for path in self._files:
            with pa.memory_map(str(path)) as source:
                reader = pa.ipc.open_file(source)
                for i in range(reader.num_record_batches):
                    yield reader.get_batch(i)


def observation_joinids(dataset_id: str, names: Iterable[object]) -> list[str]:
    """Return an identifier of ten characters for every cell, a hash of its dataset and its name within it."""
    prefix = hashlib.blake2b(f"{dataset_id}\0".encode(), digest_size=8)
    joinids = []
    for name in names:
        digest = prefix.copy()
        digest.update(str(name).encode())
        joinids.append(base64.b85encode(digest.digest()).decode())
    return joinids


def _completed(
    column: layout.ObsColumn, values: pl.Series | None, n_cells: int, dataset_id: str
) -> pl.Series:
    """Fill in what is missing of a column, or all of it."""
    if values is None:
        if column.name == "observation_joinid":
            return pl.Series(observation_joinids(dataset_id, range(n_cells)), dtype=pl.String)
        values = pl.repeat(None, n_cells, eager=True)
    if column.name == "is_primary_data":
        return values.cast(pl.Boolean).fill_null(value=True)
    if column.is_enumeration:
        return values.cast(pl.String).fill_null(layout.UNKNOWN)
    return values.cast(_POLARS_TYPES[column.type])


def _gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Join small batches to about _ROWS rows, so that many small datasets do not make many fragments."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        if waiting and sum(each.num_rows for each in waiting) + batch.num_rows > _ROWS:
            yield pa.concat_batches(waiting)
            waiting = []
        waiting.append(batch)
    if waiting:
        yield pa.concat_batches(waiting)
