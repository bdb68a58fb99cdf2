"""The counts of a split in blocks, row by row in order, for what passes over cells and is not trained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from curate.train.shards.kernels import take_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from curate.manifests.document import Split
    from curate.train.shards.shards import Shard, Shards

BLOCK_CELLS = 2048


@dataclass(frozen=True)
class CellBlock:
    """The counts of some cells.

    Attributes
    ----------
    counts
        float32 [b, n_genes], of the genes that were asked for; indices ascend inside a cell.
    totals
        float64 [b], over all genes.
    """

    counts: sp.csr_array
    totals: NDArray[np.float64]


@dataclass(frozen=True)
class ShardCounts:
    """The counts of a split; a cell is named by its row in the split. Memory: a block at a time."""

    shards: Shards
    split: Split = "train"

    @property
    def n_genes(self) -> int:
        """Number of genes of the shards."""
        return self.shards.header.n_genes

    def blocks(
        self, runs: Sequence[NDArray[np.int64]], genes: NDArray[np.int64] | None = None
    ) -> Iterator[CellBlock]:
        """Yield the counts of some cells, in their order.

        Parameters
        ----------
        runs
            Rows of the split, each array ascending; a row may stand more than once.
        genes
            Ascending positions; all genes when None.
        """
        for rows in runs:
            of_shard = np.searchsorted(self._edges, rows, side="right") - 1
            for number in np.unique(of_shard).tolist():
                shard, first = self._parts[number], int(self._edges[number])
                within = rows[of_shard == number] - first
                for start in range(0, within.size, BLOCK_CELLS):
                    yield self._block(shard, within[start : start + BLOCK_CELLS], genes)

    def _block(self, shard: Shard, rows: NDArray[np.int64], genes: NDArray[np.int64] | None) -> CellBlock:
        indptr, indices, data = take_rows(shard.indptr, shard.indices, shard.data, rows)
        totals = np.diff(np.concatenate([[0], np.cumsum(data, dtype=np.int64)])[indptr]).astype(np.float64)
        n_genes = self.n_genes
        if genes is not None:
            n_genes = genes.size
            place = np.full(self.n_genes, -1, np.int64)
            place[genes] = np.arange(n_genes)
            wanted = place[indices]
            is_wanted = wanted >= 0
            indptr = np.concatenate([[0], np.cumsum(is_wanted)])[indptr]
            indices, data = wanted[is_wanted], data[is_wanted]
        arrays = (data.astype(np.float32), indices.astype(np.int64), indptr)
        return CellBlock(sp.csr_array(arrays, shape=(rows.size, n_genes)), totals)

    @cached_property
    def _parts(self) -> list[Shard]:
        return self.shards.split(self.split)

    @cached_property
    def _edges(self) -> NDArray[np.int64]:
        return np.array([part.first_row for part in self._parts]) - self.shards.rows(self.split).start
