"""Read obs in joinid order: bounded tables, one set of types whatever the release."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa

from curate.census import layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import tiledbsoma as soma
    from numpy.typing import NDArray

    from curate.where import Where

#: Cells looked at by one read: about 100 bytes of memory each for 20 columns.
BLOCK_CELLS = 2**19
#: Where more of the range than this is wanted, read the whole range and leave out the others.
_DENSE = 0.1


def read_tables(
    obs: soma.DataFrame,
    columns: Sequence[str],
    *,
    value_filter: str | None,
    where: Where | None,
    joinids: NDArray[np.int64] | slice,
    as_stored: bool,
) -> Iterator[pa.Table]:
    """Yield soma_joinid and `columns` of the cells wanted, in joinid order; empty tables too, one at least.

    TileDB applies `value_filter` while it reads, `where` is applied to what was read.
    """
    needed = list(dict.fromkeys([*columns, *sorted(where.columns if where else [])]))
    needed = [name for name in needed if name != "soma_joinid"]
    stored = [name for name in needed if name in obs.schema.names]
    n_blocks = 0
    for wanted in _blocks(joinids):
        table = obs.read(
            coords=[_coordinates(wanted)],
            column_names=["soma_joinid", *stored],
            value_filter=value_filter,
        ).concat()
        table = _typed(_in_order(table, wanted), needed, obs, as_stored=as_stored)
        if where is not None:
            table = table.filter(where.mask(pl.DataFrame(pl.from_arrow(table))).to_arrow())
        yield table.select(["soma_joinid", *columns])
        n_blocks += 1
    if not n_blocks:
        types = [("soma_joinid", pa.int64()), *((name, read_type(name, obs)) for name in columns)]
        yield pa.schema(types).empty_table()


def can_push_down(where: Where, obs: soma.DataFrame) -> bool:
    """Return whether TileDB means what `where` means: not with numbers.

    It cuts 5.5 to 5 beside a column of whole numbers, and a missing number is not unequal to any.
    """
    types = [read_type(name, obs) for name in where.columns]
    return all(pa.types.is_dictionary(each) or each in (pa.string(), pa.bool_()) for each in types)


def read_type(name: str, obs: soma.DataFrame) -> pa.DataType:
    """Return the type in which a column of obs is read."""
    if name in layout.STANDARD:
        return layout.STANDARD[name].read_type
    stored = obs.schema.field(name).type
    if pa.types.is_dictionary(stored):
        return pa.dictionary(pa.int32(), pa.string())
    return pa.string() if pa.types.is_large_string(stored) else stored


def _typed(table: pa.Table, columns: Sequence[str], obs: soma.DataFrame, *, as_stored: bool) -> pa.Table:
    arrays = [table["soma_joinid"]]
    for name in columns:
        dtype = read_type(name, obs)
        if name not in table.column_names:
            arrays.append(pa.nulls(table.num_rows, dtype))
        elif as_stored and _is_same_text(table.schema.field(name).type, dtype):
            arrays.append(table[name])
        else:
            arrays.append(table[name].cast(dtype))
    typed = pa.Table.from_arrays(arrays, names=["soma_joinid", *columns])
    return typed.unify_dictionaries().combine_chunks()


def _is_same_text(stored: pa.DataType, dtype: pa.DataType) -> bool:
    """Return whether both are text in codes, or both plain text."""
    if pa.types.is_dictionary(dtype):
        return bool(pa.types.is_dictionary(stored))
    return bool(pa.types.is_string(dtype) and pa.types.is_large_string(stored))


def _coordinates(wanted: NDArray[np.int64] | slice) -> slice | pa.Array:
    # A range of TileDB includes its end.
    if isinstance(wanted, slice):
        return slice(wanted.start, wanted.stop - 1)
    first, last = int(wanted[0]), int(wanted[-1])
    return slice(first, last) if len(wanted) >= _DENSE * (last - first + 1) else pa.array(wanted)


def _in_order(table: pa.Table, wanted: NDArray[np.int64] | slice) -> pa.Table:
    read = table["soma_joinid"].to_numpy()
    if not isinstance(wanted, slice) and not np.array_equal(read, wanted):
        is_wanted = np.isin(read, wanted, assume_unique=True)
        table, read = table.filter(pa.array(is_wanted)), read[is_wanted]
    return table.take(pa.array(np.argsort(read))) if (np.diff(read) < 0).any() else table


def _blocks(joinids: NDArray[np.int64] | slice) -> Iterator[NDArray[np.int64] | slice]:
    if isinstance(joinids, slice):
        for first in range(joinids.start, joinids.stop, BLOCK_CELLS):
            yield slice(first, min(first + BLOCK_CELLS, joinids.stop))
    else:
        for first in range(0, len(joinids), BLOCK_CELLS):
            yield joinids[first : first + BLOCK_CELLS]
