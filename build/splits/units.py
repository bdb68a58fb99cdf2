"""What stays together in a split: the units of a corpus, and how many cells of each label each holds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from curate.build.codes import count_codes
from curate.build.composition import DONOR_COLUMNS
from curate.build.strategies.strata import parse_columns, stratify
from curate.errors import SelectionError
from curate.nearest import nearest
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.build.candidates import Candidates
    from curate.corpus import Corpus

CELL = "cell"
NONE = "none"
UNITS = {
    CELL: (),
    "donor": DONOR_COLUMNS,
    # As in the study: a tech sample is a donor of a dataset.
    "tech_sample": DONOR_COLUMNS,
    "dataset": ("dataset_id",),
}
UNKNOWN = 255


@dataclass(frozen=True)
class Units:
    """The units of a corpus, in the order of their names.

    Attributes
    ----------
    codes
        The unit of each cell [n_cells of the corpus]; the number after the last for cells that have none.
    hashes
        uint64 [n_units], of the names alone.
    sizes
        int64 [n_units], the cells of each.
    unit, label, count
        The cells of each unit and label that occur together: int64 [n_pairs], ordered by unit, then label.
        Without labels to stratify by, empty.
    """

    codes: NDArray[np.unsignedinteger]
    hashes: NDArray[np.uint64]
    sizes: NDArray[np.int64]
    unit: NDArray[np.int64]
    label: NDArray[np.int64]
    count: NDArray[np.int64]

    @property
    def n(self) -> int:
        """The number of units."""
        return self.sizes.size

    def n_among(self, candidates: Candidates) -> int:
        """Return of how many units the cells are that may be chosen."""
        if candidates.rows is None:
            return self.n
        return int(np.count_nonzero(count_codes(candidates.of(self.codes))))


def parse_unit(unit: str | Sequence[str], corpus: Corpus) -> tuple[str, ...]:
    """Return the columns of a unit; none for a cell.

    Raises
    ------
    SelectionError
        When it is neither a unit by name nor columns of the corpus.
    """
    if isinstance(unit, str) and unit in UNITS:
        columns: tuple[str, ...] = UNITS[unit]
    else:
        columns = parse_columns(unit)
    for name in columns:
        if name not in corpus.header.columns:
            known = [*UNITS, *corpus.header.columns]
            raise SelectionError(
                f"cannot split by {name!r}: corpus {corpus.name} has no such column; {nearest(name, known)}"
            )
    return columns


def parse_stratify_by(value: str | Sequence[str], corpus: Corpus) -> tuple[str, ...]:
    """Return the columns to stratify by; none for "none".

    Raises
    ------
    SelectionError
        When a column is not in the corpus.
    """
    if value == NONE or not value:
        return ()
    columns = parse_columns(value)
    for name in columns:
        if name not in corpus.header.columns:
            raise SelectionError(
                f"cannot stratify splits by {name!r}: corpus {corpus.name} has no such column; "
                f"{nearest(name, [NONE, *corpus.header.columns])}"
            )
    return columns


def find_units(
    corpus: Corpus, candidates: Candidates, columns: Sequence[str], labels: Sequence[str]
) -> Units:
    """Find the units of a corpus.

    Parameters
    ----------
    columns
        A unit is a combination of their values.
    labels
        Columns whose combinations of values are counted within each unit.

    Raises
    ------
    SelectionError
        When a column holds measurements, or a cell that may be chosen lacks a value.
    """
    cells = corpus.columns(list(dict.fromkeys([*columns, *labels])))
    is_missing = _missing(cells, columns)
    if is_missing is not None and (n := int(candidates.of(is_missing).sum())):
        raise SelectionError(
            f"{counted(n, 'cell')} of the {candidates.n_cells:,} to choose from have no "
            f"{' or '.join(columns)}, so that nobody knows what belongs together; "
            "leave them out with --where, or split by another column"
        )
    known = cells if is_missing is None else cells.filter(~pl.Series(is_missing))
    strata = stratify(known, columns)
    firsts = _first_rows(strata.codes, strata.n)
    hashes = _hashes(known[firsts].select(pl.col(columns).cast(pl.String)))
    if not labels:
        nothing = np.empty(0, np.int64)
        pairs = (nothing, nothing, nothing)
    else:
        pairs = _pairs(strata.codes, stratify(known, labels).codes)
    codes = strata.codes
    if is_missing is not None:
        codes = np.full(corpus.n_cells, strata.n, dtype=np.uint32)
        codes[~is_missing] = strata.codes
    return Units(codes, hashes, strata.counts, *pairs)


def _missing(cells: pl.DataFrame, columns: Sequence[str]) -> NDArray[np.bool_] | None:
    if not any(cells[name].null_count() for name in columns):
        return None
    mask: NDArray[np.bool_] = (
        cells.select(pl.any_horizontal(pl.col(name).is_null() for name in columns)).to_series().to_numpy()
    )
    return mask


def _first_rows(codes: NDArray[np.unsignedinteger], n: int) -> NDArray[np.int64]:
    """Return the first row of each code."""
    firsts = np.empty(n, dtype=np.int64)
    firsts[codes[::-1]] = np.arange(codes.size - 1, -1, -1)
    return firsts


def _hashes(names: pl.DataFrame) -> NDArray[np.uint64]:
    digests = (hashlib.blake2b("\0".join(row).encode(), digest_size=8).digest() for row in names.iter_rows())
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def _pairs(
    unit: NDArray[np.unsignedinteger], label: NDArray[np.unsignedinteger]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    n_labels = int(label.max()) + 1
    combined = unit.astype(np.int64) * n_labels + label
    if (int(unit.max()) + 1) * n_labels > max(4 * unit.size, 2**20):
        occurring, counts = np.unique(combined, return_counts=True)
    else:
        table = count_codes(combined)
        occurring = np.flatnonzero(table)
        counts = table[occurring]
    return occurring // n_labels, occurring % n_labels, counts.astype(np.int64)
