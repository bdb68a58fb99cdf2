"""Moments of groups, and which genes differ, against numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.stats import false_discovery_control, ttest_ind

from curate.evaluate.perturb.changes import Differences, Group, differences, moments_of
from curate.evaluate.perturb.design import CONTROL, design_of


def group(x: np.ndarray) -> Group:
    return Group(x.mean(axis=0), x.var(axis=0, ddof=1), len(x))


def test_moments_of_groups_and_halves_are_those_of_their_cells() -> None:
    rng = np.random.default_rng(0)
    x = rng.poisson(1, size=(60, 7)).astype(np.float32)
    labels = np.array(["control", "X", "Y"] * 20)
    contexts = np.array(["a"] * 30 + ["b"] * 30)
    design = design_of(labels, contexts, min_cells=4, rng=rng)
    moments = moments_of(csr_array(x), design)
    for site, perturbation, half in ((0, 0, 0), (1, 1, 1), (1, CONTROL, None), (0, CONTROL, 1)):
        cells = x[design.cells(site, perturbation, half)].astype(np.float64)
        found = moments.of(site, perturbation, half)
        np.testing.assert_allclose(found.mean, cells.mean(axis=0))
        np.testing.assert_allclose(found.variance, cells.var(axis=0, ddof=1), atol=1e-12)
        assert found.n_cells == len(cells)
    change = moments.change(1, 0, 0, control_half=1)
    expected = x[design.cells(1, 0, 0)].mean(axis=0) - x[design.controls(1, 1)].mean(axis=0)
    np.testing.assert_allclose(change, expected, rtol=1e-6)


def test_genes_that_differ_against_scipy() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(30, 50)), rng.normal(size=(12, 50)) * 2
    a[:, :5] += 6
    found = differences(group(a), group(b))
    expected = ttest_ind(a, b, equal_var=False)
    np.testing.assert_allclose(found.t, expected.statistic)
    np.testing.assert_allclose(found.adjusted, false_discovery_control(expected.pvalue))
    assert found.significant[:5].all()
    assert found.top(5).tolist() == np.argsort(-np.abs(expected.statistic))[:5].tolist()


def test_a_gene_that_never_varies_does_not_differ() -> None:
    a, b = np.zeros((5, 2)), np.zeros((6, 2))
    a[:, 1] = 3
    found = differences(group(a), group(b))
    assert found.t.tolist() == [0.0, 0.0]
    assert not found.significant.any()


def test_weights_are_squares_of_the_scaled_statistic() -> None:
    found = Differences(np.array([-5.0, 1.0, 3.0]), np.ones(3))
    assert found.weights.tolist() == pytest.approx([0.8, 0.0, 0.2])
    assert Differences(np.zeros(4), np.ones(4)).weights.tolist() == [0.25] * 4
