"""The gene panel of simulated data: real protein-coding genes, a few of them named."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import polars as pl

from curate.errors import CurateError
from curate.genes import gene_table

if TYPE_CHECKING:
    from collections.abc import Sequence

MITOCHONDRIAL = tuple(
    f"MT-{gene}"
    for gene in ("ND1", "ND2", "CO1", "CO2", "ATP8", "ATP6", "CO3", "ND3", "ND4L", "ND4", "ND5", "ND6", "CYB")
)
FEWEST_UNNAMED = 100


def gene_panel(n_genes: int, *, named: Sequence[str]) -> pl.DataFrame:
    """Choose the genes of a panel: the named ones and as many others as needed, always the same.

    The others are taken in an order of their own that has nothing to do with `named`, so that two panels
    share most of theirs.

    Returns
    -------
    pl.DataFrame
        Rows of `gene_table`, in its order, and their `place` in it.

    Raises
    ------
    CurateError
        When `n_genes` leaves fewer than 100 genes beside the named ones, or is more than there are.
    """
    table = gene_table().with_row_index("place")
    coding = table.filter(
        pl.col("feature_type") == "protein_coding",
        pl.col("feature_name").is_unique(),
        pl.col("feature_name") != pl.col("feature_id"),
    )
    fewest = len(named) + FEWEST_UNNAMED
    if not fewest <= n_genes <= coding.height:
        raise CurateError(
            f"a panel of {n_genes:,} genes cannot be simulated; give between {fewest:,} and {coding.height:,}"
        )
    is_named = pl.col("feature_name").is_in(named)
    others = coding.filter(~is_named, ~pl.col("feature_name").str.starts_with("MT-"))
    order = [hashlib.blake2b(i.encode(), digest_size=8).digest() for i in others["feature_id"]]
    others = others.with_columns(order=pl.Series(order)).sort("order").drop("order")
    panel = pl.concat([coding.filter(is_named), others.head(n_genes - len(named))])
    assert panel.height == n_genes, "a named gene is not a unique protein-coding one"
    return panel.sort("place")
