"""The same counts: cells of the corpus whose counts over the shared genes an evaluation cell has too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.build.leakage.near import KEPT_A_CELL
from curate.build.leakage.packed import MAX_COUNT, Packed
from curate.content import content_hashes, gene_keys

if TYPE_CHECKING:
    import scipy.sparse as sp
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ExactIndex:
    """Hashes of evaluation cells' counts over some shared genes, sorted.

    Attributes
    ----------
    keys
        uint64 [n_genes], 0 for genes that are not shared.
    hashes, cells
        uint64 and int64 [n], of the cells whose counts are known and say enough.
    """

    keys: NDArray[np.uint64]
    hashes: NDArray[np.uint64]
    cells: NDArray[np.int64]

    @classmethod
    def of(cls, packed: Packed, shared: NDArray[np.bool_], usable: NDArray[np.bool_]) -> ExactIndex:
        """Index the usable cells (bool [n_cells])."""
        keys = gene_keys([str(number) for number in range(packed.n_genes)])
        keys = np.where(shared, keys, np.uint64(0))
        hashes = np.empty(packed.n_cells, np.uint64)
        for cells, counts in packed.csr_chunks():
            hashes[cells] = content_hashes(counts, keys)
        order = np.flatnonzero(usable & (hashes != 0))
        order = order[np.argsort(hashes[order], kind="stable")]
        return cls(keys, hashes[order], order)

    def search(self, counts: sp.csr_array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the pairs of equal counts: row of `counts` [n, n_genes], evaluation cell."""
        if not len(self.hashes):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        capped = counts.copy()
        capped.data = np.minimum(capped.data, MAX_COUNT)
        hashes = content_hashes(capped, self.keys)
        first = np.searchsorted(self.hashes, hashes, side="left")
        n = np.searchsorted(self.hashes, hashes, side="right") - first
        n[hashes == 0] = 0
        n = np.minimum(n, KEPT_A_CELL)
        rows = np.repeat(np.arange(len(hashes)), n)
        nth = np.arange(len(rows)) - np.repeat(np.cumsum(n) - n, n)
        return rows, self.cells[first[rows] + nth]
