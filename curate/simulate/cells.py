"""The cells of the simulated atlas: how many of each type, from which sample, and which ones occur twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from curate.errors import CurateError
from curate.simulate.randomness import generator
from curate.simulate.samples import (
    ASSAYS,
    DATASETS,
    DISEASES,
    ETHNICITIES,
    REPEATED_DATASETS,
    SEXES,
    TISSUES,
)
from curate.simulate.types import CELL_TYPES, DROPPED_TYPES, FEW_ANCESTORS, FEW_CELLS, ONE_DONOR, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.simulate.samples import Sample

FEWEST_CELLS = 500
FEWEST_OF_A_TYPE = 6
#: cells of a type of CELL_TYPES for one of the type before it: 750 to 1 from the first to the last
ABUNDANCE_RATIO = 0.75
REPEATED_FRACTION = 0.06
DROPPED_FRACTIONS = {FEW_ANCESTORS.label: 0.025, ONE_DONOR.label: 0.003, UNKNOWN.label: 0.015}
N_FEW_CELLS = 3
TYPES = (*CELL_TYPES, *DROPPED_TYPES)


@dataclass(frozen=True)
class Cells:
    """Cells in the order of the store, as int64 [n_cells] arrays.

    `number` names the cell whose counts these are (a repeated cell has the number of the first), `type`
    indexes TYPES, `sample` the samples, `dataset` DATASETS or, for the meta-analysis, len(DATASETS).
    """

    number: NDArray[np.int64]
    type: NDArray[np.int64]
    sample: NDArray[np.int64]
    dataset: NDArray[np.int64]

    def of_dataset(self, dataset: int) -> Cells:
        """Return the cells of one dataset."""
        rows = np.flatnonzero(self.dataset == dataset)
        return Cells(self.number[rows], self.type[rows], self.sample[rows], self.dataset[rows])


def place_cells(n_cells: int, samples: Sequence[Sample], *, seed: int) -> Cells:
    """Share `n_cells` out among types and samples, mix them within each dataset, and repeat some.

    Raises
    ------
    CurateError
        When there are too few cells for the types.
    """
    if n_cells < FEWEST_CELLS:
        raise CurateError(f"an atlas of {n_cells:,} cells is too small; simulate at least {FEWEST_CELLS:,}")
    n_repeated = round(REPEATED_FRACTION * n_cells)
    sizes = type_sizes(n_cells - n_repeated)
    types, places = [], []
    for number, (cell_type, size) in enumerate(zip(TYPES, sizes, strict=True)):
        weights = np.array([cell_type.homes.get(s.tissue_general, 0.0) * s.weight for s in samples])
        places.append(np.repeat(np.arange(len(samples)), apportion(int(size), weights)))
        types.append(np.full(size, number))
    of_type, of_sample = np.concatenate(types), np.concatenate(places)
    of_dataset = np.array([s.dataset for s in samples])[of_sample]
    mixed = generator(seed, "order").permutation(of_type.size)
    order = mixed[np.argsort(of_dataset[mixed], kind="stable")]
    of_type, of_sample, of_dataset = of_type[order], of_sample[order], of_dataset[order]

    repeatable = np.flatnonzero(np.isin(of_dataset, REPEATED_DATASETS))
    again = generator(seed, "repeated").choice(repeatable, n_repeated, replace=False)
    rows = np.concatenate([np.arange(of_type.size), again])
    datasets = np.concatenate([of_dataset, np.full(n_repeated, len(DATASETS))])
    return Cells(number=rows, type=of_type[rows], sample=of_sample[rows], dataset=datasets)


def type_sizes(n_cells: int) -> NDArray[np.int64]:
    """Return how many cells each of TYPES has: geometric for those that rules keep, never fewer than six."""
    dropped = [
        N_FEW_CELLS
        if cell_type is FEW_CELLS
        else max(FEWEST_OF_A_TYPE, round(DROPPED_FRACTIONS[cell_type.label] * n_cells))
        for cell_type in DROPPED_TYPES
    ]
    shares = ABUNDANCE_RATIO ** np.arange(len(CELL_TYPES))
    sizes = np.full(len(CELL_TYPES), FEWEST_OF_A_TYPE)
    is_open = np.ones(len(CELL_TYPES), bool)
    while True:
        n_left = n_cells - sum(dropped) - FEWEST_OF_A_TYPE * int((~is_open).sum())
        quotas = apportion(n_left, np.where(is_open, shares, 0.0))
        is_small = is_open & (quotas < FEWEST_OF_A_TYPE)
        if not is_small.any():
            break
        is_open &= ~is_small
    return np.concatenate([np.where(is_open, quotas, sizes), dropped])


def apportion(n: int, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Share `n` out in proportion to `weights`, in whole numbers, by largest remainders."""
    exact = n * weights / weights.sum()
    whole: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    largest = np.argsort(-(exact - whole), kind="stable")[: n - int(whole.sum())]
    whole[largest] += 1
    return whole


def census_obs(cells: Cells, samples: Sequence[Sample]) -> pl.DataFrame:
    """Return the obs columns of a Census for these cells, without dataset_id and statistics."""
    people = pl.DataFrame([_sample_obs(sample) for sample in samples])
    labels = pl.DataFrame(
        {
            "cell_type": [t.label for t in TYPES],
            "cell_type_ontology_term_id": [t.term for t in TYPES],
        }
    )
    is_primary = pl.Series("is_primary_data", cells.dataset < len(DATASETS))
    return pl.concat([labels[cells.type], people[cells.sample]], how="horizontal").with_columns(is_primary)


def _sample_obs(sample: Sample) -> dict[str, str]:
    age = f"{sample.age_years}-year-old stage"
    return {
        "assay": sample.assay,
        "assay_ontology_term_id": ASSAYS[sample.assay],
        "development_stage": age,
        # Stages of adult years are numbered through: 20 years is HsapDv:0000114, 79 years HsapDv:0000173.
        "development_stage_ontology_term_id": f"HsapDv:{sample.age_years + 94:07d}",
        "disease": sample.disease,
        "disease_ontology_term_id": " || ".join(DISEASES[each] for each in sample.disease.split(" || ")),
        "donor_id": sample.donor_id,
        "self_reported_ethnicity": sample.ethnicity,
        "self_reported_ethnicity_ontology_term_id": ETHNICITIES[sample.ethnicity],
        "sex": sample.sex,
        "sex_ontology_term_id": SEXES[sample.sex],
        "suspension_type": "na" if sample.assay == "Smart-seq2" else DATASETS[sample.dataset].suspension_type,
        "tissue": sample.tissue,
        "tissue_ontology_term_id": TISSUES[sample.tissue],
        "tissue_type": "tissue",
        "tissue_general": sample.tissue_general,
        "tissue_general_ontology_term_id": TISSUES[sample.tissue_general],
    }
