"""The obs of a Census like the study's: simulated samples at the study's numbers of cells, types and donors.

The numbers of cells of the 164 types and of donors for each (tissue, type) come from two tables; which sample
has how many cells of a type is drawn. To these come, for the rules of the recipe to drop: copies of whole
samples that are not primary, samples of other assays, types with too few cells, types in too few samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa

from curate.ontology import Ontology

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

N_DATASETS, N_SAMPLES, N_COPIED_DATASETS = 249, 5052, 40
N_RARE_TYPES, N_LOCAL_TYPES = 60, 25
OTHER_SAMPLE_FRACTION, COPIED_CELLS = 0.08, 5_000_000
ASSAYS = (
    "10x 3' v2",
    "10x 3' v3",
    "10x 5' v1",
    "10x 5' v2",
    "10x 3' v1",
    "10x 3' transcription profiling",
    "10x 5' transcription profiling",
)
ASSAY_SHARES = (0.32, 0.42, 0.08, 0.12, 0.02, 0.03, 0.01)
OTHER_ASSAYS = ("Smart-seq2", "Drop-seq", "Seq-Well", "microwell-seq", "sci-RNA-seq", "BD Rhapsody")
DISEASES = ("normal", *(f"simulated disease {i:02}" for i in range(1, 52)))
STAGES = tuple(f"{year}-year-old stage" for year in range(1, 91))
ETHNICITIES = ("unknown", "European", "African American", "East Asian", "Hispanic or Latin American")
#: A base of 85 characters, as observation_joinid has them.
ALPHABET = np.frombuffer(
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~", dtype=np.uint8
)


@dataclass(frozen=True)
class Plan:
    """Samples, and how many cells of which type each holds.

    Attributes
    ----------
    samples
        One row a sample: dataset, tissue_general, tissue, donor_id, assay, disease, sex, development_stage,
        self_reported_ethnicity, is_primary_data; ordered by dataset.
    cells
        sample, type, n_cells; ordered by sample.
    """

    labels: list[str]
    terms: list[str]
    samples: pl.DataFrame
    cells: pl.DataFrame

    @property
    def n_cells(self) -> int:
        """Number of cells in all."""
        return int(self.cells["n_cells"].sum())


def make_plan(reference: Path, *, seed: int = 0) -> Plan:
    """Draw samples and their cells.

    Parameters
    ----------
    reference
        Folder with sctab_like_cell_counts.csv, sctab_donors_per_tissue_celltype.csv and cl-base.obo.
    """
    rng = np.random.default_rng([seed, 1])
    counts = pl.read_csv(reference / "sctab_like_cell_counts.csv")
    donors = pl.read_csv(reference / "sctab_donors_per_tissue_celltype.csv")
    tissue_of = _samples_of_tissues(donors)
    cells = _cells_of_types(counts, donors, tissue_of, rng)
    labels, terms = counts["cell_type"].to_list(), counts["cell_type_ontology_term_id"].to_list()
    extra = _extra_types(Ontology.load(reference / "cl-base.obo"), labels)
    cells.append(_cells_of_extra_types(len(labels), len(tissue_of), rng))
    kept = pl.concat(cells).group_by("sample", "type").agg(pl.col("n_cells").sum())
    samples = _described(np.array(tissue_of), rng)
    samples, kept = _with_others(samples, kept, rng)
    order = samples.with_row_index("old").sort("dataset", "old").with_row_index("sample")
    kept = (
        kept.join(
            order.select(pl.col("old").cast(pl.Int64), pl.col("sample").cast(pl.Int64).alias("new")),
            left_on="sample",
            right_on="old",
        )
        .select(pl.col("new").alias("sample"), "type", "n_cells")
        .sort("sample", "type")
    )
    names = [label for _, label in extra]
    return Plan([*labels, *names], [*terms, *(term for term, _ in extra)], order.drop("old", "sample"), kept)


def obs_of_dataset(plan: Plan, dataset: int, *, seed: int = 0) -> pl.DataFrame:
    """Return the obs of a dataset, text as text; the order of the cells is drawn.

    Four of five datasets hold one sample after the other, the rest mix them.
    """
    rng = np.random.default_rng([seed, 2, dataset])
    numbered = plan.samples.with_row_index("sample").filter(pl.col("dataset") == dataset)
    first, last = int(numbered["sample"][0]), int(numbered["sample"][-1])
    held = plan.cells.filter(pl.col("sample").is_between(first, last))
    sample = np.repeat(held["sample"].to_numpy() - first, held["n_cells"].to_numpy())
    types = np.repeat(held["type"].to_numpy(), held["n_cells"].to_numpy())
    lots = rng.random(sample.size, dtype=np.float32)
    order = np.argsort(lots) if dataset % 5 == 4 else np.lexsort((lots, sample))
    sample, types = sample[order], types[order]
    texts = numbered.drop("sample", "dataset")
    frame = texts[sample].with_columns(
        pl.Series("cell_type", plan.labels)[types].alias("cell_type"),
        pl.Series("cell_type_ontology_term_id", plan.terms)[types].alias("cell_type_ontology_term_id"),
        pl.Series("observation_joinid", _random_texts(types.size, rng)),
        suspension_type=pl.lit("nucleus" if dataset % 4 == 3 else "cell"),
        tissue_type=pl.lit("tissue"),
    )
    terms = [
        (pl.lit(f"{prefix}:") + pl.col(name).str.len_chars().cast(pl.String) + "-" + pl.col(name)).alias(
            f"{name}_ontology_term_id"
        )
        for name, prefix in {"assay": "EFO", "disease": "MONDO", "tissue": "UBERON"}.items()
    ]
    nnz = np.clip(rng.lognormal(7.3, 0.45, types.size), 200, 15_000).astype(np.int64)
    raw_sum = np.floor(nnz * rng.lognormal(0.9, 0.25, types.size))
    return frame.with_columns(terms).with_columns(
        pl.Series("raw_sum", raw_sum), pl.Series("nnz", nnz), pl.Series("raw_mean_nnz", raw_sum / nnz)
    )


def _samples_of_tissues(donors: pl.DataFrame) -> list[str]:
    """Return the tissue of each sample: as many samples a tissue as its donors ask for, N_SAMPLES in all."""
    needed = donors.group_by("tissue_general").agg(pl.col("n_donors").max()).sort("tissue_general")
    least = needed["n_donors"].to_numpy()
    share = np.maximum(least, least * (N_SAMPLES / least.sum()))
    n_samples = np.maximum(least, np.floor(share)).astype(np.int64)
    n_samples[np.argmax(n_samples)] += max(0, N_SAMPLES - int(n_samples.sum()))
    return [
        name for name, n in zip(needed["tissue_general"], n_samples.tolist(), strict=True) for _ in range(n)
    ]


def _cells_of_types(
    counts: pl.DataFrame, donors: pl.DataFrame, tissue_of: list[str], rng: np.random.Generator
) -> list[pl.DataFrame]:
    tissues = np.array(tissue_of)
    rows = {name: np.flatnonzero(tissues == name) for name in dict.fromkeys(tissue_of)}
    pairs = donors.partition_by("cell_type", as_dict=True)
    parts = []
    for number, (label, n_cells) in enumerate(counts.select("cell_type", "n_cells").iter_rows()):
        chosen = np.concatenate(
            [
                rng.choice(rows[tissue], size=n, replace=False)
                for tissue, n in pairs[(label,)].select("tissue_general", "n_donors").iter_rows()
            ]
        )
        parts.append(_spread(chosen, number, n_cells, rng))
    return parts


def _spread(samples: NDArray[np.int64], number: int, n_cells: int, rng: np.random.Generator) -> pl.DataFrame:
    """Share the cells of a type among samples unevenly, one at least to each."""
    weights = rng.gamma(0.6, size=samples.size) + 1e-3
    shared = 1 + rng.multinomial(n_cells - samples.size, weights / weights.sum())
    return pl.DataFrame(
        {"sample": samples.astype(np.int64), "type": np.full(samples.size, number), "n_cells": shared}
    )


def _extra_types(ontology: Ontology, known: list[str]) -> list[tuple[str, str]]:
    root = ontology.id_of("native cell") or "CL:0000003"
    terms = sorted(ontology.descendants(root))
    named = [(term, ontology.label(term)) for term in terms if ontology.label(term) not in known]
    return named[:: len(named) // (N_RARE_TYPES + N_LOCAL_TYPES)][: N_RARE_TYPES + N_LOCAL_TYPES]


def _cells_of_extra_types(first: int, n_samples: int, rng: np.random.Generator) -> pl.DataFrame:
    """Return types with fewer than 5,000 cells, and types in 30 samples or fewer."""
    parts = []
    for i in range(N_RARE_TYPES):
        samples = rng.choice(n_samples, size=int(rng.integers(5, 200)), replace=False)
        parts.append(_spread(samples, first + i, int(rng.integers(300, 5_000)), rng))
    for i in range(N_LOCAL_TYPES):
        samples = rng.choice(n_samples, size=int(rng.integers(3, 31)), replace=False)
        parts.append(_spread(samples, first + N_RARE_TYPES + i, int(rng.integers(5_000, 40_000)), rng))
    return pl.concat(parts)


def _described(tissues: NDArray[np.str_], rng: np.random.Generator) -> pl.DataFrame:
    """Return what every sample is; the samples of a tissue fill one dataset after the other."""
    n = tissues.size
    dataset = np.arange(n) * N_DATASETS // n
    ordinal = np.arange(n)
    region = rng.integers(0, 4, n)
    disease = np.where(rng.random(n) < 0.55, 0, rng.integers(1, len(DISEASES), n))
    assay_of_dataset = rng.choice(len(ASSAYS), size=N_DATASETS, p=ASSAY_SHARES)
    assay = np.where(
        rng.random(n) < 0.9, assay_of_dataset[dataset], rng.choice(len(ASSAYS), n, p=ASSAY_SHARES)
    )
    return pl.DataFrame(
        {
            "dataset": dataset,
            "tissue_general": tissues,
            "tissue": [
                f"{t}, region {r}" if r else str(t) for t, r in zip(tissues, region.tolist(), strict=True)
            ],
            "donor_id": [f"donor-{i:04}" for i in ordinal.tolist()],
            "assay": [ASSAYS[i] for i in assay.tolist()],
            "disease": [DISEASES[i] for i in disease.tolist()],
            "sex": [("female", "male", "unknown")[i] for i in rng.choice(3, n, p=(0.45, 0.5, 0.05)).tolist()],
            "development_stage": [STAGES[i] for i in rng.integers(0, len(STAGES), n).tolist()],
            "self_reported_ethnicity": [
                ETHNICITIES[i] for i in rng.integers(0, len(ETHNICITIES), n).tolist()
            ],
            "is_primary_data": np.ones(n, np.bool_),
        }
    )


def _with_others(
    samples: pl.DataFrame, cells: pl.DataFrame, rng: np.random.Generator
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Add samples of other assays, and datasets of copies that are not primary."""
    sizes = np.zeros(samples.height, np.int64)
    per_sample = cells.group_by("sample").agg(pl.col("n_cells").sum())
    sizes[per_sample["sample"].to_numpy()] = per_sample["n_cells"].to_numpy()
    other = rng.choice(samples.height, size=int(OTHER_SAMPLE_FRACTION * samples.height), replace=False)
    order = rng.permutation(samples.height)
    copied = order[: np.searchsorted(np.cumsum(sizes[order]), COPIED_CELLS) + 1]
    others = samples[other].with_columns(
        pl.col("donor_id") + "-other",
        assay=pl.Series([OTHER_ASSAYS[i % len(OTHER_ASSAYS)] for i in range(other.size)]),
    )
    copies = samples[copied].with_columns(
        is_primary_data=pl.lit(value=False),
        dataset=pl.Series(N_DATASETS + np.arange(copied.size) * N_COPIED_DATASETS // copied.size),
    )
    parts, first = [cells], samples.height
    for rows in (other, copied):
        numbers = pl.DataFrame({"sample": rows.astype(np.int64), "new": np.arange(first, first + rows.size)})
        again = cells.join(numbers, on="sample").select(pl.col("new").alias("sample"), "type", "n_cells")
        parts.append(again)
        first += rows.size
    return pl.concat([samples, others, copies]), pl.concat(parts)


def _random_texts(n: int, rng: np.random.Generator) -> pa.Array:
    characters = ALPHABET[rng.integers(0, ALPHABET.size, (n, 10), dtype=np.uint8)]
    offsets = pa.py_buffer(np.arange(0, 10 * n + 1, 10, dtype=np.int64))
    return pa.LargeStringArray.from_buffers(n, offsets, pa.py_buffer(characters))


def datasets(plan: Plan) -> Iterator[int]:
    """Yield the numbers of the datasets."""
    yield from plan.samples["dataset"].unique().sort()
