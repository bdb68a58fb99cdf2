"""The genes of an h5ad file in a gene space: which columns of var name them; refused when none is known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from curate.errors import SourceError
from curate.gene_tables import gene_table, shipped_organisms
from curate.genes import GeneMapping, GeneSpace, map_genes
from curate.nearest import nearest

if TYPE_CHECKING:
    from curate.h5ad.source import H5adSource

# What Cell Ranger through scanpy, CELLxGENE and common practice call them; the first that is there is taken.
ID_COLUMNS = ("feature_id", "gene_ids", "gene_id", "ensembl_id")
SYMBOL_COLUMNS = ("feature_name", "gene_symbols", "gene_symbol", "gene_name", "symbol")
# Below this share of known genes, a file whose genes another organism knows better is refused.
FEW = 0.01


def map_source_genes(
    source: H5adSource,
    *,
    table: pl.DataFrame | GeneSpace,
    gene_column: str | None = None,
    organism: str | None = None,
) -> GeneMapping:
    """Map the genes of an h5ad file into `table`, by id first, then by symbol; see `curate.genes.map_genes`.

    Where var has the column feature_types of 10x files, only "Gene Expression" is mapped: an antibody CD4 is
    not the gene CD4.

    Parameters
    ----------
    gene_column
        Column of var with ids or symbols. By default the first of ID_COLUMNS and the first of SYMBOL_COLUMNS
        that is there, beside the index.
    organism
        Whose genes `table` has; named when the file's genes look like another organism's.

    Raises
    ------
    SourceError
        When `gene_column` is not in var, or when no gene of the file is in the table.
    """
    if gene_column is not None and gene_column not in source.var.columns:
        hint = nearest(gene_column, source.var.columns)
        raise SourceError(f"{source.path} has no var column {gene_column!r}; {hint}")
    ids = _first(source.var, (gene_column,) if gene_column else ID_COLUMNS)
    symbols = _first(source.var, (gene_column,) if gene_column else SYMBOL_COLUMNS)
    names = source.var_names.fill_null("").to_list()
    mapping = _genes_only(source, map_genes(names, ids=ids, symbols=symbols, table=table))
    _refuse_strangers(source, mapping, ids, symbols, organism)
    return mapping


def _first(var: pl.DataFrame, names: tuple[str, ...]) -> list[str | None] | None:
    name = next((name for name in names if name in var.columns), None)
    return None if name is None else var[name].cast(pl.String).to_list()


def _genes_only(source: H5adSource, mapping: GeneMapping) -> GeneMapping:
    if "feature_types" not in source.var.columns:
        return mapping
    is_gene = (
        (source.var["feature_types"].cast(pl.String) == "Gene Expression").fill_null(value=False).to_numpy()
    )
    if is_gene.all() or not is_gene.any():
        return mapping
    how = tuple(h if kept else "no gene" for h, kept in zip(mapping.how, is_gene.tolist(), strict=True))
    return replace(mapping, target=np.where(is_gene, mapping.target, -1), how=how)


def _refuse_strangers(
    source: H5adSource,
    mapping: GeneMapping,
    ids: list[str | None] | None,
    symbols: list[str | None] | None,
    organism: str | None,
) -> None:
    """Refuse a file whose genes are none, or next to none and another organism's."""
    if mapping.n_mapped > FEW * source.n_genes:
        return
    known_elsewhere = {
        other: map_genes(mapping.names, ids=ids, symbols=symbols, table=gene_table(other)).n_mapped
        for other in shipped_organisms()
        if organism is not None and other != organism
    }
    other, n_known = max(known_elsewhere.items(), key=lambda item: item[1], default=("", 0))
    if mapping.n_mapped and n_known <= mapping.n_mapped:
        return
    examples = ", ".join(repr(name) for name in mapping.unmapped[:3])
    hint = (
        f"{n_known:,} of them are genes of {other}: use --organism {other}"
        if n_known > mapping.n_mapped
        else "name the column of var with Ensembl ids or symbols (--gene-column), or a table that has them"
        " (--genes-table)"
    )
    raise SourceError(
        f"{source.path}: {mapping.n_mapped:,} of its {source.n_genes:,} genes ({examples}, …) are among "
        f"the {mapping.space.n_genes:,} of {organism or 'the gene space'}, by id or by symbol; {hint}"
    )
