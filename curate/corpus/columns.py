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


def read_columns(path: Path, names: Sequence[str]) -> list[pl.Series]:
    """Return columns of a Parquet file, dictionary-encoded text as enums.

    Memory: what is returned (1, 2 or 4 bytes a row for text, by the number of its values), and two row
    groups.

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
        columns = [_column(schema.field(name), metadata.num_rows) for name in names]
        read = partial(_read_group, path, metadata, list(names))
        start = 0
        for group in mapped(read, range(metadata.num_row_groups)):
            for column, values in zip(columns, group.columns, strict=True):
                column.add(start, values)
            start += group.num_rows
    except (OSError, pa.ArrowException) as error:
        raise CorpusError(f"{path} cannot be read: {error}; build the corpus again") from None
    return [column.series() for column in columns]


def _read_group(path: Path, metadata: pq.FileMetaData, names: list[str], number: int) -> pa.Table:
    import pyarrow.parquet as pq

    # One file a call: a ParquetFile is not made for several threads.
    with pq.ParquetFile(path, memory_map=True, metadata=metadata) as file:
        group = file.read_row_group(number, columns=names, use_threads=False)
    return group.select(names)


def _column(field: pa.Field, n_rows: int) -> _Texts | _Values:
    import pyarrow as pa

    return _Texts(field.name, n_rows) if pa.types.is_dictionary(field.type) else _Values(field.name)


class _Values:
    """A column that is taken as it comes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.chunks: list[Any] = []

    def add(self, start: int, values: pa.ChunkedArray) -> None:
        del start
        self.chunks += values.chunks

    def series(self) -> pl.Series:
        import pyarrow as pa

        series = pl.from_arrow(pa.chunked_array(self.chunks))
        assert isinstance(series, pl.Series)
        return series.alias(self.name).rechunk()


class _Texts:
    """A column of text: its codes fill one array, in the smallest integers that hold them."""

    def __init__(self, name: str, n_rows: int) -> None:
        self.name = name
        self.labels: list[str] = []
        self.codes: NDArray[np.unsignedinteger] = np.empty(n_rows, np.uint8)
        self.is_null: NDArray[np.bool_] | None = None

    def add(self, start: int, values: pa.ChunkedArray) -> None:
        for chunk in values.chunks:
            rows = slice(start, start + len(chunk))
            indices = chunk.indices
            if chunk.null_count:
                if self.is_null is None:
                    self.is_null = np.zeros(self.codes.size, np.bool_)
                self.is_null[rows] = indices.is_null().to_numpy(zero_copy_only=False)
                indices = indices.fill_null(0)
            codes = indices.to_numpy(zero_copy_only=False)
            table = self._numbers(chunk.dictionary.to_pylist())
            self.codes[rows] = codes if table is None else table[codes]
            start += len(chunk)

    def series(self) -> pl.Series:
        codes = pl.Series(self.name, self.codes)
        if self.is_null is not None:
            codes = pl.DataFrame({self.name: codes, "null": self.is_null}).select(
                pl.when(~pl.col("null")).then(pl.col(self.name)).alias(self.name)
            )[self.name]
        return codes.cat.to(pl.Enum(self.labels))

    def _numbers(self, labels: list[str]) -> NDArray[np.int64] | None:
        """Return our codes of the labels of a chunk; None where they are the same, as in most files."""
        if labels == self.labels:
            return None
        if self.labels:
            known = {label: code for code, label in enumerate(self.labels)}
            table = np.array([known.setdefault(label, len(known)) for label in labels], np.int64)
            self.labels = list(known)
        else:
            table, self.labels = None, labels
        dtype = next(t for t in (np.uint8, np.uint16, np.uint32) if len(self.labels) <= np.iinfo(t).max)
        if dtype != self.codes.dtype:
            self.codes = self.codes.astype(dtype)
        return table
