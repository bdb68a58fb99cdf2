"""The genes of a source in a gene space: one mapping, one report, one way to align counts.

1. each gene is looked up: by id, then by symbol;
2. what is no gene has no place;
3. genes that have none are looked for in the other organisms;
4. genes of another organism are refused.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import polars as pl

from curate.errors import SourceError
from curate.gene_report import GeneReport
from curate.gene_space import GeneSpace, Presence
from curate.gene_tables import gene_table, par_y_genes, shipped_organisms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import scipy.sparse as sp
    from numpy.typing import NDArray

__all__ = [
    "GeneMapping",
    "GeneReport",
    "GeneSpace",
    "How",
    "Presence",
    "align_genes",
    "gene_table",
    "map_genes",
    "strip_version",
]

How = Literal[
    "index id", "column id", "column symbol", "index symbol", "ambiguous symbol", "no gene", "unmapped"
]

_MAPPED = ("index id", "column id", "column symbol", "index symbol")
_ABSENT, _AMBIGUOUS = -1, -2
#: A mapping lists this many names of genes in a sentence.
_N_NAMED = 3
_ENSEMBL = re.compile(r"(ENS[A-Z]*G\d{11})(?:\.\d+)?(?:_PAR_Y)?")


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
    looks_like
        By organism, names of genes without a place that are genes there and not of the space's organism.
    """

    target: NDArray[np.int64]
    space: GeneSpace
    names: tuple[str, ...]
    how: tuple[How, ...]
    looks_like: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

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

    def presence(self, dataset: str) -> Presence:
        """Return which genes of the space the source measured, under the name of a data set."""
        return Presence((dataset,), self.measured[None])

    def report(self) -> GeneReport:
        """Return what became of the source's genes."""
        n_measured = int(self.measured.sum())
        return GeneReport(
            n_genes=len(self.names),
            n_space=self.space.n_genes,
            n_mapped=self.n_mapped,
            n_measured=n_measured,
            mapped_fraction=self.n_mapped / max(1, len(self.names)),
            measured_fraction=n_measured / max(1, self.space.n_genes),
            how=self.how_counts,
            unmapped=self.unmapped,
            collisions=self.collisions,
            looks_like=dict(self.looks_like),
        )

    def restricted(self, positions: NDArray[np.int64]) -> GeneMapping:
        """Return the mapping into the genes at `positions` (int64, in any order) of the space."""
        lookup = np.full(self.space.n_genes + 1, -1, dtype=np.int64)
        lookup[positions] = np.arange(len(positions))
        # Position -1, not mapped, reads the last entry of the lookup, which no gene has.
        target = lookup[self.target]
        how = tuple(
            h if t >= 0 else ("unmapped" if h in _MAPPED else h)
            for h, t in zip(self.how, target, strict=True)
        )
        return replace(self, target=target, space=self.space.at(positions.tolist()), how=how)

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


def align_genes(
    names: Sequence[str],
    *,
    ids: Sequence[str | None] | None = None,
    symbols: Sequence[str | None] | None = None,
    is_gene: NDArray[np.bool_] | None = None,
    table: pl.DataFrame | GeneSpace,
    organism: str | None = None,
    of: str = "the source",
) -> GeneMapping:
    """Map the genes of a source into a gene space, and refuse those of another organism.

    Parameters
    ----------
    names, ids, symbols, table
        As in `map_genes`.
    is_gene
        bool [n_genes], which of the source's features are genes; all by default.
    organism
        Whose genes the space has. Genes without a place are looked for in the shipped tables of the others.
    of
        What the genes are of, for messages.

    Raises
    ------
    SourceError
        When no gene has a place in the space, or more are genes of another organism.
    """
    mapping = map_genes(names, ids=ids, symbols=symbols, table=table)
    if is_gene is not None and not is_gene.all():
        how = tuple(h if kept else "no gene" for h, kept in zip(mapping.how, is_gene.tolist(), strict=True))
        mapping = replace(mapping, target=np.where(is_gene, mapping.target, -1), how=how)
    if organism is not None:
        mapping = replace(mapping, looks_like=_strangers(mapping, ids, symbols, organism))
    _refuse_strangers(mapping, organism, of)
    return mapping


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


def _strangers(
    mapping: GeneMapping,
    ids: Sequence[str | None] | None,
    symbols: Sequence[str | None] | None,
    organism: str,
) -> dict[str, tuple[str, ...]]:
    """Return, by organism, the unmapped genes that are genes of it and not of `organism`."""
    rows = np.flatnonzero(mapping.target < 0).tolist()
    if not rows:
        return {}

    def known(other: str) -> set[int]:
        names = [mapping.names[i] for i in rows]
        own_ids, own_symbols = (
            None if values is None else [values[i] for i in rows] for values in (ids, symbols)
        )
        found = map_genes(names, ids=own_ids, symbols=own_symbols, table=gene_table(other)).target >= 0
        return {i for i, is_known in zip(rows, found.tolist(), strict=True) if is_known}

    shipped = shipped_organisms()
    own = known(organism) if organism in shipped else set()
    strangers = {other: sorted(known(other) - own) for other in shipped if other != organism}
    return {other: tuple(mapping.names[i] for i in found) for other, found in strangers.items() if found}


def _refuse_strangers(mapping: GeneMapping, organism: str | None, of: str) -> None:
    other, strangers = max(mapping.looks_like.items(), key=lambda item: len(item[1]), default=("", ()))
    if mapping.n_mapped and len(strangers) <= mapping.n_mapped:
        return
    examples = ", ".join(repr(name) for name in (strangers or mapping.unmapped)[:_N_NAMED])
    hint = (
        f"{len(strangers):,} of them are genes of {other} ({examples}, …): take a file of {organism}, "
        f"or a Census of {other} for this one (`curate census create --organism {other}`)"
        if len(strangers) > mapping.n_mapped
        else f"they are called {examples}, …: name the column of var with Ensembl ids or symbols "
        "(--gene-column), or a table that has them (`curate census create --genes-table`)"
    )
    raise SourceError(
        f"{of}: {mapping.n_mapped:,} of its {len(mapping.names):,} genes are among the "
        f"{mapping.space.n_genes:,} of {organism or 'the gene space'}, by id or by symbol; {hint}"
    )
