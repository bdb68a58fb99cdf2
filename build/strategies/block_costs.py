"""What a choice of blocks costs against a random one of as many cells, measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from curate.build.diversity.coverage import N_PROBES, coverage_distance
from curate.build.diversity.labels import shannon_bits
from curate.build.strategies.block_draw import draw_blocks, tiles_budget
from curate.build.strategies.block_plan import CIRCLE, BlockPlan, make_plan
from curate.build.strategies.keys import smallest_keys
from curate.build.strategies.strata import stratify
from curate.build.strategies.tiles import find_pieces, tiles_of_random

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from curate.build.selection import Selection

N_DRAWS = 50
"""Draws of blocks that the variance is measured over."""


def block_costs(
    cells: pl.DataFrame,
    embedding: NDArray[np.float32] | None,
    selection: Selection,
    *,
    labels: pl.Series,
    keys: NDArray[np.uint64],
    rng: np.random.Generator,
    embedding_rows: NDArray[np.int64] | None = None,
    tiles: int | float | str,
    tile_cells: int,
) -> dict[str, int | float | str]:
    """Compare a choice of blocks with the random one of the same keys and size.

    Parameters
    ----------
    cells, keys, tiles, tile_cells
        As given to `blocks`.
    embedding
        float32 [n_embedded, d], or None: coverage is then not measured.
    embedding_rows
        int64 [n_cells], the row of each cell in `embedding`; row by row when None.
    labels
        [n_cells], the obs column whose composition is compared, such as cell_type.

    Returns
    -------
    dict
        n_tiles_read_by_random (expected); design_effect of the labels' shares; shannon_bits of the labels
        of the chosen cells, and of random ones; coverage_distance and that of random.
    """
    n = selection.rows.size
    pieces = find_pieces(cells, tile_cells=tile_cells)
    plan = make_plan(pieces, n, budget=tiles_budget(tiles, n, pieces))
    codes = stratify(labels.to_frame(), [labels.name]).codes
    random_rows = smallest_keys(keys, np.array([n]))
    costs: dict[str, int | float | str] = {
        "n_tiles_read_by_random": round(tiles_of_random(pieces, n), 1),
        "design_effect": round(
            design_effect(plan, plan.of_piece.astype(np.uint32)[pieces.of_cell], codes, rng=rng), 3
        ),
        "shannon_bits": round(shannon_bits(np.bincount(codes[selection.rows])), 4),
        "shannon_bits_of_random": round(shannon_bits(np.bincount(codes[random_rows])), 4),
    }
    if embedding is not None:
        probes = np.sort(rng.choice(keys.size, min(N_PROBES, keys.size), replace=False))
        for name, rows in (("", selection.rows), ("_of_random", random_rows)):
            at, from_cells = (
                each if embedding_rows is None else embedding_rows[each] for each in (rows, probes)
            )
            distance = coverage_distance(embedding, at, probes=from_cells)
            costs[f"coverage_distance{name}"] = round(distance, 4)
    return costs


def design_effect(
    plan: BlockPlan,
    block_of_cell: NDArray[np.integer],
    codes: NDArray[np.unsignedinteger],
    *,
    rng: np.random.Generator,
    n_draws: int = N_DRAWS,
) -> float:
    """Return how many times larger the variance of label shares is than of a random choice of as many cells.

    Both variances are summed over labels. That of the blocks is the variance over draws of what a draw is
    expected to say, plus the mean variance of the cells inside the drawn blocks, which has a formula: so few
    draws suffice. A subset with a design effect of 4 says as much about composition as a random one of a
    quarter of its cells.

    Parameters
    ----------
    block_of_cell
        [n_cells], the block of each cell.
    codes
        [n_cells], the label of each cell as a number.

    Notes
    -----
    Memory: 8 bytes a cell, and 8 for every pair of a block and a label.

    References
    ----------
    Kish, Survey Sampling, Wiley 1965, section 8.2; Särndal, Swensson & Wretman 1992, sections 2.10 and 4.3.
    """
    total, n = int(plan.n_cells.sum()), int(plan.quotas.sum())
    shares = np.bincount(codes) / total
    of_random = (shares * (1 - shares)).sum() / n * (total - n) / max(total - 1, 1)
    if of_random == 0:
        return 1.0
    n_labels = shares.size
    counts = np.bincount(
        block_of_cell.astype(np.int64) * n_labels + codes, minlength=plan.n_cells.size * n_labels
    )
    within = sp.csr_array(counts.reshape(plan.n_cells.size, n_labels) / plan.n_cells[:, None])
    unlike = 1 - np.asarray(within.power(2).sum(axis=1), dtype=np.float64)
    weight = (plan.weights() / total)[plan.stratum]
    expected, inside = [], []
    for _ in range(n_draws):
        taken = draw_blocks(plan, int(rng.integers(CIRCLE)), rng=rng)
        expected.append(np.asarray(within.T @ (weight * taken)))
        left = (plan.n_cells - taken) / np.maximum(plan.n_cells - 1, 1)
        inside.append((weight**2 * taken * left * unlike).sum())
    return float((np.var(expected, axis=0, ddof=1).sum() + np.mean(inside)) / of_random)
