"""What became of each dataset of a later corpus since an earlier one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import polars as pl

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.build.known import Known
    from curate.corpus import Corpus

Kind = Literal["new", "extended", "overlapping", "re-versioned", "unchanged"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class DatasetReport:
    """One dataset of B, seen from A.

    Attributes
    ----------
    kind
        "new": A knows none of its cells. "unchanged": A knows all, with the same counts as far as they were
        compared. "re-versioned": A knows all, some under another dataset or with other counts. "extended":
        A has this dataset and knows some of its cells. "overlapping": A does not have this dataset, and knows
        some of its cells from others.
    n_cells
        Cells of B that were looked at.
    n_new
        Cells of the hold-out, before a draw.
    n_by_identity, n_by_content
        Cells known by identity; those known by content alone.
    n_changed
        Cells known by identity whose counts are others.
    n_too_few
        Cells not known by identity with counts of too few genes to tell.
    n_in_a
        Cells of A under this dataset_id.
    """

    dataset: str
    kind: Kind
    n_cells: int
    n_new: int
    n_by_identity: int
    n_by_content: int
    n_changed: int
    n_too_few: int
    n_in_a: int


def report_datasets(
    a: Corpus, b: Corpus, rows: NDArray[np.int64], known: Known, is_new: NDArray[np.bool_]
) -> tuple[DatasetReport, ...]:
    """Count cells by dataset of B, in the order of KINDS, then the most new cells first."""
    counted = (
        pl.DataFrame(
            {
                "dataset": b.columns(["dataset_id"], rows=rows)["dataset_id"],
                "n_new": is_new,
                "n_by_identity": known.by_identity,
                "n_by_content": known.by_content & ~known.by_identity,
                "n_changed": known.changed,
                "n_too_few": known.too_few & ~known.by_identity,
            }
        )
        .group_by("dataset")
        .agg(pl.len().alias("n_cells"), pl.all().cast(pl.Int64).sum())
        .with_columns(pl.col("dataset").cast(pl.String))
    )
    of_a = dict(a.value_counts("dataset_id").iter_rows())
    found = [_report(row, n_in_a=of_a.get(row["dataset"], 0)) for row in counted.iter_rows(named=True)]
    return tuple(
        sorted(found, key=lambda each: (KINDS.index(each.kind), -each.n_new, -each.n_cells, each.dataset))
    )


def _report(row: dict[str, object], *, n_in_a: int) -> DatasetReport:
    n = {name: value for name, value in row.items() if isinstance(value, int)}
    n_known = n["n_by_identity"] + n["n_by_content"]
    kind: Kind
    if not n_known:
        kind = "new"
    elif n_known + n["n_too_few"] < n["n_cells"]:
        kind = "extended" if n_in_a else "overlapping"
    elif n["n_by_content"] or n["n_changed"]:
        kind = "re-versioned"
    else:
        kind = "unchanged"
    return DatasetReport(dataset=str(row["dataset"]), kind=kind, n_in_a=n_in_a, **n)
