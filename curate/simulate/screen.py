"""A Perturb-seq screen, simulated, whose effects are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import scipy.sparse as sp

from curate.atomic import atomic_file
from curate.errors import CurateError
from curate.progress import progress
from curate.simulate.atlas import check_seed
from curate.simulate.expression import (
    DONOR_SD,
    PROGRAM_FRACTION,
    base_levels,
    draw_counts,
    draw_depth,
    draw_inverse_dispersion,
)
from curate.simulate.genes import MITOCHONDRIAL, gene_panel
from curate.simulate.randomness import generator
from curate.simulate.samples import SIMULATED
from curate.simulate.targets import CELL_LINES, CONTROL, TARGETS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

FEWEST_CELLS = 500
CONTROL_FRACTION, FIRST_LINE_FRACTION = 0.25, 0.6
N_GUIDES, N_BATCHES = 2, 4
DEPTH = 1_500
# Natural logarithms. Silencing with CRISPRi leaves about a tenth to a quarter of the target.
KNOCKDOWN = (-2.3, -1.4)
LINE_SD, PATHWAY_SD, TARGET_SD, LINE_CHANGE_SD = 1.0, 0.6, 0.3, 0.5
TARGET_LEVEL = 1.5
SYMBOLS = tuple(target.symbol for target in TARGETS)
NAMED_GENES = (*MITOCHONDRIAL, *SYMBOLS)


def simulate_screen(path: Path, *, n_cells: int = 4_000, n_genes: int = 1_500, seed: int = 0) -> None:
    """Simulate a Perturb-seq screen of two cell lines and write it as an h5ad file.

    A quarter of the cells are controls ("non-targeting"), the others carry guides against one of 24 genes.
    A working guide silences its target and sets off a downstream program that it partly shares with the other
    targets of its pathway; strengths vary, four targets have no effect at all, others none in one of the
    lines, and where both lines respond the second does so somewhat differently. Most genes are those of
    `simulate_atlas`.

    The file holds raw counts in X (float32 integers, CSR), obs with perturbation, guide_id, cell_line, batch,
    assay and is_control, var by Ensembl id with feature_name (symbol), and the truth as tables in uns:
    `known_effects` has one row for each (target, cell_line, gene) that changes, with kind "knockdown" or
    "downstream" and log2_fold_change of the gene's level before levels are scaled to the cell's depth;
    `known_targets` one row for each (target, cell_line), with pathway, strength and has_effect. Memory grows
    with the number of non-zero counts.

    Parameters
    ----------
    path
        The h5ad file to write; one that is there is replaced.
    n_cells
        At least 500.
    n_genes
        Real protein-coding genes, the targets and the 13 mitochondrial ones always among them.
    seed
        0 or more.

    Raises
    ------
    CurateError
        When the screen would be too small, or the seed is negative.
    WriteError
        When the file cannot be written.
    """
    check_seed(seed)
    if n_cells < FEWEST_CELLS:
        raise CurateError(f"a screen of {n_cells:,} cells is too small; simulate at least {FEWEST_CELLS:,}")
    # 1. what is there: genes, cells
    genes = gene_panel(n_genes, named=NAMED_GENES)
    target, line, guide, batch = _place_cells(n_cells, seed=seed)
    # 2. how it is expressed
    effects = draw_effects(genes["feature_name"].to_list(), seed=seed)
    # 3. draw and write
    counts = _draw_cells(genes, effects, target, line, batch, seed=seed)
    labels = np.array([CONTROL, *SYMBOLS])[target + 1]
    obs = pl.DataFrame(
        {
            "perturbation": labels,
            "guide_id": [f"{label}_g{g + 1}" for label, g in zip(labels, guide, strict=True)],
            "cell_line": np.array(CELL_LINES)[line],
            "batch": [f"gem_group_{b + 1}" for b in batch],
            "assay": ["10x 3' v3"] * n_cells,
            "is_control": target < 0,
        }
    )
    uns = {
        "source": f"{SIMULATED}: {n_cells} cells, {n_genes} genes, seed {seed}",
        "known_effects": _effects_table(effects, genes).to_pandas(),
        "known_targets": _targets_table().to_pandas(),
    }
    _write(path, counts, obs, genes, uns)


def draw_effects(symbols: Sequence[str], *, seed: int) -> NDArray[np.float64]:
    """Draw how targets change the natural log level of every gene, float64 [n_targets, n_lines, n_genes]."""
    others = np.flatnonzero(~np.isin(symbols, NAMED_GENES))
    n_changed = max(6, round(PROGRAM_FRACTION * len(symbols)))

    def program(name: str, sd: float) -> NDArray[np.float64]:
        rng = generator(seed, f"screen {name}")
        effect = np.zeros(len(symbols))
        effect[rng.choice(others, n_changed, replace=False)] = rng.normal(0, sd, n_changed)
        return effect

    effects = np.zeros((len(TARGETS), len(CELL_LINES), len(symbols)))
    for t, target in enumerate(TARGETS):
        shared = program(f"pathway {target.pathway}", PATHWAY_SD) + program(
            f"target {target.symbol}", TARGET_SD
        )
        changed = np.flatnonzero(shared)
        knockdown = generator(seed, "knockdown", t).uniform(*KNOCKDOWN)
        for k, strength in enumerate(target.strength):
            if strength == 0:
                continue
            effects[t, k] = strength * shared
            if k > 0:
                own = generator(seed, f"line change {k}", t).normal(1, LINE_CHANGE_SD, changed.size)
                effects[t, k, changed] *= own
            effects[t, k, symbols.index(target.symbol)] = knockdown
    return effects


def _place_cells(n_cells: int, *, seed: int) -> tuple[NDArray[np.int64], ...]:
    """Return target (-1 for controls), line, guide and batch of every cell, in mixed order."""
    n_controls = round(CONTROL_FRACTION * n_cells)
    target = np.concatenate([np.full(n_controls, -1), np.arange(n_cells - n_controls) % len(TARGETS)])
    rank = np.zeros(n_cells, np.int64)
    for each in range(-1, len(TARGETS)):
        rank[target == each] = np.arange((target == each).sum())
    size = np.bincount(target + 1)[target + 1]
    line = (rank >= np.ceil(FIRST_LINE_FRACTION * size)).astype(np.int64)
    guide, batch = rank % N_GUIDES, generator(seed, "screen batch").integers(N_BATCHES, size=n_cells)
    order = generator(seed, "screen order").permutation(n_cells)
    return target[order], line[order], guide[order], batch


def _draw_cells(
    genes: pl.DataFrame,
    effects: NDArray[np.float64],
    target: NDArray[np.int64],
    line: NDArray[np.int64],
    batch: NDArray[np.int64],
    *,
    seed: int,
) -> sp.csr_array:
    symbols = genes["feature_name"]
    base = base_levels(genes, off=(), seed=seed)
    base[symbols.is_in(SYMBOLS)] = TARGET_LEVEL
    line_sd = np.where(symbols.is_in(NAMED_GENES), 0.0, LINE_SD)
    lines = [base + generator(seed, "line", k).normal(0, line_sd) for k in range(len(CELL_LINES))]
    batches = [
        generator(seed, "screen batch effect", k).normal(0, DONOR_SD, genes.height) for k in range(N_BATCHES)
    ]
    inverse_dispersion = draw_inverse_dispersion(genes, seed=seed)
    rows = []
    with progress("Simulating a screen", target.size) as advance:
        for i, (t, k, b) in enumerate(zip(target, line, batch, strict=True)):
            rng = generator(seed, "screen cell", i)
            level = lines[k] + batches[b] + (effects[t, k] if t >= 0 else 0.0)
            depth = draw_depth(DEPTH, genes.height, rng=rng)
            counts = draw_counts(np.exp(level), depth, inverse_dispersion, rng=rng)
            rows.append(sp.csr_array(counts.astype(np.float32)[None]))
            advance(1)
    return sp.csr_array(sp.vstack(rows, format="csr"))


def _effects_table(effects: NDArray[np.float64], genes: pl.DataFrame) -> pl.DataFrame:
    t, k, j = np.nonzero(effects)
    symbols = genes["feature_name"][j]
    targets = pl.Series(np.array(SYMBOLS)[t])
    return pl.DataFrame(
        {
            "target": targets,
            "cell_line": np.array(CELL_LINES)[k],
            "feature_id": genes["feature_id"][j],
            "feature_name": symbols,
            "log2_fold_change": effects[t, k, j] / np.log(2),
            "kind": (targets == symbols).replace_strict({True: "knockdown", False: "downstream"}),
        }
    )


def _targets_table() -> pl.DataFrame:
    rows = [
        {
            "target": target.symbol,
            "cell_line": line,
            "pathway": target.pathway,
            "strength": strength,
            "has_effect": strength != 0,
        }
        for target in TARGETS
        for line, strength in zip(CELL_LINES, target.strength, strict=True)
    ]
    return pl.DataFrame(rows)


def _write(
    path: Path, counts: sp.csr_array, obs: pl.DataFrame, genes: pl.DataFrame, uns: Mapping[str, object]
) -> None:
    import anndata as ad

    names = [f"simulated-{i:06d}" for i in range(obs.height)]
    adata = ad.AnnData(
        X=counts,
        obs=obs.to_pandas().set_axis(names),
        var=genes.to_pandas().set_index("feature_id"),
        uns=dict(uns),
    )
    with atomic_file(path) as aside:
        adata.write_h5ad(aside, compression="gzip")
