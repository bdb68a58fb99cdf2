"""The genes of an h5ad file in a gene space: which columns of var name them; refused when none is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from curate.errors import SourceError
from curate.genes import align_genes
from curate.nearest import nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.genes import GeneMapping, GeneSpace
    from curate.h5ad.cells import GenesOfSource

# What Cell Ranger through scanpy, CELLxGENE and common practice call them; the first that is there is taken.
ID_COLUMNS = ("feature_id", "gene_ids", "gene_id", "ensembl_id")
SYMBOL_COLUMNS = ("feature_name", "gene_symbols", "gene_symbol", "gene_name", "symbol")


def map_source_genes(
    source: GenesOfSource,
    *,
    table: pl.DataFrame | GeneSpace,
    gene_column: str | None = None,
    organism: str | None = None,
) -> GeneMapping:
    """Map the genes of an h5ad file, or of a store, into `table`; see `curate.genes.align_genes`.

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
        When `gene_column` is not in var, when no gene of the file is in the table, or when
        more of them are genes of another organism.
    """
    if gene_column is not None and gene_column not in source.var.columns:
        hint = nearest(gene_column, source.var.columns)
        raise SourceError(f"{source.path} has no var column {gene_column!r}; {hint}")
    ids = _first(source.var, (gene_column,) if gene_column else ID_COLUMNS)
    symbols = _first(source.var, (gene_column,) if gene_column else SYMBOL_COLUMNS)
    names = source.var_names.fill_null("").to_list()
    return align_genes(
        names,
        ids=ids,
        symbols=symbols,
        is_gene=_is_gene(source.var),
        table=table,
        organism=organism,
        of=str(source.path),
    )


def _first(var: pl.DataFrame, names: tuple[str, ...]) -> list[str | None] | None:
    name = next((name for name in names if name in var.columns), None)
    return None if name is None else var[name].cast(pl.String).to_list()


def _is_gene(var: pl.DataFrame) -> NDArray[np.bool_] | None:
    if "feature_types" not in var.columns:
        return None
    is_gene = (var["feature_types"].cast(pl.String) == "Gene Expression").fill_null(value=False).to_numpy()
    return is_gene if is_gene.any() else None
