from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components
from scipy.stats import chi2
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.metrics import silhouette_samples
from sklearn.neighbors import kneighbors_graph

from curate.evaluate.integration.distances import Neighbors, geometry, neighbors_of
from curate.evaluate.metrics.integration import (
    batch_variance,
    bras,
    clisi,
    graph_connectivity,
    ilisi,
    isolated_labels,
    kbet,
    kmeans_agreement,
    lisi,
    pcr_comparison,
    totals,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.evaluate.integration.conftest import Iris


def test_the_current_set_is_that_of_scib_metrics_0_5_10(iris: Iris) -> None:
    # What its functions gave for the same vectors, neighbours and groups, in 32 bits.
    seen = geometry(iris.vectors, iris.labels, iris.batches, n_neighbors=90)
    neighbors, labels, batches = seen.neighbors, iris.labels, iris.batches
    assert isolated_labels(seen.of_labels, labels, batches) == pytest.approx(0.74907947, abs=1e-6)
    assert seen.of_labels.mean() / 2 + 0.5 == pytest.approx(0.7490794, abs=1e-6)
    assert kmeans_agreement(iris.vectors, labels) == pytest.approx((0.80569369, 0.75919871), abs=1e-6)
    assert clisi(neighbors, labels) == pytest.approx(0.9593104, abs=1e-5)
    assert ilisi(neighbors, batches) == pytest.approx(0.8576393, abs=1e-5)
    assert bras(iris.vectors, labels, batches).mean() == pytest.approx(0.76311636, abs=1e-6)
    assert kbet(neighbors, labels, batches).tolist() == pytest.approx([0.92, 1.0, 0.84])
    assert graph_connectivity(neighbors, labels).mean() == pytest.approx(0.9933333, abs=1e-6)
    assert pcr_comparison(iris.before, iris.vectors, batches) == pytest.approx(0.8990053, abs=1e-5)


def test_clusters_do_not_depend_on_the_order_of_the_cells(iris: Iris) -> None:
    noise = np.random.default_rng(0).normal(size=(150, 6)).astype(np.float32)
    order = np.random.default_rng(1).permutation(150)
    assert kmeans_agreement(noise, iris.labels) == kmeans_agreement(noise[order], iris.labels[order])


def test_bras_is_one_less_silhouettes_against_all_other_batches(iris: Iris) -> None:
    # Three batches, so that all others are not the nearest one.
    batches = np.arange(150) % 3
    mine = iris.labels == 1
    x = iris.vectors[mine].astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    own = batches[mine]
    by_hand = []
    for i in range(50):
        d = 1 - x @ x[i]
        within = d[own == own[i]].sum() / ((own == own[i]).sum() - 1)
        between = d[own != own[i]].mean()
        by_hand.append(1 - abs(between - within) / max(between, within))
    assert bras(iris.vectors, iris.labels, batches)[1] == pytest.approx(np.mean(by_hand))


def test_bras_of_a_label_in_one_batch_is_not_defined(iris: Iris) -> None:
    batches = np.where(iris.labels == 0, 0, iris.batches)
    assert np.isnan(bras(iris.vectors, iris.labels, batches)).tolist() == [True, False, False]


def test_lisi_is_the_number_of_groups_where_they_are_equally_near() -> None:
    # Cells on a circle, in turn of three groups: all neighbours of a cell are equally far.
    n = 7
    indices = np.stack([(np.arange(n) + step) % n for step in range(n)], axis=1)
    distances = np.where(np.arange(n) == 0, 0.0, 2.0) * np.ones((n, 1))
    groups = np.array([0, 0, 0, 1, 1, 2, 2])
    found = lisi(Neighbors(indices, distances), groups)
    # Of the 6 others of a cell of group 0, two are of each group.
    assert found[0] == pytest.approx(3)
    # Of those of a cell of group 1: 3, 1 and 2.
    assert found[3] == pytest.approx(1 / ((3 / 6) ** 2 + (1 / 6) ** 2 + (2 / 6) ** 2))


def test_weights_of_lisi_have_a_perplexity_of_a_third_of_the_neighbours(iris: Iris) -> None:
    neighbors = neighbors_of(iris.vectors, 31)
    # With a group of its own for each cell, the index is that of the weights themselves.
    found = lisi(neighbors, np.arange(150))
    for cell in (0, 77, 149):
        d = neighbors.distances[cell, 1:]
        betas = np.geomspace(1e-3, 1e3, 20_001)
        p = np.exp(-np.outer(betas, d - d.min()))
        p /= p.sum(axis=1, keepdims=True)
        perplexity = np.exp(-(p * np.log(np.maximum(p, 1e-300))).sum(axis=1))
        at = np.abs(perplexity - 10).argmin()
        assert found[cell] == pytest.approx(1 / (p[at] ** 2).sum(), rel=2e-3)


def test_graph_connectivity_is_the_strongly_connected_part_of_a_label(iris: Iris) -> None:
    graph = kneighbors_graph(iris.vectors.astype(np.float64), 14)
    for label, found in enumerate(graph_connectivity(neighbors_of(iris.vectors, 20), iris.labels)):
        mine = np.flatnonzero(iris.labels == label)
        _, parts = connected_components(graph[mine][:, mine], connection="strong")
        assert found == np.bincount(parts).max() / 50


def test_explained_variance_of_batches_is_that_of_all_principal_components(iris: Iris) -> None:
    pca = PCA().fit(iris.vectors)
    parts = pca.transform(iris.vectors)
    one_hot = np.eye(2)[iris.batches]
    shares = [LinearRegression().fit(one_hot, part).score(one_hot, part) for part in parts.T]
    expected = np.average(shares, weights=pca.explained_variance_)
    assert batch_variance(iris.vectors, iris.batches) == pytest.approx(expected, rel=1e-5)


def test_a_representation_with_more_batch_than_before_has_no_pcr_comparison(iris: Iris) -> None:
    assert pcr_comparison(iris.vectors, iris.before, iris.batches) == 0


def test_kbet_accepts_cells_near_which_the_batches_are_as_expected() -> None:
    # Two clouds of one label far apart, of a batch each: no cell sees both; then in turn: all do.
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(120, 3))
    labels = np.zeros(120, np.int64)
    apart = neighbors_of(cloud + 100 * (np.arange(120) >= 60)[:, None], 50)
    together = neighbors_of(cloud, 50)
    assert kbet(apart, labels, (np.arange(120) >= 60).astype(np.int64))[0] < 0.05
    assert kbet(together, labels, np.arange(120) % 2)[0] > 0.8


