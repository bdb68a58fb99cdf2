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
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.corpus.blocks import regrouped, taken, whole
from curate.corpus.corpus import (
    CELLS_FILE,
    IDENTITY_FILE,
    JOINID,
    OBSERVATION_JOINID,
    OBSERVATION_JOINIDS_FILE,
)
from curate.corpus.donors import DONOR
from curate.identity import arrow_identity_hash, release_identity_hash
from curate.progress import progress
from curate.threads import ahead, mapped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.corpus.blocks import Block

ROW_GROUP_CELLS = 2**20
LARGEST_DICTIONARY_BYTES = 2**26
IDENTITY = "identity"


@dataclass
class ContentDigest:
    """sha256 over what the cells are, column by column, fed in joinid order."""

    n_rows: int = 0
    hashes: dict[str, Any] = field(default_factory=dict)

    def update(self, table: pa.Table, categories: dict[str, list[str]]) -> None:
        """Add the next cells."""
        for name in table.column_names:
            column = whole(table[name])
            missing = np.flatnonzero(column.is_null()) if column.null_count else np.zeros(0, np.int64)
            if name in categories:
                # The code after the last stands for a missing value.
                n = len(categories[name])
                codes = column.indices.fill_null(n) if column.null_count else column.indices
                self._add(
                    name, codes.to_numpy(zero_copy_only=False).astype(np.min_scalar_type(n), copy=False)
                )
            else:
                filler = False if pa.types.is_boolean(column.type) else 0
                values = column.fill_null(filler) if column.null_count else column
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
class KeptCells:
    """Which of the cells in the blocks are kept: of these cell types (None: of all), not of these donors."""

    types: frozenset[str] | None = None
    dropped_donors: AbstractSet[tuple[str | None, str | None]] = frozenset()


@dataclass(frozen=True)
class SealedCells:
    """What was written: number of cells, and the content that the id of the corpus is made of."""

    n_cells: int
    content: dict[str, Any]


def seal_cells(
    blocks: Sequence[Block],
    folder: Path,
    *,
    columns: list[str],
    kept: KeptCells,
    release: str,
) -> SealedCells:
    """Write the cells of the blocks that are kept, in joinid order.

    Memory: about 500 bytes a cell of a block or of a row group (2^20 cells), whichever is larger.

    Parameters
    ----------
    columns
        The obs columns to index.
    release
        Of the Census; it enters the identity of cells without observation_joinid.
    """
    n_cells, categories = _survey(blocks, columns, kept)
    schema = _schema(blocks, categories)
    has_texts = OBSERVATION_JOINID in blocks[0].schema.names
    digest = ContentDigest()
    with (
        progress("Writing the index", n_cells) as advance,
        ThreadPoolExecutor(2) as pool,
        _Writer(folder / CELLS_FILE) as cells,
        _Writer(folder / OBSERVATION_JOINIDS_FILE) as texts,
        (folder / IDENTITY_FILE).open("wb") as identity,
    ):
        np.lib.format.write_array_header_1_0(
            identity, {"descr": "<u8", "fortran_order": False, "shape": (n_cells,)}
        )
        read = partial(_kept_cells, schema=schema, categories=categories, kept=kept, release=release)
        tables = mapped(read, blocks)
        for table in ahead(regrouped(tables, ROW_GROUP_CELLS)):
            writing = [pool.submit(cells.write, table.select([JOINID, *columns]))]
            if has_texts:
                writing.append(pool.submit(texts.write, table.select([OBSERVATION_JOINID])))
            identity.write(whole(table[IDENTITY]).to_numpy().astype("<u8", copy=False).data)
            digest.update(table.select([JOINID, IDENTITY, *columns]), categories)
            for each in writing:
                each.result()
            advance(table.num_rows)
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


def _survey(blocks: Sequence[Block], columns: list[str], kept: KeptCells) -> tuple[int, dict[str, list[str]]]:
    """Count the cells to keep, and find the values that they have in each text column, sorted."""
    n_cells = 0
    values: dict[str, set[str]] = {}
    for n_kept, found in mapped(partial(_survey_block, columns=columns, kept=kept), blocks):
        n_cells += n_kept
        for name, held in found.items():
            values.setdefault(name, set()).update(held)
    return n_cells, {name: sorted(found) for name, found in values.items()}


