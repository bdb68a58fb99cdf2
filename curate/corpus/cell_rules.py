"""The rules on cells, applied to a table of obs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.corpus.corpus import JOINID, as_frame
from curate.errors import RecipeError
from curate.quality import COUNTS, MITO

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.corpus.mito import MitoShares
    from curate.quality import CellRule
    from curate.where import Where


@dataclass(frozen=True)
class QualityOutcome:
    """Which cells pass, and rule → cells dropped by it and none before it, and by itself."""

    passing: NDArray[np.bool_]
    dropped: dict[str, int]
    matching: dict[str, int]


@dataclass(frozen=True)
class CellRulesInUse:
    """The rules on cells, parsed.

    Attributes
    ----------
    mito
        Computes the column that the rule max_mito reads, where obs lacks it.
    rescue
        Cells that would pass the filter if they were primary stay as candidates.
    """

    where: Where | None
    assays: tuple[str, ...] | None
    quality: tuple[CellRule, ...] = ()
    mito: MitoShares | None = None
    rescue: bool = False

    @property
    def columns(self) -> list[str]:
        """The columns that the rules read."""
        filtered = sorted(self.where.columns) if self.where else []
        return filtered + (["assay"] if self.assays else []) + [rule.column for rule in self.quality]

    @property
    def computed(self) -> set[str]:
        """The columns that are computed from counts, and not read from obs."""
        return {MITO} if self.mito is not None else set()

    def passing_filter(self, table: pa.Table) -> NDArray[np.bool_]:
        """Return which cells pass the filter."""
        if self.where is None:
            return np.ones(table.num_rows, np.bool_)
        return self.where.mask(as_frame(table.select(sorted(self.where.columns)))).to_numpy()

    def passing_assays(self, table: pa.Table) -> NDArray[np.bool_]:
        """Return which cells are of the assays wanted."""
        if self.assays is None:
            return np.ones(table.num_rows, np.bool_)
        # Decided once a value, not once a cell.
        chunks = table["assay"]
        column = chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()
        wanted = pc.is_in(column.dictionary, value_set=pa.array(self.assays, column.dictionary.type))
        kept: NDArray[np.bool_] = wanted.take(column.indices).fill_null(False).to_numpy(zero_copy_only=False)
        return kept

    def apply_quality(self, table: pa.Table, passing: NDArray[np.bool_]) -> tuple[pa.Table, QualityOutcome]:
        """Apply the rules on quality.

        Parameters
        ----------
        passing
            bool [n_cells], the cells that the rules before left.

        Returns
        -------
        The table, with the column that was computed where one was, and what came of the rules. A computed
        column is null for cells that the rules before it dropped: their counts are not read.

        Raises
        ------
        RecipeError
            When a column does not hold what its rule compares.
        """
        dropped, matching = {}, {}
        for rule in self.quality:
            is_computed = rule.column in self.computed
            if is_computed:
                table = self._with_mito(table, passing)
            values = as_frame(table.select([rule.column]))[rule.column]
            if fault := rule.fault(values):
                raise RecipeError(fault)
            fails = rule.fails(values).to_numpy() & (passing if is_computed else True)
            dropped[rule.name] = int((passing & fails).sum())
            matching[rule.name] = int(fails.sum())
            passing = passing & ~fails
        return table, QualityOutcome(passing, dropped, matching)

    def _with_mito(self, table: pa.Table, passing: NDArray[np.bool_]) -> pa.Table:
        assert self.mito is not None
        has_totals = self.mito.all_genes is None
        rows = np.flatnonzero(passing)
        read = table.select([JOINID, *([COUNTS] if has_totals else [])]).take(rows)
        totals = read[COUNTS].cast(pa.float64()).fill_null(0.0).to_numpy() if has_totals else None
        shares = np.full(table.num_rows, np.nan)
        shares[rows] = self.mito.of(read[JOINID].to_numpy(), totals)
        return table.append_column(MITO, pa.array(shares, mask=np.isnan(shares)))
