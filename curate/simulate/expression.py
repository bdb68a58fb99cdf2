"""Expression in the simulated atlas: programs along the hierarchy of types, batches, counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from curate.simulate.cells import TYPES
from curate.simulate.genes import MITOCHONDRIAL
from curate.simulate.randomness import generator
from curate.simulate.samples import DATASETS, DISEASES
from curate.simulate.types import CELL_TYPES, CONTINUA, LINEAGE_MARKERS, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl
    from numpy.typing import NDArray

    from curate.simulate.cells import Cells
    from curate.simulate.samples import Sample

MALE = ("RPS4Y1", "DDX3Y", "EIF1AY", "KDM5D")
INTERFERON = ("ISG15", "IFI6", "IFIT3", "MX1", "IFI44L", "IFIT1", "OAS1", "IFITM3")
CYCLING = ("MKI67", "TOP2A", "CENPF", "TYMS", "UBE2C", "BIRC5")
MARKERS = {**LINEAGE_MARKERS, **{t.label: t.markers for t in TYPES if t is not UNKNOWN}}
NAMED_GENES = tuple(
    sorted({*MITOCHONDRIAL, *MALE, *INTERFERON, *CYCLING, *" ".join(MARKERS.values()).split()})
)

# Natural logarithms throughout.
BASE_SD, MARKER_OFF, MARKER_ON = 1.5, -3.0, 5.0
PROGRAM_SD, PROGRAM_FRACTION = 1.4, 0.05
#: no gene takes most of a cell, however many programs raise it
HIGHEST = 4.0
MITOCHONDRIAL_FRACTION = 0.05
DATASET_SD, DONOR_SD, CELL_DEPTH_SD = 0.2, 0.08, 0.35
IN_BETWEEN_FRACTION, CYCLING_FRACTION = 0.15, 0.03
BLOCK_CELLS = 2048
#: above the number of genes in any table
PLACES = 100_000


@dataclass(frozen=True)
class Expression:
    """The parameters from which counts are drawn, all in natural logarithms, one column a gene.

    `types` are levels, `datasets`, `donors`, `diseases`, `stress` and `cycling` are what is added to them;
    `neighbour` [n_types] is the type towards which some cells lie, or -1; `type_depth` [n_types] a factor.
    """

    seed: int
    types: NDArray[np.float64]
    datasets: NDArray[np.float64]
    donors: NDArray[np.float64]
    diseases: dict[str, NDArray[np.float64]]
    stress: NDArray[np.float64]
    cycling: NDArray[np.float64]
    inverse_dispersion: NDArray[np.float64]
    neighbour: NDArray[np.int64]
    type_depth: NDArray[np.float64]
    is_male_gene: NDArray[np.bool_]


def draw_expression(genes: pl.DataFrame, samples: Sequence[Sample], *, seed: int) -> Expression:
    """Draw base levels, the programs of the hierarchy, and the effects of batches and diseases."""
    symbols = genes["feature_name"].to_list()
    where = {symbol: j for j, symbol in enumerate(symbols)}
    n_genes = len(symbols)

    def program(name: str, markers: str = "", *, sd: float = PROGRAM_SD) -> NDArray[np.float64]:
        rng = generator(seed, f"program {name}")
        effect = np.zeros(n_genes)
        genes = rng.choice(unnamed, max(6, round(PROGRAM_FRACTION * n_genes)), replace=False)
        effect[genes] = rng.normal(0, sd, genes.size)
        effect[[where[m] for m in markers.split()]] = MARKER_ON
        return effect

    unnamed = np.flatnonzero(~np.isin(symbols, NAMED_GENES))
    base = base_levels(genes, off=NAMED_GENES, seed=seed)
    nodes = {node for t in TYPES for node in t.nodes}
    programs = {node: program(node, MARKERS.get(node, "")) for node in sorted(nodes)}
    rng = generator(seed, "types")
    labels = [t.label for t in TYPES]
    neighbour = np.full(len(TYPES), -1)
    for one, other in CONTINUA:
        neighbour[labels.index(one)], neighbour[labels.index(other)] = (
            labels.index(other),
            labels.index(one),
        )
    diseases = {name: program(name, sd=0.5) for name in DISEASES if name != "normal"}
    diseases["COVID-19"][[where[g] for g in INTERFERON]] = MARKER_ON / 2
    return Expression(
        seed=seed,
        types=np.minimum(HIGHEST, base + [np.sum([programs[n] for n in t.nodes], axis=0) for t in TYPES]),
        datasets=np.stack(
            [generator(seed, "dataset", k).normal(0, DATASET_SD, n_genes) for k in range(len(DATASETS))]
        ),
        donors=np.stack(
            [
                generator(seed, "donor effect", k).normal(0, DONOR_SD, n_genes)
                for k in range(samples[-1].donor + 1)
            ]
        ),
        diseases=diseases,
        stress=program("stress", sd=0.8) + np.isin(symbols, MITOCHONDRIAL),
        cycling=program("cycling", " ".join(CYCLING), sd=0.5),
        inverse_dispersion=draw_inverse_dispersion(genes, seed=seed),
        neighbour=neighbour,
        type_depth=rng.lognormal(0, 0.2, len(TYPES)),
        is_male_gene=np.isin(symbols, MALE),
    )


def base_levels(genes: pl.DataFrame, *, off: Sequence[str], seed: int) -> NDArray[np.float64]:
    """Draw the log level of every gene where no program runs; a gene has the same one in every panel."""
    symbols = genes["feature_name"]
    base = generator(seed, "base").normal(0, BASE_SD, PLACES)[genes["place"]]
    base[symbols.is_in(off)] = MARKER_OFF
    is_mitochondrial = symbols.is_in(MITOCHONDRIAL).to_numpy()
    others = np.exp(base[~is_mitochondrial]).sum()
    each = np.log(MITOCHONDRIAL_FRACTION * others / is_mitochondrial.sum())
    base[is_mitochondrial] = each + generator(seed, "mitochondrial").normal(0, 0.4, is_mitochondrial.sum())
    base[symbols.is_in(MALE)] = 0.5
    return base


def draw_inverse_dispersion(genes: pl.DataFrame, *, seed: int) -> NDArray[np.float64]:
    """Draw how far from Poisson each gene is: the smaller, the farther."""
    return generator(seed, "dispersion").lognormal(1.0, 0.5, PLACES)[genes["place"]]


def count_blocks(
    cells: Cells,
    expression: Expression,
    samples: Sequence[Sample],
    *,
    measured: NDArray[np.bool_],
    block_cells: int = BLOCK_CELLS,
) -> Iterator[sp.csr_array]:
    """Yield the counts of these cells, float32 [b, n_genes]; genes that are not measured have none.

    Every cell has a generator of its own: its counts are the same in any block and in every dataset.
    """
    for start in range(0, cells.number.size, block_cells):
        rows = range(start, min(start + block_cells, cells.number.size))
        counts = np.empty((len(rows), measured.size), np.float32)
        for out, row in zip(counts, rows, strict=True):
            sample = samples[cells.sample[row]]
            out[:] = cell_counts(int(cells.number[row]), int(cells.type[row]), sample, expression)
        counts[:, ~measured] = 0
        yield sp.csr_array(counts)


def cell_counts(number: int, type_: int, sample: Sample, expression: Expression) -> NDArray[np.int64]:
    """Draw the counts of one cell, int64 [n_genes]."""
    rng = generator(expression.seed, "cell", number)
    dataset = DATASETS[sample.dataset]
    depth = draw_depth(dataset.depth, expression.stress.size, rng=rng)
    if TYPES[type_] is UNKNOWN:
        # Nobody could say what these are because they are shallow.
        type_, depth = int(rng.integers(len(CELL_TYPES))), depth / 3
    level = expression.types[type_]
    neighbour = expression.neighbour[type_]
    if rng.random() < IN_BETWEEN_FRACTION and neighbour >= 0:
        weight = rng.uniform(0.1, 0.5)
        level = np.logaddexp(level + np.log(1 - weight), expression.types[neighbour] + np.log(weight))
    level = level + expression.datasets[sample.dataset] + expression.donors[sample.donor]
    for disease in sample.disease.split(" || "):
        if disease != "normal":
            level += expression.diseases[disease]
    level += rng.normal(0, 0.4) * expression.stress
    if rng.random() < CYCLING_FRACTION:
        level += rng.uniform(0.3, 1) * expression.cycling
    share = np.exp(level)
    if sample.sex == "female":
        share[expression.is_male_gene] = 0
    return draw_counts(share, depth * expression.type_depth[type_], expression.inverse_dispersion, rng=rng)


def draw_depth(depth: float, n_genes: int, *, rng: np.random.Generator) -> float:
    """Draw the mean total count of a cell: around `depth` for 1,500 genes, growing with their square root."""
    return float(depth * np.sqrt(n_genes / 1_500) * rng.lognormal(0, CELL_DEPTH_SD))


def draw_counts(
    share: NDArray[np.float64],
    depth: float,
    inverse_dispersion: NDArray[np.float64],
    *,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Draw negative binomial counts of total mean `depth` and variance mean + mean² / inverse dispersion."""
    mean = share * (depth / share.sum())
    return rng.poisson(rng.gamma(inverse_dispersion, mean / inverse_dispersion))