def test_kbet_tests_by_chi_squared() -> None:
    # 11 neighbours, half expected in each batch: 9 or more of one are refused at 5 %, 8 are not.
    refused = [n for n in range(6, 12) if chi2.sf(2 * (n - 5.5) ** 2 / 5.5, 1) < 0.05]
    assert refused == [9, 10, 11]


@pytest.mark.parametrize("sizes", [(9, 0), (30, 0)])
def test_kbet_is_not_defined_for_few_cells_or_one_batch(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    n = sizes[0] + 40
    labels = np.repeat([0, 1], [sizes[0], 40])
    batches = np.where(labels == 0, np.arange(n) % 2 if sizes[0] < 10 else 0, np.arange(n) % 2)
    found = kbet(neighbors_of(rng.normal(size=(n, 2)), 30), labels, batches)
    assert np.isnan(found).tolist() == [True, False]


def test_isolated_labels_are_those_in_the_fewest_batches() -> None:
    silhouettes = np.array([1.0, 0.0, 0.5, -0.5, -1.0, -1.0])
    labels = np.array([0, 0, 1, 1, 2, 2])
    batches = np.array([0, 1, 0, 0, 1, 1])
    # Labels 1 and 2 are in one batch: means 0 and -1.
    assert isolated_labels(silhouettes, labels, batches) == (-0.5 + 1) / 2


def test_totals_weigh_what_is_kept_by_six_tenths() -> None:
    scores = dict.fromkeys(("isolated_labels", "kmeans_nmi", "kmeans_ari", "silhouette_label", "clisi"), 0.5)
    mixed = dict.fromkeys(("bras", "ilisi", "graph_connectivity", "pcr_comparison"), 1.0)
    assert totals(scores | mixed) == {"bio_conservation": 0.5}
    found = totals(scores | mixed | {"kbet": 0.0})
    assert found == pytest.approx({"bio_conservation": 0.5, "batch_correction": 0.8, "integration": 0.62})


def test_silhouettes_are_those_of_scikit_learn(iris: Iris) -> None:
    seen = geometry(iris.vectors, iris.labels, iris.batches, n_neighbors=10)
    x = iris.vectors.astype(np.float64)
    assert seen.of_labels == pytest.approx(silhouette_samples(x, iris.labels), abs=1e-9)
    assert seen.of_batches == pytest.approx(silhouette_samples(x, iris.batches), abs=1e-9)
    for label in range(3):
        mine = iris.labels == label
        expected = silhouette_samples(x[mine], iris.batches[mine])
        assert seen.of_batches_in_labels[mine] == pytest.approx(expected, abs=1e-9)


def test_neighbours_are_those_of_all_distances(iris: Iris, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.evaluate.integration.distances.BLOCK", 64)
    x = iris.vectors.astype(np.float64)
    found = geometry(x, iris.labels, iris.batches, n_neighbors=12).neighbors
    every: NDArray[np.float64] = np.linalg.norm(x[:, None] - x, axis=2)
    assert found.distances == pytest.approx(np.sort(every, axis=1)[:, :12], abs=1e-7)
    assert (found.indices[:, 0] == np.arange(150)).all()
    assert np.take_along_axis(every, found.indices, axis=1) == pytest.approx(found.distances, abs=1e-7)


def test_a_cell_with_doubles_is_its_own_first_neighbour() -> None:
    x = np.repeat(np.arange(4.0), 3)[:, None]
    found = neighbors_of(x, 4)
    assert (found.indices[:, 0] == np.arange(12)).all()
    assert found.distances[:, :3].max() == 0
    assert found.distances[:, 3].min() == 1


def test_a_cell_alone_in_its_batch_and_label_has_no_silhouette_there() -> None:
    x = np.array([[0.0], [1.0], [2.0], [10.0], [11.0]])
    labels, batches = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 0, 1])
    found = geometry(x, labels, batches, n_neighbors=2).of_batches_in_labels
    assert found[2] == 0
    # Label 1 has one cell of each batch: nothing to compare.
    assert np.isnan(found[3:]).all()


def test_numbers_do_not_depend_on_threads(iris: Iris, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.evaluate.integration.distances.BLOCK", 32)
    found = []
    for n_threads in (1, 3):
        monkeypatch.setattr("curate.evaluate.integration.distances.N_THREADS", n_threads)
        seen = geometry(iris.vectors, iris.labels, iris.batches, n_neighbors=10)
        found.append((seen.neighbors.distances.tobytes(), seen.of_labels.tobytes()))
    assert found[0] == found[1]
