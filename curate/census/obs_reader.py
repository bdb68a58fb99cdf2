"""Read obs in joinid order: bounded tables, one set of types whatever the release."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from curate.census import layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import tiledbsoma as soma
    from numpy.typing import NDArray

#: Cells looked at by one read: about 100 bytes of memory each for 20 columns.
BLOCK_CELLS = 2**19
#: Where more of the range than this is wanted, read the whole range and leave out the others.
_DENSE = 0.1


def read_tables(
    obs: soma.DataFrame,
    columns: Sequence[str],
    *,
    value_filter: str | None,
    joinids: NDArray[np.int64] | slice,
) -> Iterator[pa.Table]:
    """Yield soma_joinid and `columns` of the cells wanted, in joinid order; empty tables too."""
    stored = [name for name in columns if name in obs.schema.names]
    for wanted in _blocks(joinids):
        is_range = isinstance(wanted, slice) or len(wanted) >= _DENSE * (wanted[-1] - wanted[0] + 1)
        first, last = (
            (wanted.start, wanted.stop - 1) if isinstance(wanted, slice) else (wanted[0], wanted[-1])
        )
        table = obs.read(
            coords=[slice(int(first), int(last)) if is_range else pa.array(wanted)],
            column_names=["soma_joinid", *stored],
            value_filter=value_filter,
        ).concat()
        read = table["soma_joinid"].to_numpy()
        if is_range and not isinstance(wanted, slice):
            table = table.filter(pa.array(np.isin(read, wanted, assume_unique=True)))
            read = table["soma_joinid"].to_numpy()
        if (np.diff(read) < 0).any():
            table = table.take(pa.array(np.argsort(read)))
        yield _typed(table, columns, obs)


def read_type(name: str, obs: soma.DataFrame) -> pa.DataType:
    """Return the type in which a column of obs is read."""
    if name in layout.STANDARD:
        return layout.STANDARD[name].read_type
    stored = obs.schema.field(name).type
    if pa.types.is_dictionary(stored):
        return pa.dictionary(pa.int32(), pa.string())
    return pa.string() if pa.types.is_large_string(stored) else stored


def _typed(table: pa.Table, columns: Sequence[str], obs: soma.DataFrame) -> pa.Table:
    arrays = [table["soma_joinid"]]
    for name in columns:
        dtype = read_type(name, obs)
        is_there = name in table.column_names
        arrays.append(table[name].cast(dtype) if is_there else pa.nulls(table.num_rows, dtype))
    typed = pa.Table.from_arrays(arrays, names=["soma_joinid", *columns])
    return typed.unify_dictionaries().combine_chunks()


def _blocks(joinids: NDArray[np.int64] | slice) -> Iterator[NDArray[np.int64] | slice]:
    if isinstance(joinids, slice):
        for first in range(joinids.start, joinids.stop, BLOCK_CELLS):
            yield slice(first, min(first + BLOCK_CELLS, joinids.stop))
    else:
        for first in range(0, len(joinids), BLOCK_CELLS):
            yield joinids[first : first + BLOCK_CELLS]
