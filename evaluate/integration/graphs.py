"""Graphs of neighbours: who is near whom, how strongly, and what can be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.evaluate.integration.distances import Neighbors

TOLERANCE: Final = 1e-5
N_HALVINGS: Final = 64
LEAST_WIDTH: Final = 1e-3
"""Of UMAP: sums are met to the first within so many halvings; a width is at least so much of a mean."""


def directed(neighbors: Neighbors) -> sp.csr_array:
    """Return the graph from each cell to its neighbours, bool [n_cells, n_cells]."""
    n, k = neighbors.indices.shape
    ones = np.ones(n * k, bool)
    return sp.csr_array((ones, neighbors.indices.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))


def union(neighbors: Neighbors) -> sp.csr_array:
    """Return the graph of cells of which either is a neighbour of the other, bool, without loops."""
    graph = directed(neighbors)
    both = sp.csr_array(graph.maximum(graph.T))
    both.setdiag(False)
    both.eliminate_zeros()
    return both


def connectivities(neighbors: Neighbors) -> sp.csr_array:
    """Return how strongly cells are joined, as UMAP does it: float64 [n_cells, n_cells], symmetric.

    McInnes et al., arXiv 1802.03426; umap-learn's `fuzzy_simplicial_set` with a union of both directions.
    """
    distances = neighbors.distances[:, 1:]
    strengths = np.exp(-_beyond_nearest(distances) / _widths(distances)[:, None])
    n, k = strengths.shape
    made = (strengths.ravel(), neighbors.indices[:, 1:].ravel(), np.arange(0, n * k + 1, k))
    one_way = sp.csr_array(made, shape=(n, n))
    other_way = one_way.T.tocsr()
    return sp.csr_array(one_way + other_way - one_way * other_way)


def largest_share(graph: sp.csr_array, *, is_directed: bool) -> float:
    """Return the share of the nodes in the largest component (strongly connected where it is directed)."""
    _, component = connected_components(graph, directed=is_directed, connection="strong")
    return float(np.bincount(component).max() / component.size)


def _nearest_beyond(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the smallest distance that is not 0, [n, 1]; 0 where there is none."""
    positive = np.where(distances > 0, distances, np.inf).min(axis=1, keepdims=True)
    return np.asarray(np.where(np.isfinite(positive), positive, 0.0))


def _beyond_nearest(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.maximum(distances - _nearest_beyond(distances), 0), np.float64)


def _widths(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the width of each cell's kernel: its strengths add up to log2 of the neighbours."""
    n, k = distances.shape
    beyond = _beyond_nearest(distances)
    target = np.log2(k + 1)
    low, high, width = np.zeros(n), np.full(n, np.inf), np.ones(n)
    active = np.arange(n)
    for _ in range(N_HALVINGS):
        total = np.exp(-beyond[active] / width[active, None]).sum(axis=1)
        active, total = active[(off := np.abs(total - target) >= TOLERANCE)], total[off]
        if not active.size:
            break
        is_wide = total > target
        high[active[is_wide]] = width[active[is_wide]]
        low[active[~is_wide]] = width[active[~is_wide]]
        width[active] = np.where(np.isinf(high[active]), 2 * width[active], (low[active] + high[active]) / 2)
    # Where all distances are 0, the mean over all cells stands in for the cell's own. The cell counts too.
    own_mean = distances.sum(axis=1) / (k + 1)
    mean = np.where(_nearest_beyond(distances)[:, 0] > 0, own_mean, own_mean.mean())
    width = np.maximum(width, LEAST_WIDTH * mean)
    return np.asarray(np.maximum(width, np.finfo(np.float64).tiny))
