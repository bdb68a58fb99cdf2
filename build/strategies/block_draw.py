"""Which tiles to read, and how many cells to take from each block of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from curate.build.strategies.settings import as_number
from curate.errors import SelectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.build.strategies.block_plan import BlockPlan
    from curate.build.strategies.tiles import Pieces

TILES_PER_FRACTION = 5
"""By default a fraction f of the cells comes from at most 5 f of the tiles."""


def draw_blocks(plan: BlockPlan, u: int, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw blocks from a start `u` below CIRCLE; return how many cells to take of each, int64 [n_blocks].

    In the mean over `u`, every block gives the share of its stratum's quota that it has of the cells.
    """
    taken = np.zeros(plan.n_cells.size, dtype=np.int64)
    starts = plan.starts(u)
    for number, own in enumerate(plan.strata()):
        quota, n_draws = int(plan.quotas[number]), int(plan.n_draws[number])
        # In whole points, so that probabilities are exact: every cell is n_draws points long.
        at = starts[number] + plan.stratum_cells[number] * np.arange(n_draws)
        drawn = np.searchsorted(np.cumsum(plan.n_cells[own]) * n_draws, at, side="right")
        least, rest = divmod(quota, n_draws)
        asked = np.full(n_draws, least)
        asked[rng.permutation(n_draws)[:rest]] += 1
        np.add.at(taken[own], drawn, asked)
    return taken


def tiles_budget(tiles: int | float | str, n: int, pieces: Pieces) -> int:
    """Return the most tiles that may be read for `n` cells, at least one and at most all that hold a cell."""
    tiles = parse_tiles(tiles)
    if isinstance(tiles, str):
        asked = TILES_PER_FRACTION * n * pieces.n_tiles // int(pieces.n_cells.sum())
    else:
        asked = tiles if isinstance(tiles, int) else math.floor(tiles * pieces.n_tiles)
    return min(max(asked, 1), pieces.n_tiles)


def parse_tiles(value: object) -> int | float | str:
    """Read `tiles`: "auto", a whole number of tiles from 1, or a fraction of them below 1."""
    if value == "auto":
        return "auto"
    number = as_number(value)
    if number >= 1 and number.is_integer():
        return int(number)
    if 0 < number < 1:
        return number
    raise SelectionError(
        f"tiles={value} is neither auto, nor a number of tiles, nor a fraction between 0 and 1"
    )