def _survey_block(block: Block, *, columns: list[str], kept: KeptCells) -> tuple[int, dict[str, list[str]]]:
    names = [name for name in block.text_columns if name in columns]
    table = block.read(names)
    rows = _rows_of_kept(block, kept)
    values = {}
    for name in names:
        column = _rows(whole(table[name]), rows)
        values[name] = column.dictionary.take(pc.unique(column.indices).drop_null()).to_pylist()
    return table.num_rows if rows is None else rows.size, values


def _schema(blocks: Sequence[Block], categories: dict[str, list[str]]) -> pa.Schema:
    """Return the types of what is sealed; a column of which no block lacks a value is not nullable."""
    fields = []
    for first in blocks[0].schema:
        dtype = first.type
        if first.name in categories:
            codes = np.min_scalar_type(len(categories[first.name]))
            dtype = pa.dictionary(pa.from_numpy_dtype(codes), pa.string())
        nullable = any(block.schema.field(first.name).nullable for block in blocks)
        fields.append(pa.field(first.name, dtype, nullable))
    return pa.schema(fields)


def _kept_cells(
    block: Block,
    *,
    schema: pa.Schema,
    categories: dict[str, list[str]],
    kept: KeptCells,
    release: str,
) -> pa.Table:
    """Return the cells to keep of a block, text as codes into the sorted values, and their identity."""
    table = block.read()
    rows = _rows_of_kept(block, kept)
    arrays = []
    for name in table.column_names:
        column = _rows(whole(table[name]), rows)
        arrays.append(_recoded(column, categories[name]) if name in categories else column)
    cells = pa.table(arrays, schema=schema)
    return cells.append_column(IDENTITY, pa.array(cell_identity(cells, release)))


def cell_identity(cells: pa.Table, release: str) -> NDArray[np.uint64]:
    """Return the identity hash of cells, uint64 [n_cells], text in dictionaries or not."""
    if OBSERVATION_JOINID not in cells.column_names:
        return release_identity_hash(release, cells[JOINID].to_numpy())
    return arrow_identity_hash(whole(cells["dataset_id"]), whole(cells[OBSERVATION_JOINID]))


def _recoded(column: pa.DictionaryArray, values: list[str]) -> pa.Array:
    """Return a column with codes into `values`, in the smallest integers for them."""
    n = len(values)
    dictionary = pa.array(values, pa.string())
    # A value that none of the cells has is not in `values`.
    found = pc.index_in(column.dictionary.cast(pa.string()), value_set=dictionary).fill_null(n)
    table = np.append(found.to_numpy(), n).astype(np.min_scalar_type(n))
    codes = table.take(_codes(column), mode="clip")
    mask = codes == n if column.null_count else None
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=mask), dictionary, safe=False)


def _codes(column: pa.DictionaryArray) -> NDArray[np.integer[Any]]:
    """Return the codes of a column; null has the code after the last."""
    indices = column.indices
    if indices.null_count:
        # In 32 bits, for the code may be one more than 16 bits hold.
        indices = indices.cast(pa.int32()).fill_null(len(column.dictionary))
    codes: NDArray[np.integer[Any]] = indices.to_numpy(zero_copy_only=False)
    return codes


def _rows(column: pa.Array, rows: NDArray[np.int64] | None) -> pa.Array:
    return column if rows is None else taken(column, rows)


def _rows_of_kept(block: Block, kept: KeptCells) -> NDArray[np.int64] | None:
    """Return the rows of the block that are kept; None where all are."""
    masks = []
    if kept.types is not None:
        (types,) = _labels(block, ["cell_type"])
        of_value = np.array([value in kept.types for value in [*types.dictionary.to_pylist(), None]])
        masks.append(of_value.take(_codes(types), mode="clip"))
    if kept.dropped_donors:
        datasets, donors = _labels(block, list(DONOR))
        places = [
            {name: code for code, name in enumerate([*column.dictionary.to_pylist(), None])}
            for column in (datasets, donors)
        ]
        is_dropped = np.zeros((len(places[0]), len(places[1])), np.bool_)
        for dataset, donor in kept.dropped_donors:
            if dataset in places[0] and donor in places[1]:
                is_dropped[places[0][dataset], places[1][donor]] = True
        masks.append(~is_dropped[_codes(datasets), _codes(donors)])
    if all(mask.all() for mask in masks):
        return None
    return np.flatnonzero(np.logical_and.reduce(masks))


def _labels(block: Block, names: list[str]) -> list[pa.DictionaryArray]:
    table = block.read(names)
    return [whole(table[name]) for name in names]
