"""The last stage of a corpus build: blocks to the files of the corpus, and the digest of their content.

The content is hashed column by column over all cells, so that block size does not enter, and text as codes
into its sorted values, so that the order of a store's dictionaries does not enter either.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.corpus.blocks import IDENTITY, regrouped
from curate.corpus.corpus import (
    CELLS_FILE,
    IDENTITY_FILE,
    JOINID,
    OBSERVATION_JOINID,
    OBSERVATION_JOINIDS_FILE,
)
from curate.progress import progress
from curate.threads import ahead, mapped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.corpus.blocks import Block

ROW_GROUP_CELLS = 2**20
LARGEST_DICTIONARY_BYTES = 2**26


@dataclass
class ContentDigest:
    """sha256 over what the cells are, column by column, fed in joinid order."""

    n_rows: int = 0
    hashes: dict[str, Any] = field(default_factory=dict)

    def update(self, table: pa.Table, categories: dict[str, list[str]]) -> None:
        """Add the next cells."""
        for name in table.column_names:
            column = table[name].combine_chunks()
            missing = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
            if name in categories:
                # The code after the last stands for a missing value.
                n = len(categories[name])
                codes = column.indices.fill_null(n).to_numpy(zero_copy_only=False)
                self._add(name, codes.astype(np.min_scalar_type(n)))
            else:
                values = column.fill_null(False if pa.types.is_boolean(column.type) else 0)
                self._add(name, values.to_numpy(zero_copy_only=False))
                if missing.size:
                    self._add(f"{name}, rows missing", self.n_rows + missing)
        self.n_rows += table.num_rows

    def content(self) -> dict[str, str]:
        """Return the digest (hex) of each column."""
        return {name: digest.hexdigest() for name, digest in sorted(self.hashes.items())}

    def _add(self, name: str, values: NDArray[Any]) -> None:
        stored = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
        self.hashes.setdefault(name, hashlib.sha256(stored.dtype.str.encode())).update(stored)


@dataclass(frozen=True)
class SealedCells:
    """What was written: number of cells, and the content that the id of the corpus is made of."""

    n_cells: int
    content: dict[str, Any]


def seal_cells(
    blocks: Sequence[Block], folder: Path, *, columns: list[str], kept_types: frozenset[str] | None
) -> SealedCells:
    """Write the cells of the blocks, or those of some cell types, in joinid order.

    Memory: about 500 bytes a cell of a block or of a row group (2^20 cells), whichever is larger.

    Parameters
    ----------
    columns
        The obs columns to index.
    kept_types
        Values of cell_type to keep; None keeps every cell.
    """
    n_cells, categories = _survey(blocks, columns, kept_types)
    has_texts = OBSERVATION_JOINID in blocks[0].schema.names
    digest = ContentDigest()
    identity = np.lib.format.open_memmap(folder / IDENTITY_FILE, "w+", np.dtype("<u8"), (n_cells,))
    with (
        progress("Writing the index", n_cells) as advance,
        ThreadPoolExecutor(2) as pool,
        _Writer(folder / CELLS_FILE) as cells,
        _Writer(folder / OBSERVATION_JOINIDS_FILE) as texts,
    ):
        kept = partial(_kept_cells, columns=columns, categories=categories, kept_types=kept_types)
        tables = mapped(kept, blocks)
        start = 0
        for table in ahead(regrouped(tables, ROW_GROUP_CELLS)):
            stop = start + table.num_rows
            writing = [pool.submit(cells.write, table.select([JOINID, *columns]))]
            if has_texts:
                writing.append(pool.submit(texts.write, table.select([OBSERVATION_JOINID])))
            identity[start:stop] = table[IDENTITY].to_numpy()
            digest.update(table.select([JOINID, IDENTITY, *columns]), categories)
            for each in writing:
                each.result()
            advance(table.num_rows)
            start = stop
    identity.flush()
    return SealedCells(n_cells, {"columns": digest.content(), "categories": categories})


class _Writer:
    """A Parquet file, opened at its first table."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer: pq.ParquetWriter | None = None

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *error: object) -> None:
        if self.writer is not None:
            self.writer.close()

    def write(self, table: pa.Table) -> None:
        """Write a row group."""
        if self.writer is None:
            self.writer = pq.ParquetWriter(
                self.path,
                table.schema,
                compression="zstd",
                use_dictionary=[field.name for field in table.schema if pa.types.is_dictionary(field.type)],
                dictionary_pagesize_limit=LARGEST_DICTIONARY_BYTES,
                column_encoding={
                    field.name: encoding for field in table.schema if (encoding := _encoding(field.type))
                },
                write_statistics=[JOINID],
            )
        self.writer.write_table(table, row_group_size=ROW_GROUP_CELLS)


def _encoding(dtype: pa.DataType) -> str | None:
    if pa.types.is_integer(dtype):
        return "DELTA_BINARY_PACKED"
    if pa.types.is_floating(dtype):
        return "BYTE_STREAM_SPLIT"
    if pa.types.is_string(dtype) or pa.types.is_large_string(dtype):
        return "DELTA_LENGTH_BYTE_ARRAY"
    return None


def _survey(
    blocks: Sequence[Block], columns: list[str], kept_types: frozenset[str] | None
) -> tuple[int, dict[str, list[str]]]:
    """Count the cells to keep, and find the values that they have in each text column, sorted."""
    n_cells = 0
    values: dict[str, set[str]] = {}
    for block in blocks:
        names = [name for name in block.text_columns if name in columns]
        table = block.read(names)
        keep = _keep(block, kept_types)
        n_cells += block.counts.n_kept if keep is None else int(keep.sum())
        for name in names:
            column = table[name].combine_chunks()
            found = values.setdefault(name, set())
            codes = (
                column.indices.drop_null()
                if keep is None
                else column.indices.filter(pa.array(keep)).drop_null()
            )
            used = np.zeros(len(column.dictionary), np.bool_)
            used[codes.to_numpy(zero_copy_only=False)] = True
            found.update(column.dictionary.filter(pa.array(used)).to_pylist())
    return n_cells, {name: sorted(found) for name, found in values.items()}


def _kept_cells(
    block: Block, *, columns: list[str], categories: dict[str, list[str]], kept_types: frozenset[str] | None
) -> pa.Table:
    """Return the cells to keep of a block, text as codes into the sorted values."""
    table = block.read()
    keep = _keep(block, kept_types)
    if keep is not None:
        table = table.filter(pa.array(keep))
    for name, values in categories.items():
        column = table[name].combine_chunks()
        position = {value: i for i, value in enumerate(values)}
        codes = np.array([position.get(value, 0) for value in column.dictionary.to_pylist()], np.int32)
        indices = pa.array(codes).take(column.indices)
        recoded = pa.DictionaryArray.from_arrays(indices, pa.array(values, pa.string()))
        table = table.set_column(table.column_names.index(name), name, recoded)
    return table


def _keep(block: Block, kept_types: frozenset[str] | None) -> NDArray[np.bool_] | None:
    if kept_types is None:
        return None
    column = block.read(["cell_type"])["cell_type"].combine_chunks()
    kept = pa.array([value in kept_types for value in column.dictionary.to_pylist()], pa.bool_())
    keep: NDArray[np.bool_] = (
        kept.take(column.indices).fill_null(None in kept_types).to_numpy(zero_copy_only=False)
    )
    return keep
