"""The metrics of integration that the study computed, with scib, as its scripts do.

They are for comparison with its tables. Silhouettes of batches mislead where batch effects are nested
(Rautenstrauch & Ohler, Nature Biotechnology 2025, doi 10.1038/s41587-025-02743-4), the clustering is chosen
by the labels it is then compared with, and the principal component regression is of the embedding alone.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from threadpoolctl import threadpool_limits

from curate.errors import EvaluationError
from curate.evaluate.integration.graphs import union
from curate.evaluate.metrics.integration import (
    GRAPH_NEIGHBORS,
    batch_variance,
    by_group,
    connected_shares,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from curate.evaluate.integration.distances import Geometry

RESOLUTIONS: Final = tuple(step / 10 for step in range(1, 21))
N_COMPONENTS: Final = 50
LEGACY: Final = (
    "legacy:nmi",
    "legacy:ari",
    "legacy:asw_label",
    "legacy:graph_connectivity",
    "legacy:asw_batch",
    "legacy:asw_label_batch",
    "legacy:pcr_batch",
    "legacy:avg_bio",
)


def legacy_scores(
    vectors: NDArray[np.floating],
    geometry: Geometry,
    labels: NDArray[np.int64],
    batches: NDArray[np.int64],
) -> dict[str, float]:
    """Return all of them, by name.

    "legacy:asw_batch" and "legacy:pcr_batch" are better the less they are.

    Raises
    ------
    EvaluationError
        When igraph is not installed.
    """
    graph = union(geometry.neighbors.nearest(GRAPH_NEIGHBORS))
    nmi, ari = louvain_agreement(graph, labels)
    asw_label = float(geometry.of_labels.mean() + 1) / 2
    return {
        "legacy:nmi": nmi,
        "legacy:ari": ari,
        "legacy:asw_label": asw_label,
        "legacy:graph_connectivity": float(connected_shares(graph, labels, is_directed=False).mean()),
        "legacy:asw_batch": float(geometry.of_batches.mean() + 1) / 2,
        "legacy:asw_label_batch": silhouette_batch(geometry.of_batches_in_labels, labels),
        "legacy:pcr_batch": batch_variance(components(vectors), batches),
        "legacy:avg_bio": (nmi + ari + asw_label) / 3,
    }


def louvain_agreement(graph: csr_array, labels: NDArray[np.int64]) -> tuple[float, float]:
    """Return NMI and ARI of labels and Louvain clusters, at the resolution of 20 that has the best NMI.

    Parameters
    ----------
    graph
        [n_cells, n_cells], symmetric, without weights.
    """
    try:
        import igraph
    except ImportError:
        raise EvaluationError(
            "the legacy set clusters with igraph, which is not installed; "
            "pip install 'cellcurate[evaluate]', or set legacy=no"
        ) from None
    starts, ends = graph.nonzero()
    is_first = starts < ends
    held = igraph.Graph(n=graph.shape[0], edges=np.stack([starts[is_first], ends[is_first]], axis=1))
    best = (-1.0, -1.0)
    try:
        for resolution in RESOLUTIONS:
            igraph.set_random_number_generator(random.Random(0))
            clusters = held.community_multilevel(resolution=resolution).membership
            nmi = float(normalized_mutual_info_score(labels, clusters))
            if nmi > best[0]:
                best = nmi, float(adjusted_rand_score(labels, clusters))
    finally:
        igraph.set_random_number_generator(random)
    return best


def silhouette_batch(of_batches_in_labels: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return 1 less the absolute silhouettes of batches within labels, a mean of the means of labels.

    NaN where no label has cells of two batches.
    """
    is_told = ~np.isnan(of_batches_in_labels)
    if not is_told.any():
        return float("nan")
    _, told = np.unique(labels[is_told], return_inverse=True)
    return float(by_group(1 - np.abs(of_batches_in_labels[is_told]), told).mean())


def components(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the first 50 principal components; the vectors as they are where they have no more."""
    x = vectors - vectors.mean(axis=0, dtype=np.float64)
    if min(x.shape) <= N_COMPONENTS:
        return np.asarray(x)
    with threadpool_limits(1):
        if x.shape[1] <= x.shape[0]:
            _, axes = np.linalg.eigh(x.T @ x)
            return np.asarray(x @ axes[:, -N_COMPONENTS:])
        values, axes = np.linalg.eigh(x @ x.T)
        return np.asarray(axes[:, -N_COMPONENTS:] * np.sqrt(np.maximum(values[-N_COMPONENTS:], 0)))
