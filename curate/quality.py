"""Rules on the quality of cells: the same in ``[quality]`` of a recipe and as options of a build.

Sequencing depth comes first: the quality of what a model learns follows the noise of the measurement as a law
of its own (arXiv 2503.02726), and raw_sum and nnz measure it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import polars as pl
from pydantic import Field, model_validator

from curate.documents import Document

COUNTS, GENES, PRIMARY = "raw_sum", "nnz", "is_primary_data"
MITO, DOUBLET = "mito_share", "doublet_score"
DONOR_RULE = "min_cells_per_donor"

Positive = Annotated[int, Field(ge=1)]
Threshold = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Bound = Literal["is", "at least", "at most"]


@dataclass(frozen=True)
class CellRule:
    """A rule that looks at one column of a cell; a cell without a value does not pass.

    Attributes
    ----------
    name
        As in a recipe; "is", "at least" or "at most" `threshold` is what passes.
    """

    name: str
    column: str
    bound: Bound
    threshold: float

    @property
    def setting(self) -> str:
        """The threshold as people write it."""
        return str(bool(self.threshold)).lower() if self.bound == "is" else f"{self.threshold:,g}"

    def fails(self, values: pl.Series) -> pl.Series:
        """Return which cells do not pass, bool [n_cells]."""
        if self.bound == "is":
            passes = values == bool(self.threshold)
        else:
            passes = values >= self.threshold if self.bound == "at least" else values <= self.threshold
            if values.dtype.is_float():
                # polars holds nan to be larger than every number.
                passes = passes & ~values.is_nan()
        return ~passes.fill_null(False)

    def fault(self, values: pl.Series) -> str | None:
        """Return why the rule cannot be applied to values, if so."""
        if self.bound == "is":
            return None if values.dtype == pl.Boolean else f"{self.column} holds no true and false"
        if not values.dtype.is_numeric():
            return f"{self.column} holds no numbers, which {self.name} compares"
        largest = values.fill_nan(None).max() if values.dtype.is_float() else None
        if self.name == "max_mito" and self.threshold <= 1 and isinstance(largest, float) and largest > 1:
            return (
                f"{self.column} goes up to {largest:g}, so that it holds per cent and max_mito "
                f"{self.threshold:g} would be {self.threshold:g} %; give {100 * self.threshold:g} for "
                f"{100 * self.threshold:g} %"
            )
        return None


class QualityRules(Document):
    """``[quality]``: which cells are good enough, counted after ``[cells]`` and before ``[cell_types]``.

    Attributes
    ----------
    primary_only
        Leave out cells that are copies of others (is_primary_data is false).
    min_counts, max_counts
        Of all genes of the store (raw_sum).
    min_genes, max_genes
        Genes with a count (nnz).
    max_mito
        Largest share of mitochondrial counts, 0 to 1, or per cent where the column holds that.
    max_doublet_score
        In the unit of the column.
    min_cells_per_donor
        Leave out donors of a dataset with fewer cells, counted on those that every rule before left.
    mito_column, doublet_column
        Where the two are found. In a recipe, mito_share is computed from the counts where obs lacks it.
    """

    primary_only: bool = False
    min_counts: Positive | None = None
    max_counts: Positive | None = None
    min_genes: Positive | None = None
    max_genes: Positive | None = None
    max_mito: Threshold | None = None
    max_doublet_score: Threshold | None = None
    min_cells_per_donor: Positive | None = None
    mito_column: str = MITO
    doublet_column: str = DOUBLET

    @model_validator(mode="after")
    def _in_order(self) -> QualityRules:
        for least, most, what in (
            (self.min_counts, self.max_counts, "counts"),
            (self.min_genes, self.max_genes, "genes"),
        ):
            if least is not None and most is not None and least > most:
                raise ValueError(f"min_{what} {least:,} is above max_{what} {most:,}: no cell would pass")
        return self

    @property
    def are_any(self) -> bool:
        """Whether there is a rule at all."""
        return bool(self.cell_rules) or self.min_cells_per_donor is not None

    @property
    def cell_rules(self) -> tuple[CellRule, ...]:
        """The rules that look at one column of a cell, in order."""
        rules: tuple[tuple[str, str, Bound, float | None], ...] = (
            ("primary_only", PRIMARY, "is", 1 if self.primary_only else None),
            ("min_counts", COUNTS, "at least", self.min_counts),
            ("max_counts", COUNTS, "at most", self.max_counts),
            ("min_genes", GENES, "at least", self.min_genes),
            ("max_genes", GENES, "at most", self.max_genes),
            ("max_mito", self.mito_column, "at most", self.max_mito),
            ("max_doublet_score", self.doublet_column, "at most", self.max_doublet_score),
        )
        return tuple(
            CellRule(name, column, bound, threshold)
            for name, column, bound, threshold in rules
            if threshold is not None
        )
