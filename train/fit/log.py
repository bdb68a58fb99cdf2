"""The log of a run: one row a metric and step, in Parquet."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import polars as pl

from curate.atomic import atomic_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from curate.train.fit.state import Progress

LOG_FILE = "metrics.parquet"
SCHEMA = {
    "step": pl.Int64,
    "n_cells": pl.Int64,
    "epoch": pl.Int64,
    "seconds": pl.Float64,
    "split": pl.String,
    "metric": pl.String,
    "value": pl.Float64,
}


class Log:
    """What was measured so far."""

    def __init__(self, content: bytes | None = None) -> None:
        self._table = pl.DataFrame(schema=SCHEMA) if content is None else pl.read_parquet(io.BytesIO(content))
        self._rows: list[tuple[int, int, int, float, str, str, float]] = []

    def add(self, progress: Progress, split: str, values: Mapping[str, float]) -> None:
        """Add the values after a step."""
        # The epoch of the step that was taken last.
        epoch = max(progress.n_epochs - 1, 0)
        at = (progress.step, progress.n_cells, epoch, progress.seconds, split)
        self._rows += [(*at, name, value) for name, value in values.items()]

    @property
    def table(self) -> pl.DataFrame:
        """Columns step, n_cells, epoch, seconds, split, metric, value."""
        if self._rows:
            self._table = self._table.vstack(pl.DataFrame(self._rows, schema=SCHEMA, orient="row"))
            self._rows = []
        return self._table

    def content(self) -> bytes:
        """Return the table as the bytes of a Parquet file."""
        stream = io.BytesIO()
        self.table.write_parquet(stream)
        return stream.getvalue()

    def write(self, folder: Path) -> None:
        """Write metrics.parquet."""
        with atomic_file(folder / LOG_FILE) as aside:
            aside.write_bytes(self.content())
