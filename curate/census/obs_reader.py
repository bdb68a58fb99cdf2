"""Read obs in joinid order: bounded tables, one set of types whatever the release."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa

from curate.census import layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import tiledbsoma as soma
    from numpy.typing import NDArray

    from curate.where import Where

#: Cells looked at by one read: about 100 bytes of memory each for 20 columns, where they come out of order or
#: with gaps. Every read makes its own buffers, so that a few long ones take less time.
RANGE_CELLS = 2**22
#: Cells of a table, at most.
TABLE_CELLS = 2**19
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
    n_tables = 0
    for wanted in _ranges(joinids):
        parts = obs.read(
            coords=[_coordinates(wanted)],
            column_names=["soma_joinid", *stored],
            value_filter=value_filter,
        )
        for table in _in_order(parts, wanted):
            typed = _typed(table, needed, obs, as_stored=as_stored)
            if where is not None:
                typed = typed.filter(where.mask(pl.DataFrame(pl.from_arrow(typed))).to_arrow())
            typed = typed.select(["soma_joinid", *columns])
            for first in range(0, max(len(typed), 1), TABLE_CELLS):
                yield typed.slice(first, TABLE_CELLS)
                n_tables += 1
    if not n_tables:
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


def _in_order(parts: Iterable[pa.Table], wanted: NDArray[np.int64] | slice) -> Iterator[pa.Table]:
    """Yield the cells wanted of a read in joinid order: as they come, while they come without a gap.

    Behind a gap, cells may be still to come that belong into it: the rest is put in order as a whole.
    """
    waiting: list[pa.Table] = []
    expected = wanted.start if isinstance(wanted, slice) else None
    for part in parts:
        read = part["soma_joinid"].to_numpy()
        if not waiting and read.size and read[0] == expected and (np.diff(read) == 1).all():
            expected = int(read[-1]) + 1
            yield part
        else:
            waiting.append(part)
    if not waiting:
        return
    table = pa.concat_tables(waiting)
    read = table["soma_joinid"].to_numpy()
    if not isinstance(wanted, slice) and not np.array_equal(read, wanted):
        is_wanted = np.isin(read, wanted, assume_unique=True)
        table, read = table.filter(pa.array(is_wanted)), read[is_wanted]
    yield table.take(pa.array(np.argsort(read))) if (np.diff(read) < 0).any() else table


def _ranges(joinids: NDArray[np.int64] | slice) -> Iterator[NDArray[np.int64] | slice]:
    if isinstance(joinids, slice):
        for first in range(joinids.start, joinids.stop, RANGE_CELLS):
            yield slice(first, min(first + RANGE_CELLS, joinids.stop))
    else:
        for first in range(0, len(joinids), RANGE_CELLS):
            yield joinids[first : first + RANGE_CELLS]
