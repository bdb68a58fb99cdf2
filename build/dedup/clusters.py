"""Clusters of like directions: spherical k-means in two levels, the same on every machine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from curate.build.dedup.kernels import nearest_centres, nearest_leaves, sums_of
from curate.build.strategies.keys import smallest_keys
from curate.threads import mapped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.build.dedup.cells import Cells

N_NEAREST = 8
"""Clusters in which a cell is looked for."""
N_BRANCHES = 4
"""Clusters of the first level below which the nearest of the second are looked for."""
FITTED_PER_CLUSTER = 32
N_ROUNDS = 8
_BLOCK = 2**14


@dataclass(frozen=True)
class Clusters:
    """Centres of clusters, those of the second level grouped by the first.

    Attributes
    ----------
    tops
        float32 [d, n_tops], of length 1.
    leaves
        float32 [n, d], of length 1.
    starts
        int64 [n_tops + 1]: the leaves below a top are ``starts[top]`` … ``starts[top + 1]``.
    """

    tops: NDArray[np.float32]
    leaves: NDArray[np.float32]
    starts: NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of clusters."""
        return len(self.leaves)

    @classmethod
    def fit(cls, cells: Cells, *, cluster_cells: int) -> Clusters:
        """Find clusters of about `cluster_cells` cells, on those with the smallest keys.

        Sums are taken in 64 bits in the order of the keys, by one thread.
        """
        n_clusters = -(-cells.n // cluster_cells)
        n_fitted = min(cells.n, FITTED_PER_CLUSTER * n_clusters)
        sample = cells.units(cells.by_key(smallest_keys(cells.keys, np.array([n_fitted]))))
        sample = sample[(sample != 0).any(axis=1)]
        tops, top_of = _kmeans(sample, math.isqrt(n_clusters))
        leaves = []
        for top in range(len(tops)):
            below = sample[top_of == top]
            share = round(n_clusters * len(below) / max(len(sample), 1))
            leaves.append(_kmeans(below, max(1, share))[0] if len(below) else tops[top : top + 1])
        starts = np.cumsum([0, *map(len, leaves)])
        return cls(np.ascontiguousarray(tops.T), np.concatenate(leaves), starts)

    def nearest(self, cells: Cells, *, n_threads: int) -> NDArray[np.int32]:
        """Return the clusters nearest to each cell, int32 [n, 8], the nearest first.

        -1 where there are fewer, and for vectors of length 0.
        """
        # Below each top its leaves by dimension, so that a cell meets them as rows.
        panels = np.concatenate([self.leaves[a:b].T.ravel() for a, b in pairwise(self.starts.tolist())])
        found = np.full((cells.n, N_NEAREST), -1, dtype=np.int32)

        def look(start: int) -> None:
            places = np.arange(start, min(start + _BLOCK, cells.n))
            nearest_leaves(
                cells.units(places), self.tops, panels, self.starts, N_BRANCHES, found[start : start + _BLOCK]
            )

        for _ in mapped(look, range(0, cells.n, _BLOCK), n_threads=n_threads):
            pass
        return found


def _kmeans(units: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return up to `k` centres of length 1 [k, d], begun at the first units, and the nearest of each unit."""
    centres = units[:k].copy() if len(units) else np.zeros((1, units.shape[1]), dtype=np.float32)
    for _ in range(N_ROUNDS):
        sums = sums_of(units, nearest_centres(units, np.ascontiguousarray(centres.T)), len(centres))
        lengths = np.sqrt((sums**2).sum(axis=1))
        is_met = lengths > 0
        centres[is_met] = (sums[is_met] / lengths[is_met, None]).astype(np.float32)
    return centres, nearest_centres(units, np.ascontiguousarray(centres.T))
