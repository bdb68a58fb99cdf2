"""What is known of sets of cells side by side: manifests, and the corpora that they were chosen from.

Measured by `curate.build.diversity.measure.measure_diversity`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from curate.build.diversity.indices import (
    INDICES,
    LabelDiversity,
    SpaceDiversity,
    Value,
    label_values,
    space_values,
)
from curate.build.diversity.rare import RARE_BELOW, RARE_CELLS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from curate.build.diversity.space import SpaceSettings
    from curate.manifests.document import Split

VECTORS = "vectors"
"""The subject of indices that are computed from vectors."""
COLUMNS = ("cell_type",)


@dataclass(frozen=True)
class DiversitySettings:
    """What is computed.

    Attributes
    ----------
    columns
        Obs columns whose labels are counted.
    split
        The cells of a manifest that count; None for all. Of a manifest that has no cell in it, all count.
    rare_below, rare_cells
        A label is rare when fewer than this share of the corpus' cells have it, and held with this many
        cells.
    rarefied_to
        Cells to rarefy to; by default as many as the smallest set has.
    space
        What is computed from vectors; None for nothing.
    has_corpus
        Compare with the whole corpus.
    """

    columns: tuple[str, ...] = COLUMNS
    split: Split | None = "train"
    rare_below: float = RARE_BELOW
    rare_cells: int = RARE_CELLS
    rarefied_to: int | None = None
    space: SpaceSettings | None = None
    has_corpus: bool = True


@dataclass(frozen=True)
class CellSet:
    """A set of cells and how diverse it is.

    Attributes
    ----------
    ref, id
        Of the manifest; of the corpus where `is_corpus`.
    series, size, seed
        What it is one of (its strategy, as a rule), the share of the corpus' cells chosen, and the seed.
    split
        The cells counted; None: all.
    n_cells
        Cells counted.
    n_elsewhere
        Cells of another source than the corpus (spike-ins), which are not counted.
    """

    ref: str
    id: str
    corpus: str
    is_corpus: bool
    series: str
    size: float
    seed: int | None
    split: Split | None
    n_cells: int
    n_elsewhere: int
    labels: dict[str, LabelDiversity]
    space: SpaceDiversity | None


@dataclass(frozen=True)
class CorpusFacts:
    """What the sets of cells of a corpus were measured in.

    Attributes
    ----------
    embedding, radius, n_probes
        None where nothing was computed from vectors.
    """

    id: str
    name: str
    release: str
    label: str | None
    n_cells: int
    embedding: str | None
    radius: float | None
    n_probes: int | None


@dataclass(frozen=True)
class DiversityReport:
    """Sets of cells side by side; each corpus comes before its manifests.

    Attributes
    ----------
    bases
        Of series of spiked subsets, the series of those without (`name_bases`).
    """

    settings: DiversitySettings
    corpora: tuple[CorpusFacts, ...]
    sets: tuple[CellSet, ...]
    bases: Mapping[str, str] = field(default_factory=dict)

    def values(self, held: CellSet) -> dict[tuple[str, str], Value]:
        """Return the values of a set by subject (a column, or the embedding) and index."""
        own = _values_of(held)
        whole = next((each for each in self.sets if each.is_corpus and each.corpus == held.corpus), None)
        if whole is None:
            return own
        of = _values_of(whole)
        return {
            key: replace(value, of_corpus=_ratio(value, of.get(key), key[1])) for key, value in own.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        return {
            "settings": asdict(self.settings),
            "corpora": [asdict(corpus) for corpus in self.corpora],
            "sets": [
                asdict(held)
                | {
                    "of_corpus": {
                        f"{subject}.{index}": value.of_corpus
                        for (subject, index), value in self.values(held).items()
                        if value.of_corpus is not None
                    }
                }
                for held in self.sets
            ],
        }


def _values_of(held: CellSet) -> dict[tuple[str, str], Value]:
    values = {
        (column, index): value
        for column, labels in held.labels.items()
        for index, value in label_values(labels).items()
    }
    of_space = space_values(held.space) if held.space else {}
    return values | {(VECTORS, index): value for index, value in of_space.items()}


def _ratio(value: Value, whole: Value | None, index: str) -> float | None:
    if whole is None or not whole.value or value.value is None or not INDICES[index].is_relative:
        return None
    return value.value / whole.value
