"""Two-stage choice: few tiles of the store first, cells inside them second."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.build.selection import Parameter, Selection, Strategy, check_n
from curate.build.strategies.block_costs import block_costs
from curate.build.strategies.block_draw import draw_blocks, parse_tiles, tiles_budget
from curate.build.strategies.block_plan import CIRCLE, BlockPlan, make_plan
from curate.build.strategies.keys import smallest_keys
from curate.build.strategies.settings import whole
from curate.build.strategies.tiles import DATASET, JOINID, TILE_CELLS, Pieces, find_pieces

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray


def blocks(
    cells: pl.DataFrame,
    embedding: NDArray[np.float32] | None,
    n: int,
    *,
    keys: NDArray[np.uint64],
    rng: np.random.Generator,
    tiles: int | float | str = "auto",
    tile_cells: int = TILE_CELLS,
) -> Selection:
    """Choose `n` cells from few tiles of the store, so that reading their counts is cheap.

    Every dataset is a stratum and gets its share of `n`, at least one cell. Its cells in one tile, with those
    of the next tiles where they are few, are a block. Blocks are drawn with probability proportional to
    their cells, systematically in joinid order from a random start, and every draw takes the same number of
    cells, those with the smallest keys. So all cells of a dataset are equally likely to be chosen: cells
    chosen over cells there are, exactly. The weights are the inverse; weighted counts are Horvitz-Thompson
    estimates, unbiased for the totals of the cells, and exact for the cells of a dataset.

    Parameters
    ----------
    cells
        Columns soma_joinid and dataset_id.
    tiles
        The most tiles to read: a number, a fraction of those that hold a cell to choose from, or "auto" for
        five times the fraction of cells. Where not every dataset can contribute
        within it, or `n` does not fit, more are read and a note says how many. With a budget of all tiles the
        choice is a stratified random one.
    tile_cells
        Joinids of a tile; 2,048 in a Census.

    Raises
    ------
    SelectionError
        When `n` is 0 or more than there are cells, or `tiles` is no budget.

    Notes
    -----
    Cells of a tile resemble each other, so that `n` of them tell less about the corpus than `n` of `random`;
    `curate.build.strategies.block_costs` measures how much less. Where `n` is less than the datasets, all
    cells make one stratum and some datasets have none.

    References
    ----------
    Cochran, Sampling Techniques, 3rd ed., Wiley 1977, chapters 9A (probability proportional to size), 10 and
    11 (two-stage sampling); Särndal, Swensson & Wretman, Model Assisted Survey Sampling, Springer 1992,
    sections 2.8 (the pi estimator of Horvitz and Thompson), 3.6 (systematic draws with probability
    proportional to size, after Madow 1949) and 4.3 (two stages).
    """
    del embedding
    check_n(n, keys.size)
    pieces = find_pieces(cells, tile_cells=parse_tile_cells(tile_cells))
    budget = tiles_budget(tiles, n, pieces)
    plan = make_plan(pieces, n, budget=budget)
    rows = smallest_keys(
        keys,
        draw_blocks(plan, int(rng.integers(CIRCLE)), rng=rng),
        codes=plan.of_piece.astype(np.uint32)[pieces.of_cell],
    )
    piece_of_row = pieces.of_cell[rows]
    weights = plan.weights()[plan.stratum[plan.of_piece[piece_of_row]]].astype(np.float32)
    n_read = np.unique(pieces.tile[piece_of_row]).size
    n_datasets = np.unique(pieces.dataset[piece_of_row]).size
    notes: dict[str, int | float | str] = {
        "n_tiles": pieces.n_tiles,
        "n_tiles_read": n_read,
        "n_tiles_read_at_most": plan.tiles_at_most,
        "n_blocks": plan.n_cells.size,
        "n_datasets": pieces.n_datasets,
        "n_datasets_chosen": n_datasets,
        "least_weight": float(weights.min()),
        "largest_weight": float(weights.max()),
    }
    notice = _notice(plan, pieces, n, budget)
    return Selection(rows, weights=weights, notes=notes | ({"notice": notice} if notice else {}))


def _notice(plan: BlockPlan, pieces: Pieces, n: int, budget: int) -> str:
    """Say which promise cannot be kept, and what would keep it; nothing when all are."""
    said = []
    if n < pieces.n_datasets:
        said.append(
            f"{n:,} cells leave out some of {pieces.n_datasets:,} datasets; choose as many cells or more"
        )
    if plan.tiles_at_most > budget:
        said.append(
            f"up to {plan.tiles_at_most:,} of {pieces.n_tiles:,} tiles are read, not {budget:,}: {n:,} cells "
            f"of {plan.n_strata:,} datasets take as many; choose from a larger corpus or fewer datasets"
        )
    return "; ".join(said)


parse_tile_cells = whole("tile_cells", usual=TILE_CELLS)

BLOCKS = Strategy(
    select=blocks,
    summary="Cells from few tiles of the store, cheap to read; every dataset contributes.",
    reference="two-stage sampling, Cochran, Sampling Techniques (Wiley 1977)",
    parameters=(
        Parameter(
            name="tiles",
            default="auto",
            parse=parse_tiles,
            metavar="N|FRACTION|auto",
            help="Tiles to read at most: a number, a fraction, or auto (5 x the fraction of cells).",
        ),
        Parameter(
            name="tile_cells",
            default=TILE_CELLS,
            parse=parse_tile_cells,
            metavar="N",
            help="Joinids of a tile of the store; 2,048 in a Census.",
        ),
    ),
    costs=block_costs,
    reads=(JOINID, DATASET),
    growth="N",
)
