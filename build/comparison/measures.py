"""What is measured of chosen cells when strategies are compared.

==============  ==============================================================================================
covered         share of the corpus' cells within a radius of a chosen one
mean_distance   from a cell of the corpus to the nearest chosen one
hausdorff       largest such distance, the farthest 0.1 % left out
vendi           number of unlike cells that the chosen amount to
types           cell types among the chosen
shannon         Shannon entropy of their cell types
rare_cells      share of the chosen cells that are of a type that is rare in the corpus
rare_types      share of the rare types that have a chosen cell
task_cells      share of the chosen cells that are of a type that the task asks for
effective_size  Kish's effective sample size, where there are weights
seconds         reading what the strategy needs, preparing, and the first choice
peak_bytes      peak resident memory of a process that does nothing else
==============  ==============================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.build.composition import composition
from curate.build.diversity.coverage import summarise_distances
from curate.build.diversity.labels import shannon_bits
from curate.build.diversity.neighbours import nearest_cells
from curate.build.diversity.rare import rare_held, rare_labels
from curate.build.diversity.space import Space, SpaceSettings
from curate.build.diversity.vendi import blocks_of, spectrum, vendi_score

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from curate.corpus import Corpus

LABELS = "cell_type"


@dataclass(frozen=True)
class Measure:
    """Something measured.

    Attributes
    ----------
    heading
        Of a table, of two lines.
    title, unit
        Of a chart; the unit is "%" where the value is a share.
    decimals
        To show.
    is_cost
        What it takes, not what was chosen.
    """

    heading: str
    title: str
    unit: str
    decimals: int
    is_cost: bool = False

    def text(self, value: float | None) -> str:
        """Return a value for people."""
        if value is None:
            return "-"
        if self.unit == "%":
            return f"{100 * value:.{self.decimals}f} %"
        if self.unit == "bytes":
            return f"{value / 1e6:,.0f} MB"
        if self.unit == "s":
            return f"{1000 * value:.0f} ms" if value < 0.1 else f"{value:,.{2 if value < 10 else 0}f} s"
        return f"{value:,.{self.decimals}f}"


MEASURES: dict[str, Measure] = {
    "covered": Measure("corpus\ncovered", "Corpus covered", "%", 1),
    "mean_distance": Measure("mean\ndistance", "Mean distance", "to the nearest chosen cell", 3),
    "hausdorff": Measure("partial\nHausdorff", "Partial Hausdorff", "distance", 3),
    "vendi": Measure("Vendi\nscore", "Vendi score", "effective cells", 2),
    "types": Measure("\ntypes", "Cell types", "types", 0),
    "shannon": Measure("Shannon\nbits", "Shannon entropy", "bits, cell type", 2),
    "rare_cells": Measure("rare\ncells", "Cells of rare types", "%", 2),
    "rare_types": Measure("rare\ntypes", "Rare types held", "%", 0),
    "task_cells": Measure("task's\ntypes", "Cells of the task's types", "%", 1),
    "effective_size": Measure("effective\nsize", "Effective sample size", "cells", 0),
    "seconds": Measure("\ntime", "Time", "s", 2, is_cost=True),
    "peak_bytes": Measure("peak\nmemory", "Peak memory", "bytes", 0, is_cost=True),
}


class Measurer:
    """Measures chosen cells of one corpus.

    Parameters
    ----------
    embedding
        Name of the embedding for coverage and Vendi score; None for neither.
    rare_below
        A type is rare under this share of the corpus' cells.
    wanted
        bool [n_corpus], the cells of the types that a task asks for; None without a task.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        embedding: str | None,
        rare_below: float,
        wanted: NDArray[np.bool_] | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.labels: pl.DataFrame = corpus.columns([LABELS])
        self.counts = composition(self.labels)[LABELS]
        self.n_corpus = corpus.n_cells
        self.rare = rare_labels(self.counts, n_cells=corpus.n_cells, below=rare_below)
        self.wanted = wanted
        self.n_threads = n_threads
        self.space = (
            None
            if embedding is None
            else Space.of(corpus, SpaceSettings(embedding=embedding), n_threads=n_threads)
        )

    def share(self, labels: frozenset[str]) -> float:
        """Return the share of the corpus' cells that have one of these labels."""
        return sum(self.counts.get(label, 0) for label in labels) / self.n_corpus

    def measure(self, rows: NDArray[np.int64]) -> dict[str, float | None]:
        """Return the measures of the cells in some rows of the corpus, int64 [n] ascending."""
        counts = composition(self.labels[rows])[LABELS]
        held = rare_held(counts, self.rare, n_cells=rows.size, at_least=1)
        found: dict[str, float | None] = {
            "types": len(counts),
            "shannon": shannon_bits(np.array(sorted(counts.values()))),
            "rare_cells": held.cells_share if self.rare else None,
            "rare_types": held.held_share,
        }
        if self.wanted is not None:
            found["task_cells"] = float(self.wanted[rows].mean())
        return self._in_space(rows) | found

    def _in_space(self, rows: NDArray[np.int64]) -> dict[str, float | None]:
        if self.space is None or self.space.radius is None:
            return {}
        values, probes = self.space.embedding.values, self.space.probes
        _, distance = nearest_cells(values, rows, probes, n_threads=self.n_threads)
        covered = summarise_distances(
            distance, radius=self.space.radius, is_sample=probes.size < self.n_corpus
        )
        directions = spectrum(blocks_of(values, rows), n_threads=self.n_threads or 2)
        return {
            "covered": covered.covered,
            "mean_distance": covered.mean_distance,
            "hausdorff": covered.hausdorff,
            "vendi": vendi_score(directions),
        }
