"""Rare labels: those of few cells of a corpus, and how much of them a set of cells holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.build.composition import MISSING

if TYPE_CHECKING:
    from collections.abc import Mapping

RARE_BELOW = 0.001
RARE_CELLS = 10


@dataclass(frozen=True)
class RareLabels:
    """What a set of cells holds of the labels that are rare in its corpus.

    Attributes
    ----------
    n_rare
        Labels of the corpus that are rare.
    n_held
        Those of them that the set has enough cells of.
    held_share
        n_held / n_rare; None when no label is rare.
    cells_share
        Share of the set's cells that are of a rare label; a cell of two rare labels counts for each.
    """

    n_rare: int
    n_held: int
    held_share: float | None
    cells_share: float


def rare_labels(counts: Mapping[str, int], *, n_cells: int, below: float = RARE_BELOW) -> frozenset[str]:
    """Return the labels that fewer than `below` of the cells of a corpus have; a missing label is none.

    Parameters
    ----------
    counts
        Label → number of cells, of the whole corpus.
    n_cells
        Of the corpus.
    """
    return frozenset(label for label, n in counts.items() if label != MISSING and n < below * n_cells)


def rare_held(
    counts: Mapping[str, int], rare: frozenset[str], *, n_cells: int, at_least: int = RARE_CELLS
) -> RareLabels:
    """Say what a set of cells holds of rare labels.

    Parameters
    ----------
    counts
        Label → number of cells, of the set.
    n_cells
        Of the set.
    at_least
        Cells of a label that are enough.
    """
    n_held = sum(counts.get(label, 0) >= at_least for label in rare)
    of_rare = sum(counts.get(label, 0) for label in rare)
    return RareLabels(
        n_rare=len(rare),
        n_held=n_held,
        held_share=n_held / len(rare) if rare else None,
        cells_share=of_rare / n_cells if n_cells else 0.0,
    )
