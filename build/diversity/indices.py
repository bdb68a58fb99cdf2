"""The indices of diversity that are reported: what each is called, in which unit, and where it is found.

=================  ==========================================================================================
labels             distinct labels of a column
rarefied           labels that a smaller random part would hold, as many cells for every set compared
shannon            Shannon entropy of the labels
inverse_simpson    number of equally frequent labels that would be as diverse
gini_simpson       chance that two cells drawn with replacement differ in label
rare_held          share of the corpus' rare labels that the set has enough cells of
rare_cells         share of the set's cells that have a rare label
vendi              number of unlike cells that the set amounts to
covered            share of the corpus' cells within a radius of one of the set
mean_distance      from a cell of the corpus to the nearest of the set
hausdorff          largest such distance, the farthest cells left out
=================  ==========================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from curate.build.diversity.coverage import Coverage
    from curate.build.diversity.rare import RareLabels

Kind = Literal["labels", "space"]


@dataclass(frozen=True)
class LabelDiversity:
    """How diverse the labels of a column are in a set of cells.

    Attributes
    ----------
    n_cells
        Labels counted: cells, and once more for each further label of a cell ("A || B").
    rarefied, rarefied_to
        Labels expected among `rarefied_to` of them.
    """

    n_cells: int
    n_labels: int
    rarefied: float
    rarefied_to: int
    shannon_bits: float
    inverse_simpson: float
    gini_simpson: float
    rare: RareLabels


@dataclass(frozen=True)
class SpaceDiversity:
    """How diverse a set of cells is by their vectors.

    Attributes
    ----------
    vendi, coverage
        None where it was not asked for.
    n_without_direction
        Cells left out of the Vendi score, as their vector is zero.
    """

    vendi: float | None
    n_without_direction: int
    coverage: Coverage | None


@dataclass(frozen=True)
class Index:
    """An index of diversity.

    Attributes
    ----------
    title, unit
        For people; the unit is "%" where the value is a share.
    decimals
        To show.
    is_relative
        It has a value for the whole corpus to be compared with.
    """

    kind: Kind
    title: str
    unit: str
    decimals: int
    is_relative: bool = True

    def text(self, value: float | None) -> str:
        """Return a value for people."""
        if value is None:
            return "-"
        return f"{100 * value:.{self.decimals}f} %" if self.unit == "%" else f"{value:,.{self.decimals}f}"


INDICES: dict[str, Index] = {
    "labels": Index("labels", "Labels present", "labels", 0),
    "rarefied": Index("labels", "Labels, rarefied", "labels", 1),
    "shannon": Index("labels", "Shannon entropy", "bits", 3),
    "inverse_simpson": Index("labels", "Inverse Simpson", "effective labels", 2),
    "gini_simpson": Index("labels", "Gini-Simpson", "probability", 4),
    "rare_held": Index("labels", "Rare labels held", "%", 0),
    "rare_cells": Index("labels", "Cells of rare labels", "%", 2),
    "vendi": Index("space", "Vendi score", "effective cells", 2),
    "covered": Index("space", "Corpus covered", "%", 1),
    "mean_distance": Index("space", "Mean distance", "distance", 3, is_relative=False),
    "hausdorff": Index("space", "Partial Hausdorff distance", "distance", 3, is_relative=False),
}


@dataclass(frozen=True)
class Value:
    """A value of an index.

    Attributes
    ----------
    low, high
        95 % interval, where the value is an estimate.
    of_corpus
        The value as a multiple of that of the whole corpus.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    of_corpus: float | None = None


def label_values(held: LabelDiversity) -> dict[str, Value]:
    """Return the values of the indices of labels."""
    return {
        "labels": Value(held.n_labels),
        "rarefied": Value(held.rarefied),
        "shannon": Value(held.shannon_bits),
        "inverse_simpson": Value(held.inverse_simpson),
        "gini_simpson": Value(held.gini_simpson),
        "rare_held": Value(held.rare.held_share),
        "rare_cells": Value(held.rare.cells_share),
    }


def space_values(held: SpaceDiversity) -> dict[str, Value]:
    """Return the values of the indices of vectors that were asked for."""
    values = {} if held.vendi is None else {"vendi": Value(held.vendi)}
    if (c := held.coverage) is None:
        return values
    return values | {
        "covered": Value(c.covered, *c.covered_interval),
        "mean_distance": Value(c.mean_distance, *c.mean_distance_interval),
        "hausdorff": Value(c.hausdorff, *c.hausdorff_interval),
    }
