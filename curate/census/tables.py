"""Small tables in SOMA collections."""

from __future__ import annotations

import time
from typing import Any

import polars as pl
import pyarrow as pa
import tiledbsoma as soma

Group = soma.Collection[Any] | soma.Experiment | soma.Measurement


def write_table(
    collection: Group,
    name: str,
    table: pl.DataFrame,
    *,
    enumerations: tuple[str, ...] = (),
    config: dict[str, Any] | None = None,
) -> None:
    """Add a small data frame to a collection, its rows numbered by soma_joinid."""
    joinids = pl.int_range(table.height, eager=True).alias("soma_joinid")
    arrow = table.insert_column(0, joinids).to_arrow()
    columns = [
        arrow[column].combine_chunks().cast(pa.large_string()) if dtype == pl.String else arrow[column]
        for column, dtype in table.schema.items()
    ]
    columns = [
        values.dictionary_encode() if column in enumerations else values
        for column, values in zip(table.columns, columns, strict=True)
    ]
    arrow = pa.table(dict(zip(table.columns, columns, strict=True)))
    uri = add_table(collection, name, arrow.schema, n_rows=table.height, config=config)
    with soma.DataFrame.open(uri, "w") as array:
        array.write(arrow)


def add_table(
    collection: Group, name: str, schema: pa.Schema, *, n_rows: int, config: dict[str, Any] | None
) -> str:
    """Add an empty data frame indexed by soma_joinid; return the uri at which to open and write it."""
    with collection.add_new_dataframe(
        name,
        schema=schema,
        index_column_names=["soma_joinid"],
        domain=[(0, n_rows - 1)],
        platform_config=config,
    ) as array:
        uri: str = array.uri
    next_millisecond()
    return uri


def next_millisecond() -> None:
    """Let the clock move on between two changes of one array's schema.

    TileDB orders them by milliseconds: two in the same one may be read in either order. A member of a
    collection even takes the time at which the collection was opened, hence arrays are written through their
    own uri.
    """
    time.sleep(0.002)
