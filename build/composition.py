"""What a set of cells is made of: cells per label, donors, diversity."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.build.codes import BLOCK, count_codes
from curate.build.diversity.labels import gini_simpson, inverse_simpson, shannon_bits
from curate.where import SEPARATOR

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.manifests.document import Split

COMPOSITION_COLUMNS = ("cell_type", "tissue_general", "assay", "disease", "dataset_id")
DONOR_COLUMNS = ("dataset_id", "donor_id")
DIVERSITY_COLUMNS = ("cell_type",)
MISSING = "(missing)"
#: Pairs up to this many are counted in a table.
LARGEST_TABLE = 2**27


@dataclass(frozen=True)
class Diversity:
    """How diverse the labels of a column are.

    Attributes
    ----------
    split
        The cells counted: those of this split, or all when None.
    n_cells, n_labels
        Cells counted, and distinct labels among them.
    shannon_bits, inverse_simpson, gini_simpson
        See `curate.build.diversity.labels`.
    """

    split: Split | None
    n_cells: int
    n_labels: int
    shannon_bits: float
    inverse_simpson: float
    gini_simpson: float


@dataclass(frozen=True)
class Summary:
    """What the header of a manifest says about its cells.

    Attributes
    ----------
    composition
        As `composition` returns it.
    diversity
        Column → diversity, for DIVERSITY_COLUMNS.
    labels_in_one_split
        Column → label → the only split that it occurs in; none where there is but one split.
    labels_outside_train
        Column → label that the training cells lack → its cells; none where nothing trains.
    """

    composition: dict[str, dict[str, int]]
    n_donors: int
    diversity: dict[str, Diversity]
    labels_in_one_split: dict[str, dict[str, Split]]
    labels_outside_train: dict[str, dict[str, int]]


def summarise(cells: pl.DataFrame) -> Summary:
    """Count what cells are made of.

    Parameters
    ----------
    cells
        Columns split, donor_id and COMPOSITION_COLUMNS, one row a cell, at least one.
    """
    by_split = {column: _count_by_split(cells, column) for column in DIVERSITY_COLUMNS}
    return Summary(
        composition=composition(cells.select(COMPOSITION_COLUMNS)),
        n_donors=n_donors(cells),
        diversity={column: diversity(cells, column) for column in DIVERSITY_COLUMNS},
        labels_in_one_split={column: _in_one_split(counts) for column, counts in by_split.items()},
        labels_outside_train={column: _outside_train(counts) for column, counts in by_split.items()},
    )


def composition(cells: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Count the cells of every label, column by column.

    A cell labelled "A || B" counts for A and for B, so that the counts of such a column may add to more than
    the cells; a missing label counts as "(missing)".

    Parameters
    ----------
    cells
        Obs columns [n_cells, n_columns] of text, categories or booleans.

    Returns
    -------
    Column → label → number of cells, most first, ties by label.
    """
    return {name: _count_labels(cells[name]) for name in cells.columns}


def n_donors(cells: pl.DataFrame) -> int:
    """Count distinct donors; a donor is (dataset_id, donor_id), as donor_id alone is not unique."""
    (dataset, n_datasets), (donor, n_codes) = (_codes(cells[name])[:2] for name in DONOR_COLUMNS)
    if n_datasets * n_codes > LARGEST_TABLE:
        return int(np.unique(dataset.astype(np.uint64) * n_codes + donor).size)
    occurs = np.zeros(n_datasets * n_codes, dtype=np.bool_)
    for start in range(0, dataset.size, BLOCK):
        rows = slice(start, start + BLOCK)
        occurs[dataset[rows].astype(np.int64) * n_codes + donor[rows]] = True
    return int(occurs.sum())


def diversity(cells: pl.DataFrame, column: str) -> Diversity:
    """Return the diversity of a column over the training cells, as in the study; over all when none trains.

    Parameters
    ----------
    cells
        Columns split and `column`, one row a cell, at least one.

    References
    ----------
    DenAdel et al., Nature Methods 2026, doi 10.1038/s41592-026-03120-y.
    """
    trained = cells[column].filter(cells["split"] == "train")
    counts = np.array(sorted(_count_labels(trained if len(trained) else cells[column]).values()))
    return Diversity(
        split="train" if len(trained) else None,
        n_cells=len(trained) or len(cells),
        n_labels=len(counts),
        shannon_bits=shannon_bits(counts),
        inverse_simpson=inverse_simpson(counts),
        gini_simpson=gini_simpson(counts),
    )


def _count_by_split(cells: pl.DataFrame, column: str) -> dict[Split, dict[str, int]]:
    """Count the labels of each split that has cells."""
    return {
        split: _count_labels(cells[column].filter(cells["split"] == split))
        for split in cells["split"].unique().cast(pl.String).sort().to_list()
    }


def _in_one_split(counts: dict[Split, dict[str, int]]) -> dict[str, Split]:
    if len(counts) < 2:
        return {}
    homes: dict[str, list[Split]] = {}
    for split, held in counts.items():
        for label in held:
            homes.setdefault(label, []).append(split)
    return {label: splits[0] for label, splits in sorted(homes.items()) if len(splits) == 1}


def _outside_train(counts: dict[Split, dict[str, int]]) -> dict[str, int]:
    if "train" not in counts:
        return {}
    outside: Counter[str] = Counter()
    for held in counts.values():
        outside.update({label: n for label, n in held.items() if label not in counts["train"]})
    return dict(sorted(outside.items(), key=lambda item: (-item[1], item[0])))


def _count_labels(labels: pl.Series) -> dict[str, int]:
    codes, n_codes, names = _codes(labels)
    counts = count_codes(codes, n_codes)
    totals: Counter[str] = Counter()
    for code in np.flatnonzero(counts).tolist():
        for label in set((MISSING if names[code] is None else names[code]).split(SEPARATOR)):
            totals[label] += int(counts[code])
    return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))


def _codes(column: pl.Series) -> tuple[NDArray[np.unsignedinteger], int, list[Any]]:
    """Return a code a cell, their number, and the label of each code; null has the last code."""
    if not isinstance(column.dtype, pl.Enum):
        texts = column.cast(pl.String)
        column = texts.cast(pl.Enum(texts.unique().drop_nulls().sort()))
    assert isinstance(column.dtype, pl.Enum)
    names = column.dtype.categories.to_list()
    physical = column.to_physical()
    if not physical.null_count():
        return physical.to_numpy(), len(names), names
    codes = physical.cast(pl.UInt32).fill_null(len(names)).to_numpy()
    return codes, len(names) + 1, [*names, None]
