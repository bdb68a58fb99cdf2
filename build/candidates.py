"""The cells of a corpus that may be chosen: those that pass the filter, less those that are excluded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.build.exclusions import counted_reasons, exclude
from curate.errors import SelectionError
from curate.where import Where

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.build.exclusions import Exclusion
    from curate.corpus import Corpus
    from curate.manifests.document import ExclusionRecord


@dataclass(frozen=True)
class Candidates:
    """The cells that a strategy may choose from, in corpus order.

    Attributes
    ----------
    rows
        Their rows in the corpus, int64 [n_cells] ascending; None when all are.
    identity
        uint64 [n_cells].
    exclusions
        What was left out on the way, reason by reason.
    """

    rows: NDArray[np.int64] | None
    n_cells: int
    identity: NDArray[np.uint64]
    exclusions: tuple[ExclusionRecord, ...] = ()

    def of(self, values: Any) -> Any:
        """Return `values` [n_corpus, …] of the candidates."""
        return values if self.rows is None else values[self.rows]

    def to_corpus(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return corpus rows for rows among the candidates."""
        return rows if self.rows is None else self.rows[rows]


def find_candidates(corpus: Corpus, where: str | None, exclusions: Sequence[Exclusion] = ()) -> Candidates:
    """Return the cells of a corpus that pass a filter and that nothing excludes.

    Raises
    ------
    SelectionError
        When none does; it says how many each reason took.
    FilterError
        When `where` does not parse or names an absent column.
    """
    identity = corpus.identity()
    if where is None and not exclusions:
        return Candidates(rows=None, n_cells=corpus.n_cells, identity=identity)
    passing = _passing(corpus, where)
    exclusions = sorted(exclusions, key=lambda each: each.is_last)
    kept, records = exclude(corpus, passing, exclusions)
    rows = np.flatnonzero(kept)
    if len(rows) == 0:
        matching = f" that match {where!r}" if where is not None else ""
        raise SelectionError(
            f"none of the {int(passing.sum()):,} cells of corpus {corpus.name!r}{matching} is left: "
            f"{counted_reasons(exclusions, records)}; loosen one"
        )
    return Candidates(rows=rows, n_cells=len(rows), identity=identity[rows], exclusions=records)


def cells_of(corpus: Corpus, candidates: Candidates, columns: Sequence[str]) -> pl.DataFrame:
    """Read columns of the candidates; of none, a frame of as many rows."""
    if not columns:
        return pl.DataFrame(height=candidates.n_cells)
    cells = corpus.columns(list(columns))
    return cells if candidates.rows is None else cells[candidates.rows]


def _passing(corpus: Corpus, where: str | None) -> NDArray[np.bool_]:
    if where is None:
        return np.ones(corpus.n_cells, dtype=np.bool_)
    condition = Where.parse(where)
    condition.check(["soma_joinid", *corpus.header.columns])
    mask: NDArray[np.bool_] = condition.mask(corpus.columns(sorted(condition.columns))).to_numpy()
    if not mask.any():
        raise SelectionError(
            f"no cell of corpus {corpus.name!r} ({corpus.n_cells:,} cells) matches {where!r}; "
            "see the values of a column with `curate corpus show --column COLUMN`"
        )
    return mask
