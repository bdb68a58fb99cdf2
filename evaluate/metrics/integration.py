"""How well an embedding mixes batches and keeps what the cells are.

The current set of scib-metrics: `isolated_labels`, `kmeans_agreement`, `silhouette_label` and `clisi` of what
is kept, `bras`, `ilisi`, `kbet`, `graph_connectivity` and `pcr_comparison` of what is mixed. More is better,
1 is the most. Labels and batches are numbers from 0, all of which occur.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.stats import chi2
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from threadpoolctl import threadpool_limits

from curate.evaluate.integration.diffusion import diffusion_neighbors
from curate.evaluate.integration.graphs import connectivities, directed, largest_share

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from curate.evaluate.integration.distances import Neighbors

GRAPH_NEIGHBORS: Final = 15
KBET_NEIGHBORS: Final = 50
"""Of scib-metrics, the cell itself counted."""
KBET_LEVEL: Final = 0.05
KBET_LEAST_CELLS: Final = 10
KMEANS_STARTS: Final = 10
BIO: Final = ("isolated_labels", "kmeans_nmi", "kmeans_ari", "silhouette_label", "clisi")
BATCH: Final = ("bras", "ilisi", "kbet", "graph_connectivity", "pcr_comparison")
BIO_WEIGHT: Final = 0.6


def isolated_labels(
    silhouettes: NDArray[np.float64], labels: NDArray[np.int64], batches: NDArray[np.int64]
) -> float:
    """Return the mean silhouette, scaled to 0 ... 1, of the labels that are in the fewest batches.

    Parameters
    ----------
    silhouettes
        float64 [n_cells], with regard to labels.
    """
    pairs = np.unique(np.stack([labels, batches]), axis=1)
    n_batches = np.bincount(pairs[0])
    isolated = np.flatnonzero(n_batches == n_batches.min())
    return float(by_group(silhouettes, labels)[isolated].mean() + 1) / 2


def kmeans_agreement(vectors: NDArray[np.floating], labels: NDArray[np.int64]) -> tuple[float, float]:
    """Return NMI (arithmetic) and ARI of labels and of as many clusters by k-means.

    The best of 10 starts from seed 0; scib-metrics takes the first of its own, which may be no optimum. The
    order of the cells does not matter.
    """
    x = np.asarray(vectors, np.float32)
    order = np.lexsort(x.T)
    # Threads would add up centres in any order.
    with threadpool_limits(1):
        kmeans = KMeans(int(labels.max()) + 1, n_init=KMEANS_STARTS, random_state=0)
        found, truth = kmeans.fit_predict(x[order]), labels[order]
    return float(normalized_mutual_info_score(truth, found)), float(adjusted_rand_score(truth, found))


def lisi(neighbors: Neighbors, groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the local inverse Simpson index: the effective number of groups near each cell.

    Neighbours are weighted by exp(-β d), with β so that their perplexity is a third of their number
    (Korsunsky et al., Nature Methods 2019, doi 10.1038/s41592-019-0619-0).

    Returns
    -------
    float64 [n_cells], 1 to the number of groups.
    """
    weights = _weights(neighbors.distances[:, 1:], np.floor(neighbors.k / 3))
    n, n_groups = len(weights), int(groups.max()) + 1
    cells = np.arange(n)[:, None] * n_groups + groups[neighbors.indices[:, 1:]]
    shares = np.bincount(cells.ravel(), weights.ravel(), minlength=n * n_groups).reshape(n, n_groups)
    return np.asarray(1 / (shares**2).sum(axis=1))


def clisi(neighbors: Neighbors, labels: NDArray[np.int64]) -> float:
    """Return 1 where the neighbours of the median cell have its label, 0 where all labels are among them."""
    n_labels = int(labels.max()) + 1
    return float(n_labels - np.median(lisi(neighbors, labels))) / (n_labels - 1)


def ilisi(neighbors: Neighbors, batches: NDArray[np.int64]) -> float:
    """Return 1 where all batches are equally among the neighbours of the median cell, 0 where one is."""
    return float(np.median(lisi(neighbors, batches)) - 1) / int(batches.max())


