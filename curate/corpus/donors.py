"""The rule on donors: leave out those of whom too few cells are left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from curate.corpus.document import DroppedCells
from curate.quality import DONOR_RULE

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

DONOR = ("dataset_id", "donor_id")


@dataclass(frozen=True)
class DonorOutcome:
    """The donors to leave out (dataset_id, donor_id), the tally without them, and what the rule dropped."""

    dropped_donors: AbstractSet[tuple[str | None, str | None]]
    tally: pl.DataFrame
    dropped: DroppedCells


def apply_donor_rule(tally: pl.DataFrame, least: int) -> DonorOutcome:
    """Leave out donors of a dataset with fewer than `least` cells.

    Parameters
    ----------
    tally
        Columns DONOR and `n_cells`, among others: one row for each combination among the cells that passed
        the rules on cells. A missing donor_id is a donor of its dataset like any other.
    """
    is_few = pl.col("n_cells").sum().over(DONOR) < least
    few = tally.filter(is_few)
    by_dataset = few.group_by("dataset_id").agg(pl.col("n_cells").sum())
    by_dataset = by_dataset.with_columns(pl.col("dataset_id").cast(pl.String))
    values = dict(by_dataset.sort("n_cells", "dataset_id", descending=[True, False]).iter_rows())
    n_cells = sum(values.values())
    return DonorOutcome(
        dropped_donors=set(few.select(pl.col(DONOR).cast(pl.String)).unique().iter_rows()),
        tally=tally.filter(~is_few),
        dropped=DroppedCells(
            rule=DONOR_RULE,
            setting=f"{least:,}",
            n_cells=n_cells,
            n_matching=n_cells,
            values={str(name): n for name, n in values.items()},
        ),
    )
