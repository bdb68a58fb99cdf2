"""Neighbours by diffusion on a graph: as many for each cell, whatever the density."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import eigsh

from curate.evaluate.integration.distances import Neighbors, neighbors_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_COMPONENTS: Final = 100
NEAR_ONE: Final = 1e-7
"""How near to 1 an eigenvalue is taken for 1: what is 1 in 32 bits, in which scib-metrics compares."""


def diffusion_neighbors(graph: sp.csr_array, k: int, *, n_components: int = N_COMPONENTS) -> Neighbors:
    """Return the `k` nearest cells of each cell in a diffusion map, itself counted.

    Haghverdi et al., Nature Methods 2016, doi 10.1038/nmeth.3971, as in scib-metrics: density-normalised
    transitions, eigenvectors scaled by λ / (1 - λ). Other than there, the eigenvectors are found from one
    start, and the neighbours exactly.

    Parameters
    ----------
    graph
        float64 [n_cells, n_cells], symmetric, connected.
    """
    values, vectors = _largest(_transitions(graph), min(n_components, graph.shape[0] - 1))
    is_one = np.abs(values - 1) < NEAR_ONE
    scale = np.where(is_one, 1.0, values / np.where(is_one, 1.0, 1 - values))
    return neighbors_of(vectors * scale, k)


def _transitions(graph: sp.csr_array) -> sp.csr_array:
    """Return density-normalised transitions, made symmetric."""
    normed = _divided(graph, np.asarray(graph.sum(axis=0)))
    return _divided(normed, np.sqrt(np.asarray(normed.sum(axis=0))))


def _divided(graph: sp.csr_array, by: NDArray[np.float64]) -> sp.csr_array:
    inverse = sp.diags_array(1 / by)
    return sp.csr_array(inverse @ graph @ inverse)


def _largest(matrix: sp.csr_array, k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the k eigenvalues of largest magnitude and their vectors, [n, k]."""
    n = matrix.shape[0]
    if n <= 3 * k:
        values, vectors = np.linalg.eigh(matrix.toarray())
        chosen = np.sort(np.argsort(-np.abs(values), kind="stable")[:k])
        return values[chosen], vectors[:, chosen]
    # Without a start of its own, eigsh draws one from the system.
    start = np.random.default_rng(0).random(n)
    values, vectors = eigsh(matrix, k=k, which="LM", v0=start)
    return values, vectors
