"""What the cells of a Census are made of, counted in a stream."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from curate.census import layout
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


def count_labels(census: Census, organism: str, column: str, *, where: Where | None = None) -> LabelCounts:
    """Count the cells of each label of an obs column; memory does not grow with the cells.

    Raises
    ------
    CensusError
        When there is no such column, or it holds numbers.
    """
    if (standard := layout.STANDARD.get(column)) and not (
        standard.is_enumeration or standard.type in (pa.bool_(), pa.string())
    ):
        raise CensusError(f"the column {column!r} holds numbers; count a column of labels such as cell_type")
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
