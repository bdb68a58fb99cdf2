"""Small tables in SOMA collections."""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import tiledbsoma as soma

from curate.census.faults import FAULTS, sentence
from curate.errors import WriteError

if TYPE_CHECKING:
    from collections.abc import Iterator

MIN_FREE_BYTES = 4 * 2**20
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
    arrow = table.select(pl.int_range(pl.len()).alias("soma_joinid"), pl.all()).to_arrow()
    text = pa.large_string()
    types = {name: text for name, dtype in table.schema.items() if dtype == pl.String}
    types |= {name: pa.dictionary(pa.int32(), text) for name in enumerations}
    arrow = arrow.cast(pa.schema([(field.name, types.get(field.name, field.type)) for field in arrow.schema]))
    uri = add_table(collection, name, arrow.schema, n_rows=table.height, config=config)
    with soma.DataFrame.open(uri, "w") as array:
        array.write(arrow)


def add_table(
    collection: Group, name: str, schema: pa.Schema, *, n_rows: int, config: dict[str, Any] | None
) -> str:
    """Add an empty data frame indexed by soma_joinid; return the uri at which to open and write it."""
    check_space(collection.uri)
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


def check_space(uri: str) -> None:
    """Raise WriteError when the disk is about full: making a TileDB object there can end the process."""
    free = shutil.disk_usage(uri.removeprefix("file://")).free
    if free < MIN_FREE_BYTES:
        raise WriteError(
            f"the disk of {Path(uri.removeprefix('file://')).parent} has {free:,} bytes free; a store needs "
            f"{MIN_FREE_BYTES:,} beside its data; nothing was changed"
        )


@contextmanager
def tiledb_errors(path: Path) -> Iterator[None]:
    """Turn the errors of TileDB into WriteError, or KeyboardInterrupt; nothing but TileDB may run inside."""
    try:
        yield
    except FAULTS as error:
        raise WriteError(f"could not write {path}: {sentence(error)}; nothing was changed") from error


def next_millisecond() -> None:
    """Let the clock move on between two changes of one array's schema.

    TileDB orders them by milliseconds: two in the same one may be read in either order. A member of a
    collection even takes the time at which the collection was opened, hence arrays are written through their
    own uri.
    """
    time.sleep(0.002)
