from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy.sparse as sp

from curate.evaluate.integration.diffusion import diffusion_neighbors
from curate.evaluate.integration.distances import Neighbors, neighbors_of
from curate.evaluate.integration.graphs import connectivities, directed, largest_share, union

if TYPE_CHECKING:
    from tests.evaluate.integration.conftest import Iris


def test_strengths_add_up_to_the_logarithm_of_the_neighbours(iris: Iris) -> None:
    neighbors = neighbors_of(iris.vectors, 15)
    graph = connectivities(neighbors).toarray()
    assert np.allclose(graph, graph.T)
    # a + b - a b, taken apart again for the pairs of which one alone is a neighbour of the other.
    near = directed(neighbors).toarray()
    one_way = near & ~near.T
    np.fill_diagonal(one_way, False)
    cell = one_way.sum(axis=1).argmax()
    rho = neighbors.distances[cell, 1:][neighbors.distances[cell, 1:] > 0].min()
    d = neighbors.distances[cell, 1:]
    widths = np.geomspace(1e-4, 1e2, 200_001)
    sums = np.exp(-np.maximum(d - rho, 0)[:, None] / widths).sum(axis=0)
    width = widths[np.abs(sums - np.log2(15)).argmin()]
    strengths = np.zeros(150)
    strengths[neighbors.indices[cell, 1:]] = np.exp(-np.maximum(d - rho, 0) / width)
    others = np.flatnonzero(one_way[cell])
    assert others.size > 3
    assert graph[cell, others] == pytest.approx(strengths[others], abs=1e-3)


def test_the_union_joins_cells_of_which_either_is_near_the_other() -> None:
    # 0 is nearest to 1, 1 and 2 to each other.
    neighbors = neighbors_of(np.array([[0.0], [1.5], [2.5], [9.0]]), 2)
    assert directed(neighbors).toarray().astype(int).tolist() == [
        [1, 1, 0, 0],
        [0, 1, 1, 0],
        [0, 1, 1, 0],
        [0, 0, 1, 1],
    ]
    assert union(neighbors).toarray().astype(int).tolist() == [
        [0, 1, 0, 0],
        [1, 0, 1, 0],
        [0, 1, 0, 1],
        [0, 0, 1, 0],
    ]
    assert largest_share(union(neighbors), is_directed=False) == 1
    assert largest_share(directed(neighbors), is_directed=True) == 0.5


def test_doubles_are_joined_as_strongly_as_can_be() -> None:
    neighbors = Neighbors(np.array([[0, 1], [1, 0]]), np.zeros((2, 2)))
    assert connectivities(neighbors).toarray().tolist() == [[0, 1], [1, 0]]


def test_diffusion_finds_neighbours_along_a_path() -> None:
    # A path whose ends lie side by side: along it they are far apart.
    n = 30
    path = sp.csr_array(np.eye(n, k=1) + np.eye(n, k=-1))
    found = diffusion_neighbors(path, 3).indices
    assert (np.abs(found - np.arange(n)[:, None]).max(axis=1) <= 3).all()


def test_diffusion_is_the_same_each_time() -> None:
    rng = np.random.default_rng(0)
    graph = connectivities(neighbors_of(rng.normal(size=(400, 3)), 15))
    first, second = (diffusion_neighbors(graph, 20, n_components=10) for _ in range(2))
    assert first.distances.tobytes() == second.distances.tobytes()


def test_diffusion_by_all_or_some_eigenvectors_is_of_the_same_kind() -> None:
    # 400 cells of 30 components are solved sparsely, of 140 densely.
    rng = np.random.default_rng(0)
    graph = connectivities(neighbors_of(rng.normal(size=(400, 3)), 15))
    some, all_of_them = (diffusion_neighbors(graph, 20, n_components=n).indices for n in (130, 140))
    pairs = zip(some.tolist(), all_of_them.tolist(), strict=True)
    assert np.mean([len({*a} & {*b}) / 20 for a, b in pairs]) > 0.9
