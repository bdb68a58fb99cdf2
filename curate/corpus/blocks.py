"""The first stage of a corpus build: obs in a stream, what the rules on cells keep set aside in blocks.

A block is an Arrow file: the kept cells of a run of joinids, and in its metadata the counts of those dropped.
Finished blocks stay when a build is killed, and the next one reads on behind the last of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.corpus.corpus import JOINID, OBSERVATION_JOINID
from curate.documents import Document
from curate.errors import CorpusError
from curate.progress import progress
from curate.threads import ahead, mapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.census import Census
    from curate.corpus.cell_rules import CellRulesInUse

CANDIDATE = "is_candidate"
METADATA = b"curate"
LARGEST_SMALL_CODE = 2**16 - 1


class BlockCounts(Document):
    """What a block read and dropped.

    Attributes
    ----------
    assay_values
        What the assay rule dropped, by assay.
    quality_dropped, quality_matching
        Rule → cells, dropped by it and none before it, and dropped by itself.
    """

    last_joinid: int
    n_read: int
    filter_dropped: int
    assays_dropped: int
    assays_matching: int
    assay_values: dict[str, int]
    quality_dropped: dict[str, int]
    quality_matching: dict[str, int]

    @property
    def n_kept(self) -> int:
        """Number of cells in the block."""
        return self.n_read - self.filter_dropped - self.assays_dropped - sum(self.quality_dropped.values())


@dataclass(frozen=True)
class Block:
    """A finished block on disk."""

    path: Path
    schema: pa.Schema
    counts: BlockCounts

    @classmethod
    def open(cls, path: Path) -> Block | None:
        """Open a block; None for a file that was not finished."""
        try:
            with pa.memory_map(str(path)) as file:
                schema = pa.ipc.open_file(file).schema
            return cls(path, schema, BlockCounts.model_validate_json(schema.metadata[METADATA]))
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
            return None

    @property
    def text_columns(self) -> list[str]:
        """Names of the columns that hold a dictionary."""
        return [field.name for field in self.schema if pa.types.is_dictionary(field.type)]

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """Read the kept cells."""
        positions = None if columns is None else sorted(self.schema.get_field_index(name) for name in columns)
        with pa.memory_map(str(self.path)) as file:
            options = pa.ipc.IpcReadOptions(included_fields=positions)
            return pa.ipc.open_file(file, options=options).read_all().replace_schema_metadata(None)


def read_blocks(
    census: Census,
    folder: Path,
    rules: CellRulesInUse,
    *,
    organism: str,
    columns: list[str],
    block_cells: int,
) -> list[Block]:
    """Read obs from where the blocks in `folder` end, and return all blocks in joinid order.

    Memory: about 500 bytes a cell of a block, four blocks being under way: one is read, two are filtered, one
    waits.

    Parameters
    ----------
    columns
        What to keep, observation_joinid included where the release has it.

    Raises
    ------
    CorpusError
        When cells have no dataset_id or no observation_joinid, or fewer cells come than the Census counts.
    """
    blocks = _finished(folder)
    n_cells = census.n_cells(organism)
    n_done = sum(block.counts.n_read for block in blocks)
    needed = [name for name in dict.fromkeys([*columns, *rules.columns]) if name not in rules.computed]
    with progress("Reading obs", n_cells) as advance:
        advance(n_done)
        if n_done < n_cells:
            first = blocks[-1].counts.last_joinid + 1 if blocks else 0
            tables = regrouped(
                census.read_obs(organism, needed, joinids=slice(first, None), as_stored=True), block_cells
            )
            write = partial(_write, folder, rules, columns=columns)
            for block in mapped(write, enumerate(ahead(tables), len(blocks))):
                blocks.append(block)
                advance(block.counts.n_read)
    n_read = sum(block.counts.n_read for block in blocks)
    if n_read != n_cells:
        raise CorpusError(f"read {n_read:,} cells of the {n_cells:,} that the Census counts; build again")
    return blocks


def regrouped(batches: Iterable[pa.Table | pa.RecordBatch], n_rows: int) -> Iterator[pa.Table]:
    """Yield the rows of the batches in tables of `n_rows`, the last with what is left.

    A text column has one dictionary throughout a table.
    """
    waiting: list[pa.Table] = []
    n_waiting = 0
    for batch in batches:
        table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        while n_waiting + table.num_rows >= n_rows:
            n_taken = n_rows - n_waiting
            yield _joined([*waiting, table.slice(0, n_taken)])
            waiting, n_waiting, table = [], 0, table.slice(n_taken)
        if table.num_rows:
            waiting.append(table)
            n_waiting += table.num_rows
    if n_waiting:
        yield _joined(waiting)


def whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, without a copy where it is one already."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _joined(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).unify_dictionaries()


def _finished(folder: Path) -> list[Block]:
    """Return the blocks up to the first that is missing, and remove those after it: they begin elsewhere."""
    blocks: list[Block] = []
    paths = sorted(folder.glob("*.arrow"))
    for path in paths:
        block = Block.open(path) if path == _path(folder, len(blocks)) else None
        if block is None:
            break
        blocks.append(block)
    for path in paths[len(blocks) :]:
        path.unlink()
    return blocks


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.arrow"


def _write(
    folder: Path, rules: CellRulesInUse, numbered: tuple[int, pa.Table], *, columns: list[str]
) -> Block:
    """Set aside what the rules on cells keep of a table."""
    number, table = numbered
    path = _path(folder, number)
    strict = rules.passing_filter(table)
    passing = strict | rules.passing_filter(_as_primary(table)) if rules.rescue else strict
    assayed = rules.passing_assays(table)
    lost = passing & ~assayed
    table, quality = rules.apply_quality(table, passing & assayed)
    counts = BlockCounts(
        last_joinid=table[JOINID][-1].as_py(),
        n_read=table.num_rows,
        filter_dropped=int((~passing).sum()),
        assays_dropped=int(lost.sum()),
        assays_matching=int((~assayed).sum()),
        assay_values=_count(table["assay"], lost) if lost.any() else {},
        quality_dropped=quality.dropped,
        quality_matching=quality.matching,
    )
    rows = np.flatnonzero(quality.passing)
    names = [JOINID, *columns]
    kept = pa.table([_compact(name, taken(whole(table[name]), rows)) for name in names], names=names)
    if rules.rescue:
        kept = kept.append_column(CANDIDATE, pa.array(~strict[rows]))
    _check_identity(kept)
    # A column says whether it lacks values: without them it takes less time to write as Parquet, and to read.
    fields = [field.with_nullable(kept[field.name].null_count > 0) for field in kept.schema]
    block = kept.cast(pa.schema(fields, {METADATA: counts.model_dump_json().encode()}))
    # No fsync: a block that a crash of the machine cuts short does not open, and is read again.
    unfinished = path.with_suffix(".unfinished")
    # Nor compression: it takes longer than writing, and the cells are mapped when they are read again.
    with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, block.schema) as writer:
        writer.write_table(block)
    unfinished.replace(path)
    return Block(path, block.schema, counts)


def taken(column: pa.Array, rows: NDArray[np.int64]) -> pa.Array:
    """Return rows of a column; numbers and codes quicker than Arrow does, and texts of one length."""
    if pa.types.is_dictionary(column.type):
        codes = taken(column.indices, rows)
        return pa.DictionaryArray.from_arrays(codes, column.dictionary, safe=False)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _taken_texts(column, rows)
    if column.null_count or not pa.types.is_primitive(column.type) or pa.types.is_boolean(column.type):
        return pc.take(column, pa.array(rows), boundscheck=False)
    # The rows are there; "clip" spares numpy a copy that it makes to be able to raise.
    return pa.array(column.to_numpy().take(rows, mode="clip"))


def _taken_texts(texts: pa.Array, rows: NDArray[np.int64]) -> pa.Array:
    """Return some of the texts; where all have one length, as in the Census, at a fifth of the time."""
    n = len(texts)
    _, buffer, data = texts.buffers()
    dtype = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    offsets = np.frombuffer(buffer, dtype)[texts.offset : texts.offset + n + 1]
    length = int(offsets[1] - offsets[0]) if n else 0
    if texts.null_count or length == 0 or (np.diff(offsets) != length).any():
        return pc.take(texts, pa.array(rows), boundscheck=False)
    held = np.frombuffer(data, f"V{length}", count=n, offset=int(offsets[0])).take(rows, mode="clip")
    ends = np.arange(0, length * (len(held) + 1), length, dtype=dtype)
    return type(texts).from_buffers(len(held), pa.py_buffer(ends), pa.py_buffer(held))


def _as_primary(table: pa.Table) -> pa.Table:
    position = table.schema.get_field_index("is_primary_data")
    flags = pa.array(np.ones(table.num_rows, np.bool_))
    return table.set_column(position, table.schema.field(position), flags)


def _count(column: pa.ChunkedArray, rows: NDArray[np.bool_]) -> dict[str, int]:
    counts = pc.value_counts(column.filter(pa.array(rows)).combine_chunks()).to_pylist()
    return {str(each["values"]): each["counts"] for each in counts}


def _check_identity(cells: pa.Table) -> None:
    if OBSERVATION_JOINID in cells.column_names:
        for name in ("dataset_id", OBSERVATION_JOINID):
            if n_missing := cells[name].null_count:
                raise CorpusError(
                    f"{n_missing:,} cells have no {name}, so that they have no identity; filter them out"
                )


def _compact(name: str, array: pa.Array) -> pa.Array:
    """Return text as a dictionary, codes in two bytes where they fit; observation_joinids stay text."""
    if name == OBSERVATION_JOINID or not _is_text(array.type):
        return array
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    if array.type.index_type.bit_width <= 16 or len(array.dictionary) > LARGEST_SMALL_CODE:
        return array
    codes = array.indices.cast(pa.uint16(), safe=False)
    return pa.DictionaryArray.from_arrays(codes, array.dictionary, safe=False)


def _is_text(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(dtype) or pa.types.is_string(dtype) or pa.types.is_large_string(dtype))
