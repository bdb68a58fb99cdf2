"""Gene spaces, and the mapping of a file's genes into one."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import polars as pl

from curate.errors import SourceError
from curate.gene_tables import gene_table, par_y_genes, read_gene_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import scipy.sparse as sp
    from numpy.typing import NDArray

__all__ = ["GeneMapping", "GeneSpace", "How", "gene_table", "map_genes", "strip_version"]

How = Literal[
    "index id", "column id", "column symbol", "index symbol", "ambiguous symbol", "no gene", "unmapped"
]

_MAPPED = ("index id", "column id", "column symbol", "index symbol")
_ABSENT, _AMBIGUOUS = -1, -2
_ENSEMBL = re.compile(r"(ENS[A-Z]*G\d{11})(?:\.\d+)?(?:_PAR_Y)?")


@dataclass(frozen=True)
class GeneSpace:
    """An ordered list of genes: what the columns of a matrix mean.

    Raises
    ------
    SourceError
        When an id stands twice, or when there are not as many names as ids.
    """

    feature_ids: tuple[str, ...]
    feature_names: tuple[str, ...]

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


@dataclass(frozen=True)
class GeneMapping:
    """Where each gene of a source goes in a gene space.

    Attributes
    ----------
    target
        int64 [n_source], position in `space`, -1 where the gene has no place there.
    space
        The gene space mapped into.
    names
        The source's own names of its genes, as given.
    how
        For each gene of the source, by what it was mapped, or why it was not.
    """

    target: NDArray[np.int64]
    space: GeneSpace
    names: tuple[str, ...]
    how: tuple[How, ...]

    @property
    def n_mapped(self) -> int:
        """Number of genes of the source that have a place in the space."""
        return int((self.target >= 0).sum())

    @property
    def unmapped(self) -> tuple[str, ...]:
        """Names of the source's genes that have no place in the space, in the source's order."""
        return tuple(self.names[i] for i in np.flatnonzero(self.target < 0).tolist())

    @property
    def how_counts(self) -> dict[str, int]:
        """Number of genes of the source by how they were mapped."""
        return dict(sorted(Counter(self.how).items()))

    @property
    def collisions(self) -> dict[str, tuple[str, ...]]:
        """Names of the source's genes that meet in one gene of the space, by its feature_id."""
        n_sources = np.bincount(self.target[self.target >= 0], minlength=self.space.n_genes)
        met: dict[str, tuple[str, ...]] = {
            self.space.feature_ids[g]: () for g in np.flatnonzero(n_sources > 1)
        }
        for i in np.flatnonzero((self.target >= 0) & (n_sources[self.target] > 1)):
            met[self.space.feature_ids[self.target[i]]] += (self.names[i],)
        return met

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Genes of the space that the source has (bool [n_genes]); the others are absent, not zero."""
        mask = np.zeros(self.space.n_genes, dtype=np.bool_)
        mask[self.target[self.target >= 0]] = True
        return mask

    def restricted(self, positions: NDArray[np.int64]) -> GeneMapping:
        """Return the mapping into the genes at `positions` (int64, in any order) of the space."""
        ids, names = self.space.feature_ids, self.space.feature_names
        lookup = np.full(self.space.n_genes + 1, -1, dtype=np.int64)
        lookup[positions] = np.arange(len(positions))
        # Position -1, not mapped, reads the last entry of the lookup, which no gene has.
        target = lookup[self.target]
        how = tuple(
            h if t >= 0 else ("unmapped" if h in _MAPPED else h)
            for h, t in zip(self.how, target, strict=True)
        )
        space = GeneSpace(tuple(ids[p] for p in positions), tuple(names[p] for p in positions))
        return GeneMapping(target, space, self.names, how)

    def align(self, counts: sp.csr_array) -> sp.csr_array:
        """Return counts [n_cells, n_source] in the gene space: unmapped dropped, colliding summed.

        Returns
        -------
        csr_array
            [n_cells, space.n_genes], the dtype of `counts`, column indices sorted within a row, none twice,
            int64 index pointers.
        """
        import scipy.sparse as sp

        column = self.target[counts.indices]
        kept = column >= 0
        indptr = np.concatenate([[0], np.cumsum(kept)])[counts.indptr].astype(np.int64)
        aligned = sp.csr_array(
            (counts.data[kept], column[kept], indptr), shape=(counts.shape[0], self.space.n_genes)
        )
        aligned.sum_duplicates()
        aligned.indptr = aligned.indptr.astype(np.int64)
        return aligned


def map_genes(
    var_names: Sequence[str],
    *,
    ids: Sequence[str | None] | None = None,
    symbols: Sequence[str | None] | None = None,
    table: pl.DataFrame | GeneSpace,
) -> GeneMapping:
    """Map a source's genes into the genes of `table`: by id first, then by symbol.

    For each gene the first of these that is in the table counts: `var_names` as an id, `ids` as an id,
    `symbols` as a symbol, `var_names` as a symbol; so a gene whose id the table lacks is looked for by its
    symbol. Versions of Ensembl ids are dropped (ENSG00000182378.14_PAR_Y is ENSG00000182378). A symbol of
    several genes stands for the one on X where the others are its pseudoautosomal copies on Y, else for the
    only protein-coding one; where there is none, or more than one, it is ambiguous and maps to nothing.

    Parameters
    ----------
    var_names
        The index of var, one a gene.
    ids, symbols
        Columns of var that hold ids and symbols, None where a value is missing.
    table
        A gene space, or a table with feature_id, feature_name and, to decide between genes of one symbol,
        feature_type.

    Raises
    ------
    SourceError
        When `ids` or `symbols` do not have one value a gene.
    """
    n = len(var_names)
    for label, values in (("ids", ids), ("symbols", symbols)):
        if values is not None and len(values) != n:
            raise SourceError(f"{len(values)} {label} for {n} genes; give one a gene")
    space = table if isinstance(table, GeneSpace) else GeneSpace.from_table(table)
    by_symbol = _by_symbol(space, table)
    tries: list[tuple[How, Sequence[str | None] | None, Mapping[str, int]]] = [
        ("index id", [strip_version(name) for name in var_names], space.index),
        (
            "column id",
            None if ids is None else [value and strip_version(value) for value in ids],
            space.index,
        ),
        ("column symbol", symbols, by_symbol),
        ("index symbol", var_names, by_symbol),
    ]
    target = np.full(n, -1, dtype=np.int64)
    how: list[How] = ["unmapped"] * n
    for label, candidates, lookup in tries:
        if candidates is None:
            continue
        for i in np.flatnonzero(target < 0).tolist():
            found = lookup.get(cast("str", candidates[i]), _ABSENT)
            if found >= 0:
                target[i], how[i] = found, label
            elif found == _AMBIGUOUS:
                how[i] = "ambiguous symbol"
    return GeneMapping(target, space, tuple(var_names), tuple(how))


def strip_version(gene: str) -> str:
    """Return an Ensembl gene id without its version and PAR_Y mark; anything else as it is."""
    match = _ENSEMBL.fullmatch(gene)
    return match[1] if match else gene


def _by_symbol(space: GeneSpace, table: pl.DataFrame | GeneSpace) -> dict[str, int]:
    """Return the position of the gene that each symbol stands for, _AMBIGUOUS where that cannot be said."""
    has_types = isinstance(table, pl.DataFrame) and "feature_type" in table.columns
    types = cast("pl.DataFrame", table)["feature_type"].to_list() if has_types else [None] * space.n_genes
    genes: dict[str, list[int]] = {}
    for position, name in enumerate(space.feature_names):
        genes.setdefault(name, []).append(position)

    def the_one(positions: list[int]) -> int:
        if len(positions) > 1:
            positions = [p for p in positions if space.feature_ids[p] not in par_y_genes()]
        if len(positions) > 1:
            positions = [p for p in positions if types[p] == "protein_coding"]
        return positions[0] if len(positions) == 1 else _AMBIGUOUS

    return {name: the_one(positions) for name, positions in genes.items()}
