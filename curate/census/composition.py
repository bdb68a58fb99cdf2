"""What the cells of a Census are made of, counted in a stream."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from curate.errors import CensusError
from curate.progress import progress
from curate.where import SEPARATOR

if TYPE_CHECKING:
    from curate.census.census import Census
    from curate.where import Where

MISSING = "(missing)"


@dataclass(frozen=True)
class LabelCounts:
    """The cells of each label of a column.

    Attributes
    ----------
    n_cells
        The cells counted. A cell labelled "A || B" counts for A and for B, so that labels may add to more.
    labels
        label, n_cells: most first, ties by label; a cell without a label, as all are when the release lacks
        the column, counts as "(missing)".
    """

    n_cells: int
    labels: pl.DataFrame


@dataclass(frozen=True)
class NumberCounts:
    """The cells of each value of a column of numbers.

    Attributes
    ----------
    n_cells, n_missing
        The cells counted, and those of them that have no value.
    values
        value, n_cells: in ascending order.
    """

    n_cells: int
    n_missing: int
    values: pl.DataFrame


def count_labels(census: Census, organism: str, column: str, *, where: Where | None = None) -> LabelCounts:
    """Count the cells of each label of an obs column; memory does not grow with the cells.

    Raises
    ------
    CensusError
        When there is no such column, or it holds numbers.
    """
    if holds_numbers(census, organism, column):
        raise CensusError(
            f"the column {column!r} holds numbers; `count_numbers` counts them, this a column of labels"
        )
    counts: Counter[str] = Counter()
    n_cells = 0
    with progress(f"Counting {column}", census.n_cells(organism)) as advance:
        for table in census.read_obs(organism, [column], where=where):
            for pair in table[column].value_counts().to_pylist():
                label = MISSING if pair["values"] is None else str(pair["values"])
                for each in set(label.split(SEPARATOR)):
                    counts[each] += pair["counts"]
            n_cells += table.num_rows
            advance(table.num_rows)
    frame = pl.DataFrame(
        {"label": list(counts), "n_cells": list(counts.values())},
        schema={"label": pl.String, "n_cells": pl.Int64},
    )
    return LabelCounts(n_cells, frame.sort(["n_cells", "label"], descending=[True, False]))


def holds_numbers(census: Census, organism: str, column: str) -> bool:
    """Whether an obs column holds numbers, not labels.

    Raises
    ------
    CensusError
        When there is no such column.
    """
    (dtype,) = {
        table.schema.field(column).type for table in census.read_obs(organism, [column], joinids=slice(0, 0))
    }
    return bool(pa.types.is_integer(dtype) or pa.types.is_floating(dtype))


def count_numbers(census: Census, organism: str, column: str, *, where: Where | None = None) -> NumberCounts:
    """Count the cells of each value of an obs column of numbers; memory: some 50 bytes a distinct value.

    Raises
    ------
    CensusError
        When there is no such column, or it holds no numbers.
    """
    if not holds_numbers(census, organism, column):
        raise CensusError(f"the column {column!r} holds labels; `count_labels` counts them")
    counts: pl.DataFrame | None = None
    n_cells = n_missing = 0
    with progress(f"Counting {column}", census.n_cells(organism)) as advance:
        for table in census.read_obs(organism, [column], where=where):
            values = pl.Series("value", table[column])
            n_cells += len(values)
            n_missing += values.null_count()
            more = values.drop_nulls().value_counts(name="n_cells").cast({"n_cells": pl.Int64})
            together = more if counts is None else pl.concat([counts, more])
            counts = together.group_by("value").agg(pl.col("n_cells").sum())
            advance(table.num_rows)
    assert counts is not None  # one table comes at least
    return NumberCounts(n_cells, n_missing, counts.sort("value"))
