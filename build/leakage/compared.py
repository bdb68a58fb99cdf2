"""Cells that an evaluation set is compared with: those of a corpus, or those of a source of spike-ins."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl
import scipy.sparse as sp

from curate.identity import identity_hash
from curate.sources.source import CONTENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.build.leakage.evaluation import GeneGroup
    from curate.census import Census
    from curate.corpus import Corpus
    from curate.sources.source import Source

    ReleaseJoinids = tuple[str, NDArray[np.int64]]


@dataclass(frozen=True)
class GeneSet:
    """Cells and a group of evaluation cells that share these genes.

    Attributes
    ----------
    rows
        int64, the cells.
    n_datasets
        How many datasets they are of.
    shared
        bool [n_genes of the group], the genes that their datasets measured.
    """

    rows: NDArray[np.int64]
    n_datasets: int
    group: GeneGroup
    shared: NDArray[np.bool_]


class Compared(Protocol):
    """Cells in rows; their obs, and their counts in genes of the corpus' Census."""

    @property
    def n_cells(self) -> int:
        """Number of cells."""

    @property
    def called(self) -> str:
        """What they are, for messages."""

    @property
    def key(self) -> dict[str, str]:
        """What stands for their content."""

    @property
    def path(self) -> Path:
        """The folder under which what was found is kept."""

    def release_joinids(self) -> ReleaseJoinids | None:
        """Return (content of the Census, soma_joinids int64 [n_cells]) where cells have no other identity."""

    def identity(self) -> NDArray[np.uint64]:
        """Return the hash of each cell's identity, uint64 [n_cells]."""

    def content(self) -> NDArray[np.uint64] | None:
        """Return hashes of the counts over all genes of a file, by its own names; None of a corpus."""

    def columns(self, names: Sequence[str]) -> pl.DataFrame:
        """Return obs columns [n_cells]."""

    def gene_sets(self, group: GeneGroup, wanted: NDArray[np.bool_]) -> Iterator[GeneSet]:
        """Yield the wanted cells (bool [n_cells]) by what their datasets measured of a group's genes."""

    def counts(self, rows: NDArray[np.int64], genes: NDArray[np.int64]) -> Iterator[sp.csr_array]:
        """Yield the counts of some cells [b, len(genes)], genes as places in the var of the Census."""


@dataclass(frozen=True)
class CorpusCells:
    """The cells of a corpus; `census` is its Census, open."""

    corpus: Corpus
    census: Census

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.corpus.n_cells

    @property
    def called(self) -> str:
        """What they are, for messages."""
        return f"corpus {self.corpus.name!r}"

    @property
    def key(self) -> dict[str, str]:
        """What stands for their content."""
        return {"corpus": self.corpus.id, "census": self.corpus.header.census.content}

    @property
    def path(self) -> Path:
        """The folder of the corpus."""
        return self.corpus.path

    def release_joinids(self) -> ReleaseJoinids | None:
        """Return the soma_joinids, where the release has no observation_joinid."""
        if self.corpus.header.identity != "release+soma_joinid":
            return None
        return self.corpus.header.census.content, self.corpus.joinids()

    def identity(self) -> NDArray[np.uint64]:
        """Return the hash of each cell's identity."""
        return self.corpus.identity()

    def content(self) -> None:
        """Return None: a Census names its genes anew."""

    def columns(self, names: Sequence[str]) -> pl.DataFrame:
        """Return obs columns."""
        return self.corpus.columns(names)

    def gene_sets(self, group: GeneGroup, wanted: NDArray[np.bool_]) -> Iterator[GeneSet]:
        """Yield cells of datasets that measured the same of the group's genes together."""
        codes, names, measured_by = self._datasets
        of_mask: dict[bytes, tuple[NDArray[np.bool_], list[int]]] = {}
        for code in np.unique(codes[wanted]).tolist():
            measured = measured_by(names[code], group.genes)
            of_mask.setdefault(measured.tobytes(), (measured, []))[1].append(code)
        for shared, members in of_mask.values():
            yield GeneSet(np.flatnonzero(wanted & np.isin(codes, members)), len(members), group, shared)

    def counts(self, rows: NDArray[np.int64], genes: NDArray[np.int64]) -> Iterator[sp.csr_array]:
        """Yield the counts of some cells, read from the Census."""
        joinids = self._joinids[rows]
        for block in self.census.read_counts(self.corpus.header.organism, joinids, var_joinids=genes):
            yield block.counts

    @cached_property
    def _joinids(self) -> NDArray[np.int64]:
        return self.corpus.joinids()

    @cached_property
    def _datasets(self) -> Any:
        """The dataset of each cell, their names, and what tells which genes one measured."""
        datasets = self.census.read_datasets()
        place = dict(zip(datasets["dataset_id"], datasets["soma_joinid"], strict=True))
        column = self.corpus.columns(["dataset_id"])["dataset_id"]
        assert isinstance(column.dtype, pl.Enum)
        presence = self.census.presence(self.corpus.header.organism)

        def measured_by(name: str, genes: NDArray[np.int64]) -> NDArray[np.bool_]:
            if name not in place:
                return np.ones(len(genes), np.bool_)
            measured: NDArray[np.bool_] = presence[[place[name]]].toarray()[0][genes].astype(np.bool_)
            return measured

        return column.to_physical().to_numpy(), column.dtype.categories.to_list(), measured_by


@dataclass(frozen=True)
class SourceCells:
    """The cells of a source, in those of its genes that are genes of the corpus."""

    source: Source

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.source.n_cells

    @property
    def called(self) -> str:
        """What they are, for messages."""
        return f"source {self.source.name!r}"

    @property
    def key(self) -> dict[str, str]:
        """What stands for their content."""
        header = self.source.header
        return {"source": header.id, "labels": header.labels, "genes": header.corpus_genes}

    @property
    def path(self) -> Path:
        """The folder of the source."""
        return self.source.path

    def release_joinids(self) -> None:
        """Return None: a source has observation_joinids, its own or made of its cells' names."""

    def identity(self) -> NDArray[np.uint64]:
        """Return the hash of dataset_id and observation_joinid."""
        obs = self.columns(["dataset_id", "observation_joinid"])
        return identity_hash(*(obs[name].cast(pl.String).fill_null("") for name in obs.columns))

    def content(self) -> NDArray[np.uint64]:
        """Return the hashes that were recorded when the source was registered."""
        return self.columns([CONTENT])[CONTENT].to_numpy()

    def columns(self, names: Sequence[str]) -> pl.DataFrame:
        """Return obs columns."""
        return self.source.columns(names)

    def gene_sets(self, group: GeneGroup, wanted: NDArray[np.bool_]) -> Iterator[GeneSet]:
        """Yield all cells at once: a source measured the same genes in each."""
        if wanted.any():
            places = self.source.corpus.var_joinids()[self.source.mapping.measured]
            yield GeneSet(np.flatnonzero(wanted), 1, group, np.isin(group.genes, places))

    def counts(self, rows: NDArray[np.int64], genes: NDArray[np.int64]) -> Iterator[sp.csr_array]:
        """Yield the counts of some cells, read from the source's file."""
        places = self.source.corpus.var_joinids()
        column = np.full(int(max(places.max(initial=0), genes.max(initial=0))) + 1, -1, np.int64)
        column[genes] = np.arange(len(genes))
        column = column[places]
        for block in self.source.counts(rows):
            at = column[block.indices]
            kept = at >= 0
            indptr = np.concatenate([[0], np.cumsum(kept)])[block.indptr].astype(np.int64)
            yield sp.csr_array((block.data[kept], at[kept], indptr), shape=(block.shape[0], len(genes)))
