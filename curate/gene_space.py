"""Gene spaces: what the columns of a matrix mean, and which data set measured which gene."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from curate.errors import SourceError
from curate.gene_tables import read_gene_table
from curate.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Presence:
    """Which data set measured which gene: a gene that was not measured is absent, not zero.

    Attributes
    ----------
    datasets
        What the data sets are called.
    measured
        bool [n_datasets, n_genes].
    """

    datasets: tuple[str, ...]
    measured: NDArray[np.bool_]

    def of(self, dataset: str) -> NDArray[np.bool_]:
        """Return the genes that a data set measured, bool [n_genes].

        Raises
        ------
        SourceError
            When it is not known what the data set measured, naming the nearest.
        """
        if dataset not in self.datasets:
            raise SourceError(
                f"it is not known which genes {dataset!r} measured; {nearest(dataset, self.datasets)}"
            )
        mask: NDArray[np.bool_] = self.measured[self.datasets.index(dataset)]
        return mask

    @property
    def n_genes(self) -> dict[str, int]:
        """Number of genes that each data set measured."""
        return dict(zip(self.datasets, self.measured.sum(axis=1).tolist(), strict=True))

    @property
    def n_datasets(self) -> NDArray[np.int64]:
        """Number of data sets that measured each gene, int64 [n_genes]."""
        n_datasets: NDArray[np.int64] = self.measured.sum(axis=0, dtype=np.int64)
        return n_datasets

    def joined(self, other: Presence) -> Presence:
        """Return the data sets of both, of the same genes."""
        return Presence(self.datasets + other.datasets, np.vstack([self.measured, other.measured]))


@dataclass(frozen=True)
class GeneSpace:
    """An ordered list of genes: what the columns of a matrix mean.

    Attributes
    ----------
    feature_ids, feature_names
        Ensembl ids, distinct, and symbols.
    presence
        Which data set measured which of them; None where that is not known. It is not what the space is: two
        spaces of the same ids and names are equal.

    Raises
    ------
    SourceError
        When an id stands twice, or when there are not as many names as ids.
    """

    feature_ids: tuple[str, ...]
    feature_names: tuple[str, ...]
    presence: Presence | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.feature_ids) != len(self.feature_names):
            n_ids, n_names = len(self.feature_ids), len(self.feature_names)
            raise SourceError(f"{n_ids} gene ids but {n_names} gene names; give one name a gene")
        if len(self.index) != len(self.feature_ids):
            twice, n = Counter(self.feature_ids).most_common(1)[0]
            n_extra = len(self.feature_ids) - len(self.index)
            raise SourceError(
                f"{n_extra} gene ids stand more than once ({twice} {n} times); list each gene once"
            )
        if self.presence is not None and self.presence.measured.shape[1] != len(self.feature_ids):
            n_held, n_ids = self.presence.measured.shape[1], len(self.feature_ids)
            raise SourceError(f"a presence of {n_held:,} genes for {n_ids:,} gene ids; give one a gene")

    @classmethod
    def read(cls, path: Path) -> GeneSpace:
        """Read a gene list: a table with a feature_id column (csv, csv.gz, tsv, parquet), or a txt of ids.

        Raises
        ------
        SourceError
            When the file cannot be read, has no genes or no feature_id column, or lists a gene twice.
        """
        return cls.from_table(read_gene_table(path))

    @classmethod
    def from_table(cls, table: pl.DataFrame) -> GeneSpace:
        """Return the genes of a table with feature_id and, where there, feature_name (else the id)."""
        ids = table["feature_id"]
        names = table["feature_name"].fill_null(ids) if "feature_name" in table.columns else ids
        return cls(tuple(ids), tuple(names))

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each feature_id."""
        return {gene: position for position, gene in enumerate(self.feature_ids)}

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return len(self.feature_ids)

    @cached_property
    def digest(self) -> str:
        r"""sha256 (hex) of the ordered ids joined by newlines: names do not enter."""
        return hashlib.sha256("\n".join(self.feature_ids).encode()).hexdigest()

    def table(self) -> pl.DataFrame:
        """Return the space as a table of feature_id and feature_name."""
        return pl.DataFrame(
            {"feature_id": self.feature_ids, "feature_name": self.feature_names},
            schema={"feature_id": pl.String, "feature_name": pl.String},
        )

    def measured_by(self, presence: Presence) -> GeneSpace:
        """Return the same genes with what is known of who measured them."""
        return replace(self, presence=presence)

    def at(self, positions: Sequence[int]) -> GeneSpace:
        """Return the genes at some positions, in that order, with their presence."""
        presence = self.presence
        if presence is not None:
            presence = Presence(presence.datasets, presence.measured[:, positions])
        ids, names = self.feature_ids, self.feature_names
        return GeneSpace(tuple(ids[p] for p in positions), tuple(names[p] for p in positions), presence)
