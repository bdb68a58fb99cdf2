"""A Census-layout store as a source of cells, with what an h5ad file has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from curate.census import Census, layout
from curate.errors import SourceError
from curate.h5ad.matrix import flaw_of
from curate.h5ad.source import BLOCK_CELLS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    import scipy.sparse as sp
    from numpy.typing import NDArray

LAYER = "raw"


class StoreSource:
    """The cells of one organism of a store; row i is soma_joinid i.

    Memory: obs, and one block of counts.

    Attributes
    ----------
    path, layer, obs_names, obs, var_names, var
        As of `H5adSource`. A cell is called by its dataset and observation_joinid, else by its soma_joinid.

    Raises
    ------
    SourceError
        When the store has no cells of the organism.
    CensusError
        When it cannot be opened as a Census.
    """

    def __init__(self, path: Path, organism: str) -> None:
        self.path = path
        self.layer = LAYER
        self._organism = organism
        self._census = Census.open(uri=str(path))
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        if self._organism not in self._census.organisms:
            there = ", ".join(self._census.organisms)
            raise SourceError(f"{self.path} holds {there}, the corpus {self._organism}; name another source")
        names = [
            name
            for name in self._census.obs_columns(self._organism)
            if name not in ("soma_joinid", *layout.STATISTICS)
        ]
        tables = [
            pl.DataFrame(pl.from_arrow(table)) for table in self._census.read_obs(self._organism, names)
        ]
        obs = pl.concat(tables).sort("soma_joinid")
        var = self._census.read_var(self._organism)
        self.var_names = var["feature_id"]
        self.var = var.select("feature_name", "feature_type")
        self.obs = obs.drop("soma_joinid")
        self.obs_names = _names(obs)
        if not self.n_cells:
            raise SourceError(f"{self.path} has no cells of {self._organism}")

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.obs.height

    @property
    def n_genes(self) -> int:
        """Number of genes of the counts."""
        return len(self.var_names)

    def blocks(
        self, block_cells: int = BLOCK_CELLS, *, cells: NDArray[np.bool_] | None = None
    ) -> Iterator[sp.csr_array]:
        """Yield the counts in joinid order, of all cells or of those marked in `cells` (bool [n_cells]).

        Raises
        ------
        SourceError
            When a value is no count.
        """
        rows = np.arange(self.n_cells) if cells is None else np.flatnonzero(cells)
        if not len(rows):
            return
        for block in self._census.read_counts(self._organism, rows, block_cells=block_cells):
            if why_not := flaw_of(block.counts.data):
                raise SourceError(f"{self.path}: X/{LAYER} has {why_not}; name a store of raw counts")
            yield block.counts

    def close(self) -> None:
        """Close the store."""
        self._census.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _names(obs: pl.DataFrame) -> pl.Series:
    if "observation_joinid" in obs.columns:
        named = pl.concat_str(
            pl.col("dataset_id").cast(pl.String), pl.col("observation_joinid"), separator=":"
        )
    else:
        named = pl.col("soma_joinid").cast(pl.String)
    return obs.select(named.alias("index"))["index"]
