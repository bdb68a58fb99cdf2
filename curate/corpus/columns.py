"""Read columns of a Parquet file with a code a cell instead of a text a cell, row group by row group."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.errors import CorpusError
from curate.threads import mapped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as pq
    from numpy.typing import NDArray


def read_columns(
    path: Path, names: Sequence[str], *, rows: NDArray[np.int64] | None = None
) -> list[pl.Series]:
    """Return columns of a Parquet file, dictionary-encoded text as enums.

    Memory: what is returned (1, 2 or 4 bytes a row for text, by the number of its values), and four row
    groups.

    Parameters
    ----------
    rows
        Only these, int64 [n] ascending.

    Raises
    ------
    CorpusError
        When the file cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            metadata, schema = file.metadata, file.schema_arrow
        n_rows = metadata.num_rows if rows is None else rows.size
        columns = [_column(schema.field(name), n_rows) for name in names]
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        starts = np.cumsum([0, *sizes])
        bounds = starts if rows is None else np.searchsorted(rows, starts)
        wanted = [i for i in range(len(sizes)) if bounds[i] < bounds[i + 1]]
        for number, group in zip(
            wanted, mapped(partial(_read_group, path, metadata, names), wanted), strict=True
        ):
            first, last = int(bounds[number]), int(bounds[number + 1])
            taken = None if rows is None else rows[first:last] - starts[number]
            for column, values in zip(columns, group.columns, strict=True):
                column.add(first, values, taken)
    except (OSError, pa.ArrowException) as error:
        raise CorpusError(f"{path} cannot be read: {error}; build the corpus again") from None
    return [column.series() for column in columns]


def _read_group(path: Path, metadata: pq.FileMetaData, names: Sequence[str], number: int) -> pa.Table:
    import pyarrow.parquet as pq

    # One file a call: a ParquetFile is not made for several threads.
    with pq.ParquetFile(path, memory_map=True, metadata=metadata) as file:
        group = file.read_row_group(number, columns=list(names), use_threads=False)
    return group.select(list(names))


def _column(field: pa.Field, n_rows: int) -> _Texts | _Numbers | _Values:
    import pyarrow as pa

    if pa.types.is_dictionary(field.type):
        return _Texts(field.name, n_rows)
    if field.type in (pa.int64(), pa.float64()):
        return _Numbers(field.name, n_rows, field.type.to_pandas_dtype())
    return _Values(field.name, field.type)


class _Values:
    """A column that is taken as it comes."""

    def __init__(self, name: str, dtype: pa.DataType) -> None:
        self.name = name
        self.dtype = dtype
        self.chunks: list[Any] = []

    def add(self, first: int, values: pa.ChunkedArray, rows: NDArray[np.int64] | None) -> None:
        del first
        self.chunks += values.chunks if rows is None else values.take(rows).chunks

    def series(self) -> pl.Series:
        import pyarrow as pa

        series = pl.from_arrow(pa.chunked_array(self.chunks, self.dtype))
        assert isinstance(series, pl.Series)
        return series.alias(self.name).rechunk()


class _Numbers:
    """A column of 64-bit numbers: they fill one array."""

    def __init__(self, name: str, n_rows: int, dtype: type[np.generic]) -> None:
        self.name = name
        self.values: NDArray[Any] = np.empty(n_rows, dtype)
        self.is_null: NDArray[np.bool_] | None = None

    def add(self, first: int, values: pa.ChunkedArray, rows: NDArray[np.int64] | None) -> None:
        for chunk in _taken(values, rows):
            last = first + len(chunk)
            self.is_null, chunk = _without_nulls(self.is_null, chunk, slice(first, last), self.values.size)
            self.values[first:last] = chunk.to_numpy(zero_copy_only=False)
            first = last

    def series(self) -> pl.Series:
        return _with_nulls(pl.Series(self.name, self.values), self.is_null)


class _Texts:
    """A column of text: its codes fill one array, in the smallest integers that hold them."""

    def __init__(self, name: str, n_rows: int) -> None:
        self.name = name
        self.labels: list[str] = []
        self.dictionary: pa.Array | None = None
        self.codes: NDArray[np.unsignedinteger] = np.empty(n_rows, np.uint8)
        self.is_null: NDArray[np.bool_] | None = None

    def add(self, first: int, values: pa.ChunkedArray, rows: NDArray[np.int64] | None) -> None:
        for chunk in _taken(values, rows):
            last = first + len(chunk)
            table = self._numbers(chunk.dictionary)
            self.is_null, indices = _without_nulls(
                self.is_null, chunk.indices, slice(first, last), self.codes.size
            )
            codes = indices.to_numpy(zero_copy_only=False)
            self.codes[first:last] = codes if table is None else table[codes]
            first = last

    def series(self) -> pl.Series:
        codes = _with_nulls(pl.Series(self.name, self.codes), self.is_null)
        return codes.cat.to(pl.Enum(self.labels))

    def _numbers(self, dictionary: pa.Array) -> NDArray[np.int64] | None:
        """Return our codes of the values of a chunk; None where they are the same, as in most files."""
        if self.dictionary is not None and dictionary.equals(self.dictionary):
            return None
        known = {label: code for code, label in enumerate(self.labels)}
        table = np.array([known.setdefault(label, len(known)) for label in dictionary.to_pylist()], np.int64)
        self.labels = list(known)
        if self.dictionary is None:
            self.dictionary = dictionary
        dtype = next(t for t in (np.uint8, np.uint16, np.uint32) if len(self.labels) <= np.iinfo(t).max)
        if dtype != self.codes.dtype:
            self.codes = self.codes.astype(dtype)
        return table


def _taken(values: pa.ChunkedArray, rows: NDArray[np.int64] | None) -> list[Any]:
    chunks: list[Any] = (values if rows is None else values.take(rows)).chunks
    return chunks


def _without_nulls(
    is_null: NDArray[np.bool_] | None, chunk: pa.Array, rows: slice, n_rows: int
) -> tuple[NDArray[np.bool_] | None, pa.Array]:
    """Note which rows are null, and fill them with 0."""
    if not chunk.null_count:
        return is_null, chunk
    if is_null is None:
        is_null = np.zeros(n_rows, np.bool_)
    is_null[rows] = chunk.is_null().to_numpy(zero_copy_only=False)
    return is_null, chunk.fill_null(0)


def _with_nulls(values: pl.Series, is_null: NDArray[np.bool_] | None) -> pl.Series:
    if is_null is None:
        return values
    name = values.name
    frame = pl.DataFrame({"value": values, "null": is_null})
    return frame.select(pl.when(~pl.col("null")).then("value").alias(name))[name]
