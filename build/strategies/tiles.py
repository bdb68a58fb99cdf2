"""Which cells lie in which tile of the store, and how many tiles a choice of cells reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.build.strategies.strata import stratify

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

TILE_CELLS = 2048
"""Joinids of one tile of X in a Census: reading one cell of a tile decompresses most of it."""
DATASET, JOINID = "dataset_id", "soma_joinid"


@dataclass(frozen=True)
class Pieces:
    """The cells of one dataset in one tile, for every such pair that occurs, ordered by dataset, then tile.

    Attributes
    ----------
    dataset, tile, n_cells
        int64 [n_pieces]: number of the dataset (in the order of its id), of the tile, and cells.
    of_cell
        uint32 [n_cells], the piece of each cell.
    """

    dataset: NDArray[np.int64]
    tile: NDArray[np.int64]
    n_cells: NDArray[np.int64]
    of_cell: NDArray[np.uint32]

    @property
    def n_tiles(self) -> int:
        """The number of tiles that hold a cell."""
        return np.unique(self.tile).size

    @property
    def n_datasets(self) -> int:
        """The number of datasets."""
        return int(self.dataset.max()) + 1


def find_pieces(cells: pl.DataFrame, *, tile_cells: int) -> Pieces:
    """Group cells by dataset and tile.

    Parameters
    ----------
    cells
        Columns soma_joinid and dataset_id.
    tile_cells
        Joinids of one tile: joinid // tile_cells is its number, whichever cells are there.

    Notes
    -----
    Cells of a dataset follow each other in a Census, so that the work is that of one pass. Memory: 16 bytes a
    cell for a moment, 4 of them returned.
    """
    dataset = stratify(cells.select(DATASET), [DATASET]).codes
    tile = cells[JOINID].to_numpy() // tile_cells
    # One entry a run of equal pairs is little to sort, however many the cells are.
    changes = (dataset[1:] != dataset[:-1]) | (tile[1:] != tile[:-1])
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
    lengths = np.diff(np.append(starts, tile.size))
    pair = dataset[starts].astype(np.int64) * (int(tile.max()) + 1) + tile[starts]
    _, first, piece_of_run = np.unique(pair, return_index=True, return_inverse=True)
    n_cells = np.bincount(piece_of_run, weights=lengths).astype(np.int64)
    at = starts[first]
    of_cell = np.repeat(piece_of_run.astype(np.uint32), lengths)
    return Pieces(dataset[at].astype(np.int64), tile[at], n_cells, of_cell)


def tiles_of_random(pieces: Pieces, n: int) -> float:
    """Return how many tiles a uniform choice of `n` cells is expected to touch.

    A tile of c of the N cells is missed with probability C(N - c, n) / C(N, n).
    """
    from scipy.special import gammaln

    _, tile = np.unique(pieces.tile, return_inverse=True)
    held = np.bincount(tile, weights=pieces.n_cells)
    total = held.sum()
    can_miss = held <= total - n
    c = held[can_miss]
    log_missed = (
        gammaln(total - c + 1) - gammaln(total - c - n + 1) - gammaln(total + 1) + gammaln(total - n + 1)
    )
    return float(held.size - np.exp(log_missed).sum())
