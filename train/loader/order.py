"""The order of an epoch: which rows stand in which batch, the same whatever reads them.

1. the rows of a split are cut into chunks that lie together on disk; an epoch shuffles the chunks;
2. chunks are taken in groups, and the rows of a group are shuffled among themselves;
3. the groups, one after the other, are cut into batches;
4. ranks, and workers inside a rank, take every n-th batch: no cell twice, and as many batches a rank, of
   which the epoch's last may not be full.

Since shards were shuffled when they were written, a group is a random sample of the split. Any batch can be
found without those before it, which is what going on in the midst of an epoch needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_CELLS = 512
GROUP_CHUNKS = 64


@dataclass(frozen=True, eq=False)
class EpochOrder:
    """The order of one epoch.

    Attributes
    ----------
    n_cells
        Rows of the split.
    batch_size
        Rows of a batch.
    seed, epoch
        What the order is drawn from.
    times
        int64 [n_cells], how often each row stands in the epoch; once when None.
    """

    n_cells: int
    batch_size: int
    seed: int
    epoch: int
    times: NDArray[np.int64] | None = None
    is_shuffled: bool = True

    @cached_property
    def n_rows(self) -> int:
        """Rows of all batches together."""
        return self.n_cells if self.times is None else int(self.times.sum())

    def n_batches(self, *, n_ranks: int = 1, drop_last: bool) -> int:
        """Return the batches of a rank: the same for all ranks, at most n_ranks - 1 batches are left out.

        All are full but for the last of the epoch, which the last rank may have: then it has fewer cells.
        """
        whole, rest = divmod(self.n_rows, self.batch_size)
        n_all = whole + (0 if drop_last or not rest else 1)
        return n_all // n_ranks

    def batch(self, number: int) -> NDArray[np.int64]:
        """Return the rows of a batch, int64 [batch_size] (fewer in the last), in its order."""
        first = number * self.batch_size
        stop = min(first + self.batch_size, self.n_rows)
        group = int(np.searchsorted(self._group_edges, first, side="right")) - 1
        parts = []
        while first < stop:
            start = int(self._group_edges[group])
            rows = self._group(group)
            parts.append(rows[first - start : stop - start])
            first += parts[-1].size
            group += 1
        return np.concatenate(parts)

    @cached_property
    def _chunks(self) -> NDArray[np.int64]:
        n_chunks = -(-self.n_cells // CHUNK_CELLS)
        if not self.is_shuffled:
            return np.arange(n_chunks)
        return np.random.default_rng([self.seed, self.epoch]).permutation(n_chunks)

    @cached_property
    def _group_edges(self) -> NDArray[np.int64]:
        """int64 [n_groups + 1], the place in the epoch at which each group begins."""
        starts = np.arange(0, self.n_cells, CHUNK_CELLS)
        if self.times is None:
            n_rows = np.minimum(starts + CHUNK_CELLS, self.n_cells) - starts
        else:
            n_rows = np.add.reduceat(self.times, starts)
        firsts = np.arange(0, self._chunks.size, GROUP_CHUNKS)
        return np.concatenate([[0], np.cumsum(np.add.reduceat(n_rows[self._chunks], firsts))])

    @cached_property
    def _group(self):  # type: ignore[no-untyped-def]
        return lru_cache(maxsize=4)(self._make_group)

    def _make_group(self, number: int) -> NDArray[np.int64]:
        chunks = self._chunks[number * GROUP_CHUNKS : (number + 1) * GROUP_CHUNKS]
        spans = [
            np.arange(c * CHUNK_CELLS, min((c + 1) * CHUNK_CELLS, self.n_cells)) for c in chunks.tolist()
        ]
        rows = np.concatenate(spans)
        if self.times is not None:
            rows = np.repeat(rows, self.times[rows])
        if self.is_shuffled:
            rows = np.random.default_rng([self.seed, self.epoch, 1 + number]).permutation(rows)
        return rows


def weighted_times(weights: NDArray[np.floating], *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Draw how often each row stands in an epoch, as many rows as there are, in proportion to weights.

    Systematic resampling in a random order of the rows: a row of mean frequency f stands floor(f) or ceil(f)
    times, f in the mean over epochs.

    Parameters
    ----------
    weights
        [n], not negative, not all 0.

    Returns
    -------
    int64 [n], summing to n.
    """
    rng = np.random.default_rng([seed, epoch, 0])
    order = rng.permutation(weights.size)
    wide = np.asarray(weights, np.float64)[order]
    edges = np.cumsum(wide)
    edges *= weights.size / edges[-1]
    # How many of the points u, u + 1, … lie below each edge.
    below = np.ceil(edges - rng.random()).clip(0, weights.size)
    below[-1] = weights.size
    times = np.empty(weights.size, np.int64)
    times[order] = np.diff(below, prepend=0).astype(np.int64)
    return times