def bras(
    vectors: NDArray[np.floating], labels: NDArray[np.int64], batches: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return, of each label, 1 less the mean absolute silhouette of its batches, by cosine distance.

    Batch removal adapted silhouette: a cell's distance to the cells of all other batches, and not of the
    nearest alone (Rautenstrauch & Ohler, Nature Biotechnology 2025, doi 10.1038/s41587-025-02743-4).
    A vector of zeros is at distance 1 from all.

    Returns
    -------
    float64 [n_labels]; NaN of a label in one batch, or with one cell in each.
    """
    x = np.asarray(vectors, np.float64)
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    x = np.divide(x, norms, out=np.zeros_like(x), where=norms > 0)
    found = np.full(int(labels.max()) + 1, np.nan)
    for label in range(found.size):
        mine = np.flatnonzero(labels == label)
        _, batch, sizes = np.unique(batches[mine], return_inverse=True, return_counts=True)
        if not 1 < sizes.size < mine.size:
            continue
        is_of = (batch == np.arange(sizes.size)[:, None]).astype(np.float64)
        with threadpool_limits(1):
            # Cosine distances add up: those to a group follow from the sum of its vectors.
            sums = sizes - x[mine] @ (is_of @ x[mine]).T
        rows = np.arange(mine.size)
        own = sums[rows, batch]
        n_others = sizes[batch] - 1
        within = np.maximum(own, 0) / np.maximum(n_others, 1)
        between = (sums.sum(axis=1) - own) / (mine.size - sizes[batch])
        larger = np.maximum(within, between)
        silhouettes = np.divide(between - within, larger, out=np.zeros(mine.size), where=larger > 0)
        found[label] = 1 - np.abs(np.where(n_others > 0, silhouettes, 0.0)).mean()
    return found


def kbet(neighbors: Neighbors, labels: NDArray[np.int64], batches: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return, of each label, the share of cells near which the batches are as in all cells of the label.

    A χ² test at 5 % of the batches among as many neighbours as a quarter of a mean batch, 10 to 70, by
    diffusion in the graph of a label's cells, as in scib-metrics (Büttner et al., Nature Methods 2019, doi
    10.1038/s41592-018-0254-1). There the number of diffusion components of a small label holds for the
    labels after it too; here it does not.

    Returns
    -------
    float64 [n_labels]; NaN of a label in one batch or with fewer than 10 cells, 0 of one whose cells lie
    scattered over parts of the graph that are too small.
    """
    graph = connectivities(neighbors.nearest(KBET_NEIGHBORS))
    found = np.full(int(labels.max()) + 1, np.nan)
    for label in range(found.size):
        mine = np.flatnonzero(labels == label)
        if mine.size >= KBET_LEAST_CELLS and np.unique(batches[mine]).size > 1:
            found[label] = _kbet_of(graph[mine][:, mine], batches[mine])
    return found


def graph_connectivity(neighbors: Neighbors, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return, of each label, the share of its cells in the largest strongly connected part of the graph.

    Each cell points at its 14 nearest.
    """
    graph = directed(neighbors.nearest(GRAPH_NEIGHBORS))
    return connected_shares(graph, labels, is_directed=True)


def connected_shares(
    graph: csr_array, labels: NDArray[np.int64], *, is_directed: bool
) -> NDArray[np.float64]:
    """Return, of each label, the share of its cells in the largest part of a graph of them."""
    cells = [np.flatnonzero(labels == label) for label in range(int(labels.max()) + 1)]
    return np.array([largest_share(graph[mine][:, mine], is_directed=is_directed) for mine in cells])


def pcr_comparison(
    before: NDArray[np.floating], after: NDArray[np.floating], batches: NDArray[np.int64]
) -> float:
    """Return by how much less of the variance batches explain than before; 0 where they explain more.

    Parameters
    ----------
    before, after
        [n_cells, d] each: the data unintegrated, and the embedding.

    Returns
    -------
    NaN where batches explain nothing before.
    """
    was, explained = (batch_variance(each, batches) for each in (before, after))
    return max(0.0, (was - explained) / was) if was > 0 else float("nan")


def batch_variance(vectors: NDArray[np.floating], batches: NDArray[np.int64]) -> float:
    """Return the share of the variance that lies between batches.

    This is the principal component regression of all components (Büttner et al. 2019): the shares of the
    components, weighted by their variances, add up to it.
    """
    x = vectors - vectors.mean(axis=0, dtype=np.float64)
    sizes = np.bincount(batches)
    means = np.stack([x[batches == batch].mean(axis=0) for batch in range(sizes.size)])
    return float((sizes * (means**2).sum(axis=1)).sum() / (x**2).sum())


def by_group(values: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean of each group, float64 [n_groups]."""
    return np.asarray(np.bincount(groups, values) / np.bincount(groups))


def totals(scores: dict[str, float]) -> dict[str, float]:
    """Return the means of what is kept and what is mixed, and 0.6 of the one with 0.4 of the other.

    Weights of Luecken et al., Nature Methods 2022, doi 10.1038/s41592-021-01336-8. A mean of which a metric
    is missing is not given.
    """
    found: dict[str, float] = {}
    for name, of in (("bio_conservation", BIO), ("batch_correction", BATCH)):
        if all(each in scores for each in of):
            found[name] = float(np.mean([scores[each] for each in of]))
    if len(found) == 2:
        both = BIO_WEIGHT * found["bio_conservation"] + (1 - BIO_WEIGHT) * found["batch_correction"]
        found["integration"] = both
    return found


def _weights(distances: NDArray[np.float64], perplexity: float) -> NDArray[np.float64]:
    """Return weights of neighbours [n, k] that add up to 1, of a perplexity, by bisection of β."""
    d = distances - distances.min(axis=1, keepdims=True)
    n = len(d)
    beta, low, high = np.ones(n), np.zeros(n), np.full(n, np.inf)
    active = np.arange(n)
    for _ in range(50):
        weights = np.exp(-d[active] * beta[active, None])
        total = weights.sum(axis=1)
        entropy = np.log(total) + beta[active] * (d[active] * weights).sum(axis=1) / total
        surplus = entropy - np.log(perplexity)
        is_off = np.abs(surplus) >= 1e-5
        active, surplus = active[is_off], surplus[is_off]
        if not active.size:
            break
        is_flat = surplus > 0
        low[active[is_flat]] = beta[active[is_flat]]
        high[active[~is_flat]] = beta[active[~is_flat]]
        beta[active] = np.where(np.isinf(high[active]), beta[active] * 2, (low[active] + high[active]) / 2)
    weights = np.exp(-d * beta[:, None])
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _kbet_of(graph: csr_array, batches: NDArray[np.int64]) -> float:
    """Return the share of cells that the test accepts, of the cells of one label and their graph."""
    sizes = np.bincount(batches)
    k = int(np.clip(sizes[sizes > 0].mean() // 4, 10, 70))
    _, component = connected_components(graph, directed=False)
    if component.any():
        in_large = np.flatnonzero((np.bincount(component) >= 3 * k)[component])
        if in_large.size < 0.75 * component.size:
            return 0.0
        graph, batches = graph[in_large][:, in_large], batches[in_large]
    _, batches = np.unique(batches, return_inverse=True)
    if (n_batches := int(batches.max()) + 1) == 1:
        return 0.0
    near = diffusion_neighbors(graph, min(k + 1, batches.size)).indices
    cells = np.arange(batches.size)[:, None] * n_batches + batches[near]
    seen = np.bincount(cells.ravel(), minlength=batches.size * n_batches).reshape(-1, n_batches)
    expected = np.bincount(batches) / batches.size * near.shape[1]
    statistic = ((seen - expected) ** 2 / expected).sum(axis=1)
    return float((chi2.sf(statistic, n_batches - 1) >= KBET_LEVEL).mean())
