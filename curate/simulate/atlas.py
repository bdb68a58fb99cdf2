"""A small human atlas, simulated, as a store of the Census layout."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import numpy as np

from curate.census import CensusWriter, Dataset
from curate.errors import CurateError
from curate.progress import progress
from curate.simulate.cells import census_obs, place_cells
from curate.simulate.expression import NAMED_GENES, count_blocks, draw_expression
from curate.simulate.genes import gene_panel
from curate.simulate.randomness import generator
from curate.simulate.samples import DATASETS, META_ANALYSIS, SIMULATED, draw_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import scipy.sparse as sp
    from numpy.typing import NDArray

#: Simulated data have no date; a fixed one keeps two stores of one seed equal.
BUILD_DATE = "2026-01-01"


def simulate_atlas(path: Path, *, n_cells: int = 20_000, n_genes: int = 1_500, seed: int = 0) -> None:
    """Simulate a small human atlas and write it as a Census-layout store.

    It has 24 cell types of the Cell Ontology whose sizes span three orders of magnitude (at 20,000 cells from
    about 4,500 down to 6) and four that rules on cell types drop: one with few ancestors, one of a single
    donor, one of 3 cells, and "unknown". Nine datasets differ in organ, assay (one is Smart-seq2), donors,
    depth and gene-wise batch effects; one did not measure 4 % of the genes; the cells of one, 6 % of all, are
    not primary but repeat those of others with the same counts. Expression follows programs along the
    hierarchy of types, which a type inherits from its ancestors; counts are negative binomial. The same
    arguments give the same store. Memory is bounded by a block of 2,048 cells and what CensusWriter needs.

    Parameters
    ----------
    path
        Folder to make; it must not exist.
    n_cells
        Cells in all, repeated ones included; at least 500.
    n_genes
        Real protein-coding genes, the 13 mitochondrial ones and known markers always among them.
    seed
        0 or more.

    Raises
    ------
    CurateError
        When the atlas would be too small, or the seed is negative.
    WriteError
        When the store cannot be written, or `path` exists.
    """
    check_seed(seed)
    # 1. what is there: genes, samples, cells
    genes = gene_panel(n_genes, named=NAMED_GENES)
    samples = draw_samples(seed=seed)
    cells = place_cells(n_cells, samples, seed=seed)
    # 2. how it is expressed
    expression = draw_expression(genes, samples, seed=seed)
    # 3. write, dataset by dataset
    label = f"{SIMULATED}: {n_cells} cells, {n_genes} genes, seed {seed}"
    with (
        CensusWriter(path, genes=genes, build_date=BUILD_DATE, label=label) as writer,
        progress("Simulating an atlas", n_cells) as advance,
    ):
        for number, title in enumerate([*(d.title for d in DATASETS), META_ANALYSIS]):
            own = cells.of_dataset(number)
            if own.number.size == 0:
                continue
            measured = _measured(expression.types.max(axis=0), number, seed=seed)
            blocks = count_blocks(own, expression, samples, measured=measured)
            writer.add_dataset(
                _dataset(title, label), census_obs(own, samples), _watched(blocks, advance), measured=measured
            )


def check_seed(seed: int) -> None:
    """Raise CurateError when no generator can be made from `seed`."""
    if seed < 0:
        raise CurateError(f"seed {seed} is negative; give 0 or more")


def _dataset(title: str, label: str) -> Dataset:
    # Cells of two atlases are never the same cells, so that the ids of their datasets differ.
    identity, collection = (uuid.uuid5(uuid.NAMESPACE_OID, text) for text in (f"{label}: {title}", label))
    return Dataset(
        dataset_id=str(identity),
        title=title,
        collection_name="Simulated atlas",
        collection_id=str(collection),
        citation=SIMULATED,
    )


def _measured(levels: NDArray[np.float64], dataset: int, *, seed: int) -> NDArray[np.bool_]:
    """Choose which genes a dataset measured; the others are among the lower half, as in real data."""
    fraction = DATASETS[dataset].unmeasured_fraction if dataset < len(DATASETS) else 0.0
    low = np.argsort(levels, kind="stable")[: levels.size // 2]
    measured = np.ones(levels.size, bool)
    measured[
        generator(seed, "unmeasured", dataset).choice(low, round(fraction * levels.size), replace=False)
    ] = False
    return measured


def _watched(blocks: Iterator[sp.csr_array], advance: Callable[[int], None]) -> Iterator[sp.csr_array]:
    for block in blocks:
        yield block
        advance(block.shape[0])
