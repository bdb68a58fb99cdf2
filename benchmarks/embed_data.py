"""Stores of simulated cells for the benchmark of `curate embed`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np
import polars as pl

from curate.census import Census, CensusWriter, Dataset
from curate.corpus import Corpus
from curate.corpus.build import build_corpus
from curate.recipe import Recipe
from curate.simulate import atlas

if TYPE_CHECKING:
    from pathlib import Path

ORGANISM = "homo_sapiens"
N_GENES = 19_331
#: The study's schema, whose stores have no layer of normalised counts.
SCHEMA_VERSION = "1.0.0"


def simulated_corpus(folder: Path, n_cells: int) -> Corpus:
    """Simulate an atlas of the study's number of genes, about 2,100 non-zeros a cell, and take all of it."""
    store = folder / f"store-{n_cells}"
    if not store.exists():
        older = partial(CensusWriter, schema_version=SCHEMA_VERSION)
        with patch.object(atlas, "CensusWriter", older):
            atlas.simulate_atlas(store, n_cells=n_cells, n_genes=N_GENES)
    return _corpus(folder, n_cells)


def repeated_corpus(folder: Path, n_cells: int, *, times: int) -> Corpus:
    """Write the cells of a simulated store several times over, each time as a dataset of its own."""
    store = folder / f"store-{times * n_cells}"
    if not store.exists():
        with (
            Census.open(uri=folder / f"store-{n_cells}") as census,
            CensusWriter(
                store,
                genes=census.read_var(ORGANISM),
                build_date="2026-01-01",
                label=f"Simulated cells, repeated {times} times",
                schema_version=SCHEMA_VERSION,
            ) as writer,
        ):
            for time in range(times):
                writer.add_dataset(
                    Dataset(f"copy-{time}", f"copy {time}"),
                    pl.DataFrame({"cell_type": ["unknown"] * n_cells}),
                    (block.counts for block in census.read_counts(ORGANISM, np.arange(n_cells))),
                    measured=np.ones(N_GENES, np.bool_),
                )
    return _corpus(folder, times * n_cells)


def _corpus(folder: Path, n_cells: int) -> Corpus:
    path = folder / "corpora" / f"cells-{n_cells}"
    if path.exists():
        return Corpus.open(path)
    with Census.open(uri=folder / f"store-{n_cells}") as census:
        return build_corpus(Recipe.model_validate({"name": path.name}), census, path)
