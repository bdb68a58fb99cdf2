"""Where every cell of a manifest goes: shuffled once within its split, cut into shards."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.manifests.document import SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.manifests.document import Split


@dataclass(frozen=True)
class Piece:
    """One shard to be: rows `first` … `stop` - 1 of the shuffled cells, all of one split."""

    split: Split
    number: int
    first: int
    stop: int

    @property
    def name(self) -> str:
        """How its files are called."""
        return f"{self.split}-{self.number:05d}"


@dataclass(frozen=True)
class ShardPlan:
    """The order of the cells in the shards.

    Attributes
    ----------
    row_of
        int64 [n_cells]: the row that each cell of the manifest, in the manifest's order, gets in the shards.
    pieces
        The shards, in the order of their rows: train, val, test.
    """

    row_of: NDArray[np.int64]
    pieces: tuple[Piece, ...]

    @property
    def cell_of(self) -> NDArray[np.int64]:
        """int64 [n_cells]: the cell of the manifest that stands in each row."""
        cells = np.empty(self.row_of.size, np.int64)
        cells[self.row_of] = np.arange(self.row_of.size)
        return cells


def make_plan(split: NDArray[np.uint8], *, manifest_id: str, seed: int, shard_cells: int) -> ShardPlan:
    """Shuffle the cells of each split and cut them into shards of nearly equal size.

    The order depends on the manifest's id and the seed alone.

    Parameters
    ----------
    split
        uint8 [n_cells], an index into SPLITS.
    shard_cells
        Most cells of a shard.
    """
    digest = hashlib.sha256(f"shards\0{manifest_id}\0{seed}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:16], "little"))
    row_of = np.empty(split.size, np.int64)
    pieces: list[Piece] = []
    first = 0
    for code, name in enumerate(SPLITS):
        cells = np.flatnonzero(split == code)
        row_of[cells] = first + rng.permutation(cells.size)
        n_shards = -(-cells.size // shard_cells)
        edges = first + np.linspace(0, cells.size, n_shards + 1).astype(np.int64)
        pieces += [Piece(name, k, int(edges[k]), int(edges[k + 1])) for k in range(n_shards)]
        first += cells.size
    return ShardPlan(row_of, tuple(pieces))
