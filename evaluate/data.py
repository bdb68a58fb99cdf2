"""Evaluation data: counts, obs and genes of cells that models are tried on, in memory."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import polars as pl
import scipy.sparse as sp
from anndata import AnnData

from curate.build.task.halves import value_texts
from curate.errors import EvaluationError
from curate.nearest import nearest
from curate.train.embed.genes import MIN_OVERLAP, Overlap, map_to_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from curate.gene_space import GeneSpace

TARGET_SUM = 1e4


@dataclass(eq=False)
class EvaluationData:
    """Cells to evaluate on.

    Attributes
    ----------
    name
        What tables call it.
    path
        Where it lies, for messages.
    counts
        uint32 [n_cells, n_genes], raw, in memory: 8 bytes a non-zero.
    obs_names, obs
        Names and columns of the cells.
    var_names, var
        Names and columns of the genes, as in the file.
    organism
        Whose cells they are.
    label
        What the data say of themselves, such as that they are simulated.
    layer, gene_column
        Of a file: where its counts stand, and the column of var that names genes; found where None.
    identity
        Columns source and soma_joinid of cells of a Census or a manifest; None of a file.
    census
        What stands for the content of that Census.
    min_overlap
        Least share of a model's genes that they must have; the others are taken as zero.
    notices
        What a person should know of the data and of what was left out of them.
    """

    name: str
    path: Path
    counts: csr_array
    obs_names: pl.Series
    obs: pl.DataFrame
    var_names: pl.Series
    var: pl.DataFrame
    organism: str = "homo_sapiens"
    layer: str | None = None
    gene_column: str | None = None
    label: str | None = None
    identity: pl.DataFrame | None = None
    census: str | None = None
    min_overlap: float = MIN_OVERLAP
    notices: list[str] = field(default_factory=list)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.counts.shape[0])

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return int(self.counts.shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of counts, obs and var, and of how genes are found among those of a model."""
        digest = hashlib.sha256(np.asarray(self.counts.indptr, "<i8").tobytes())
        digest.update(np.asarray(self.counts.indices, "<i8").tobytes())
        digest.update(np.asarray(self.counts.data, "<u4").tobytes())
        asked = (self.organism, self.gene_column, self.min_overlap)
        digest.update(repr(asked).encode())
        columns = [("obs", self.obs), ("var", self.var), ("var", self.var_names.alias("").to_frame())]
        for axis, values in ((axis, each) for axis, table in columns for each in table):
            digest.update(f"\n{axis} {values.name}\n".encode())
            digest.update("\n".join(values.cast(pl.String).fill_null("")).encode())
        return digest.hexdigest()

    def notice(self, text: str) -> None:
        """Add a notice, once."""
        if text not in self.notices:
            self.notices.append(text)

    @contextmanager
    def noticed(self) -> Iterator[list[str]]:
        """Yield a list that in the end has all notices made meanwhile, those made before once more too."""
        before, made = list(self.notices), list[str]()
        self.notices.clear()
        try:
            yield made
        finally:
            made += self.notices
            self.notices[:] = before
            for text in made:
                self.notice(text)

    def labels(self, column: str, *, what: str = "labels") -> NDArray[np.str_]:
        """Return a column of obs as text [n_cells]; what is missing is "unknown".

        Raises
        ------
        EvaluationError
            When there is no such column.
        """
        if column not in self.obs.columns:
            hint = nearest(column, self.obs.columns)
            raise EvaluationError(f"{self.name} has no obs column {column!r} for {what}; {hint}")
        return np.asarray(value_texts(self.obs[column]).to_list(), np.str_)

    def take(
        self, cells: NDArray[np.bool_] | NDArray[np.int64], *, name: str | None = None
    ) -> EvaluationData:
        """Return some of the cells, by a mask or by rows."""
        rows = np.flatnonzero(cells) if cells.dtype == np.bool_ else cells
        return replace(
            self,
            name=name or self.name,
            counts=self.counts[rows],
            obs_names=self.obs_names.gather(rows),
            obs=self.obs[rows],
            identity=None if self.identity is None else self.identity[rows],
        )

    def write(self, path: Path) -> None:
        """Write names of cells and genes, and the counts, as an h5ad file."""
        obs = pd.DataFrame(index=self.obs_names.cast(pl.String).to_list())
        var = pd.DataFrame(index=self.var_names.cast(pl.String).to_list())
        AnnData(sp.csr_matrix(self.counts), obs=obs, var=var).write_h5ad(path)

    def aligned(self, genes: GeneSpace) -> tuple[csr_array, Overlap]:
        """Return the counts in the genes of a model, by Ensembl id first, then by symbol.

        Where these hold less than half of the counts, a notice says so.

        Raises
        ------
        ModelError
            When they have fewer than `min_overlap` of them.
        SourceError
            When none can be mapped.
        """
        mapping = map_to_model(
            self,
            genes,
            organism=self.organism,
            gene_column=self.gene_column,
            min_overlap=self.min_overlap,
        )
        counts = mapping.align(self.counts.astype(np.float32)).astype(np.uint32)
        fraction = float(counts.sum(dtype=np.float64)) / max(1.0, float(self.counts.sum(dtype=np.float64)))
        overlap = replace(Overlap.of(mapping), counts_fraction=fraction)
        self.notice_overlap(overlap)
        return counts, overlap

    def notice_overlap(self, overlap: Overlap) -> None:
        """Notice what is to be said of the genes that they share with a model, if anything."""
        if (warning := overlap.warning()) is not None:
            self.notice(f"{self.name}: {warning}")


def logged(counts: csr_array, *, target_sum: float = TARGET_SUM) -> csr_array:
    """Return log1p(count / total * target_sum), float32; a cell without counts stays zero."""
    totals = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    scale = np.divide(target_sum, totals, out=np.zeros_like(totals), where=totals > 0)
    found = counts.astype(np.float32)
    found.data = np.log1p(found.data * np.repeat(scale, np.diff(found.indptr))).astype(np.float32)
    return found
