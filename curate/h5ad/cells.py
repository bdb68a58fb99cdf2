"""What a source of cells has, whatever it is stored as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


class ObsOfSource(Protocol):
    """The cells of a source: a name and obs columns each, in the source's order."""

    path: Path
    obs_names: pl.Series
    obs: pl.DataFrame

    @property
    def n_cells(self) -> int:
        """Number of cells."""


class GenesOfSource(Protocol):
    """The genes of a source: a name and var columns each, in the order of its counts."""

    path: Path
    var_names: pl.Series
    var: pl.DataFrame
