"""The share of mitochondrial counts of cells, where obs does not say it: from their counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.errors import RecipeError
from curate.quality import COUNTS, MITO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.census import Census
    from curate.recipe import Recipe

#: Symbols of mitochondrial genes begin so: MT-CO1 in human, mt-Co1 in mouse.
PREFIX = "mt-"


@dataclass(frozen=True)
class MitoShares:
    """Computes the share of mitochondrial counts.

    Attributes
    ----------
    genes
        int64, soma_joinids of the mitochondrial genes.
    all_genes
        int64, those that totals are taken over; None where obs has the totals (raw_sum), so that nothing but
        the mitochondrial genes is read.
    """

    census: Census
    organism: str
    genes: NDArray[np.int64]
    all_genes: NDArray[np.int64] | None

    def of(self, joinids: NDArray[np.int64], totals: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Return the share of each cell, float64 [n]; nan for a cell without counts.

        Parameters
        ----------
        joinids
            int64 [n] ascending.
        totals
            float64 [n], the counts of each cell, where obs has them.
        """
        mito, summed = np.zeros(len(joinids)), np.zeros(len(joinids))
        if len(joinids):
            for block in self.census.read_counts(
                self.organism, joinids, var_joinids=self.genes, totals_over=self.all_genes
            ):
                rows = slice(block.start, block.start + len(block.joinids))
                mito[rows] = block.counts.sum(axis=1, dtype=np.float64)
                summed[rows] = block.totals
        of = summed if totals is None else totals
        shares = np.full(len(joinids), np.nan)
        np.divide(mito, of, out=shares, where=of > 0)
        return shares


def find_mito_shares(recipe: Recipe, census: Census, available: Sequence[str]) -> MitoShares | None:
    """Return how to compute the share where a rule reads it and obs lacks it; None where that is not so.

    Raises
    ------
    RecipeError
        When the Census has no gene whose symbol begins with MT-.
    """
    rules = recipe.quality
    if rules.max_mito is None or rules.mito_column in available or rules.mito_column != MITO:
        return None
    var = census.read_var(recipe.organism)
    genes = var.filter(var["feature_name"].str.to_lowercase().str.starts_with(PREFIX))
    if genes.is_empty():
        raise RecipeError(
            f"recipe {recipe.name}: no gene of the Census has a symbol that begins with MT-, and obs has no "
            f"column {MITO!r}; name a column with mito_column, or leave max_mito out"
        )
    return MitoShares(
        census=census,
        organism=recipe.organism,
        genes=genes["soma_joinid"].to_numpy(),
        all_genes=None if COUNTS in available else var["soma_joinid"].to_numpy(),
    )
