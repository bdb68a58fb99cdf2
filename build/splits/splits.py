"""Train, val and test: a property of the cell, or of the unit that it belongs to, never of the subset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.build.splits.cells import RATIOS, assign_splits, check_ratios
from curate.build.splits.units import CELL, UNKNOWN, find_units, parse_stratify_by, parse_unit
from curate.errors import SelectionError
from curate.manifests.document import SPLITS, SplitRecord
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.build.candidates import Candidates
    from curate.corpus import Corpus


@dataclass(frozen=True)
class Splits:
    """The split of every cell of a corpus, and how it came about.

    Attributes
    ----------
    record
        What manifests say about it, but for what is counted from their cells.
    identity
        uint64 [n_cells of the corpus].
    codes
        uint8 [n_cells of the corpus], indices into SPLITS; None where every cell is split for itself.
    """

    record: SplitRecord
    identity: NDArray[np.uint64]
    codes: NDArray[np.uint8] | None = None

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the split of some rows of the corpus, indices into SPLITS."""
        if self.codes is not None:
            return self.codes[rows]
        ratios = tuple(self.record.ratios[split] for split in SPLITS)
        return assign_splits(self.identity[rows], ratios=ratios, seed=self.record.seed or 0)


def make_splits(
    corpus: Corpus,
    candidates: Candidates,
    *,
    unit: str | Sequence[str] = CELL,
    ratios: Sequence[float] = RATIOS,
    seed: int = 0,
    stratify_by: str | Sequence[str] = ("cell_type",),
) -> Splits:
    """Divide a corpus into train, val and test.

    Where the unit is more than a cell, whole units are assigned, over the whole corpus and not over the cells
    that may be chosen: a unit is in one split, the same in every subset of the corpus with the same unit,
    ratios, seed and `stratify_by`. A single cell is split as `assign_splits` says, in every corpus alike.

    Parameters
    ----------
    unit
        "cell", "donor" or "tech_sample" (both are a donor of a dataset: dataset_id and donor_id), "dataset",
        or obs columns, whose combinations of values are the units.
    ratios
        Shares of the cells in train, val and test; by default the study's.
    stratify_by
        Obs columns whose values are to have these shares as well (`assign_units`). Without any ("none") a
        unit is split by a keyed hash of its name: alike in every corpus, at shares that scatter as units do.

    Raises
    ------
    SelectionError
        When the ratios are not three shares that sum to 1, a column is absent, the cells that may be chosen
        are of fewer units than there are splits, or one of them has no unit.
    """
    check_ratios(ratios)
    columns = parse_unit(unit, corpus)
    shares = dict(zip(SPLITS, ratios, strict=True))
    if not columns:
        return Splits(SplitRecord(ratios=shares, seed=seed), corpus.identity())
    # Compiled code: not loaded where cells are split one by one.
    from curate.build.splits.groups import assign_units, hash_units, is_few

    labels = parse_stratify_by(stratify_by, corpus)
    units = find_units(corpus, candidates, columns, labels)
    wanted = [split for split in SPLITS if shares[split] > 0]
    n_units = units.n_among(candidates)
    if n_units < len(wanted):
        among = "" if candidates.rows is None else f" among the {candidates.n_cells:,} cells to choose from"
        more = f" ({units.n} in the corpus)" if units.n > n_units else ""
        raise SelectionError(
            f"{' and '.join(columns)}: {counted(n_units, 'unit')}{among}{more} for {len(wanted)} splits "
            f"({', '.join(wanted)}); {'choose from more, ' if more else ''}split by a column with more "
            "values, or set a share to 0"
        )
    of_unit = assign_units(units, ratios=ratios, seed=seed) if labels else hash_units(units, ratios, seed)
    record = SplitRecord(
        unit=",".join(columns),
        ratios=shares,
        seed=seed,
        parameters={"stratify_by": list(labels)} | ({"best_of": "all"} if labels and is_few(units) else {}),
        n_units={split: int((of_unit == code).sum()) for code, split in enumerate(SPLITS)},
    )
    # Cells without a unit are not to be chosen; their code is that of no split.
    table = np.append(of_unit, np.uint8(UNKNOWN))
    return Splits(record, corpus.identity(), codes=table[units.codes])
