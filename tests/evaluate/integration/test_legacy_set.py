from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_samples, silhouette_score

from curate.errors import EvaluationError
from curate.evaluate.integration.distances import geometry
from curate.evaluate.metrics.integration import batch_variance
from curate.evaluate.metrics.legacy_integration import (
    LEGACY,
    components,
    legacy_scores,
    louvain_agreement,
    silhouette_batch,
)

if TYPE_CHECKING:
    from tests.evaluate.integration.conftest import Iris


def test_silhouettes_of_the_study_are_averages_of_scikit_learns(iris: Iris) -> None:
    seen = geometry(iris.vectors, iris.labels, iris.batches, n_neighbors=15)
    found = legacy_scores(iris.vectors, seen, iris.labels, iris.batches)
    x = iris.vectors.astype(np.float64)
    assert tuple(found) == LEGACY
    assert found["legacy:asw_label"] == pytest.approx((silhouette_score(x, iris.labels) + 1) / 2)
    assert found["legacy:asw_batch"] == pytest.approx((silhouette_score(x, iris.batches) + 1) / 2)
    by_label = []
    for label in range(3):
        mine = iris.labels == label
        by_label.append(1 - np.abs(silhouette_samples(x[mine], iris.batches[mine])).mean())
    # Also what scib_metrics.silhouette_batch 0.5.10 gave.
    assert found["legacy:asw_label_batch"] == pytest.approx(np.mean(by_label))
    assert found["legacy:asw_label_batch"] == pytest.approx(0.85519415, abs=1e-6)
    parts = [found[f"legacy:{name}"] for name in ("nmi", "ari", "asw_label")]
    assert found["legacy:avg_bio"] == pytest.approx(np.mean(parts))


def test_louvain_finds_cliques_whatever_the_resolution() -> None:
    clique = np.ones((12, 12)) - np.eye(12)
    graph = sp.csr_array(sp.block_diag([clique, clique, clique], format="csr"))
    labels = np.repeat([0, 1, 2], 12)
    assert louvain_agreement(graph, labels) == pytest.approx((1, 1))
    assert louvain_agreement(graph, np.tile([0, 1, 2], 12))[1] < 0.1


def test_labels_in_one_batch_are_left_out_of_the_silhouette_of_batches() -> None:
    silhouettes = np.array([np.nan, np.nan, -0.5, 0.5, 0.25])
    assert silhouette_batch(silhouettes, np.array([0, 0, 1, 1, 2])) == (0.5 + 0.75) / 2
    assert np.isnan(silhouette_batch(silhouettes[:2], np.array([0, 0])))


@pytest.mark.parametrize("shape", [(90, 70), (70, 90)])
def test_the_first_fifty_components_are_those_of_scikit_learn(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    batches = np.arange(shape[0]) % 3
    expected = PCA(50, svd_solver="full").fit_transform(x)
    found = components(x)
    assert np.abs(found[:, ::-1]) == pytest.approx(np.abs(expected), abs=1e-6)
    assert batch_variance(found, batches) == pytest.approx(batch_variance(expected, batches))


def test_what_to_install_is_said_where_igraph_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(EvaluationError, match=r"cellcurate\[evaluate\]"):
        louvain_agreement(sp.csr_array(np.eye(3)), np.arange(3))
