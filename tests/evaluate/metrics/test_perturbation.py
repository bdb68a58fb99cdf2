"""Metrics of predicted changes: by hand, against scipy and scikit-learn, and of predictions of nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist
from scipy.stats import energy_distance as scipy_energy
from scipy.stats import pearsonr
from sklearn.metrics import mean_squared_error, r2_score

from curate.evaluate.metrics import METRICS
from curate.evaluate.metrics.perturbation import (
    direction_accuracy,
    discrimination,
    energy_distance,
    mse,
    pearson,
    top_overlap,
    weighted_mse,
    weighted_r2,
)
from curate.evaluate.perturb.cases import PERFECT

TRUTH = np.array([1.0, -2.0, 0.0, 4.0])
PREDICTED = np.array([1.0, 0.0, 0.0, 2.0])
WEIGHTS = np.array([0.25, 0.25, 0.0, 0.5])
NOTHING = np.zeros(4)


def test_errors_by_hand() -> None:
    assert mse(TRUTH, PREDICTED) == 2.0  # (0 + 4 + 0 + 4) / 4
    assert weighted_mse(TRUTH, PREDICTED, WEIGHTS) == 3.0  # 4 / 4 + 4 / 2
    # The weighted mean is 1.75, the weighted variance (0.75² + 3.75²) / 4 + 2.25² / 2.
    assert weighted_r2(TRUTH, PREDICTED, WEIGHTS) == pytest.approx(1 - 3 / 6.1875)


def test_errors_and_correlations_against_scipy_and_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, predicted, weights = rng.normal(size=(3, 200))
    weights = np.abs(weights) / np.abs(weights).sum()
    assert mse(truth, predicted) == pytest.approx(mean_squared_error(truth, predicted))
    assert weighted_mse(truth, predicted, weights) == pytest.approx(
        mean_squared_error(truth, predicted, sample_weight=weights)
    )
    assert weighted_r2(truth, predicted, weights) == pytest.approx(
        r2_score(truth, predicted, sample_weight=weights)
    )
    assert pearson(truth, predicted) == pytest.approx(pearsonr(truth, predicted).statistic)


def test_a_prediction_of_no_change_has_a_score_of_its_own() -> None:
    assert pearson(TRUTH, NOTHING) == 0.0
    assert pearson(NOTHING + 0.1, TRUTH) == 0.0
    assert direction_accuracy(TRUTH, NOTHING) == 0.5
    assert top_overlap(TRUTH, NOTHING, 1) == 0.25
    assert discrimination(np.eye(4), NOTHING, 2) == 0.5


def test_a_true_change_that_is_the_same_in_all_genes_has_no_variance_to_predict() -> None:
    assert weighted_r2(np.ones(4), TRUTH, WEIGHTS) == 0.0


def test_half_of_the_direction_of_a_gene_that_is_not_said_to_change_is_right() -> None:
    assert direction_accuracy(np.array([1.0, -1.0, 2.0]), np.array([3.0, 2.0, 0.0])) == 0.5


def test_the_overlap_of_top_genes_ignores_their_sign() -> None:
    assert top_overlap(np.array([5.0, -4.0, 1.0, 0.0]), np.array([-9.0, 0.0, 8.0, 0.1]), 2) == 0.5


def test_ties_for_the_last_place_share_it_as_lots_would_on_average() -> None:
    truth, predicted = np.array([3.0, 2.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0, 0.0])
    rng = np.random.default_rng(0)
    lots = [len({0, 1} & set(np.lexsort((rng.random(4), -predicted))[:2].tolist())) / 2 for _ in range(4000)]
    assert top_overlap(truth, predicted, 2) == pytest.approx((1 + 1 / 3) / 2)
    assert np.mean(lots) == pytest.approx(top_overlap(truth, predicted, 2), abs=0.02)


def test_the_right_perturbation_is_ranked_by_direction_not_by_size() -> None:
    truths = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    assert discrimination(truths, np.array([9.0, 0.1]), 0) == 1.0
    assert discrimination(truths, np.array([9.0, 0.1]), 1) == 0.5
    assert discrimination(truths, np.array([9.0, 0.1]), 2) == 0.0


def test_perturbations_that_change_alike_share_their_ranks() -> None:
    truths = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    assert discrimination(truths, np.array([1.0, 0.0]), 0) == 0.75
    assert discrimination(truths, np.array([1.0, 0.0]), 1) == 0.75


def test_one_prediction_for_all_perturbations_ranks_as_chance_does() -> None:
    truths = np.random.default_rng(1).normal(size=(9, 30))
    same = truths.mean(axis=0)
    assert np.mean([discrimination(truths, same, row) for row in range(9)]) == pytest.approx(0.5)


def test_energy_distance_by_hand() -> None:
    a, b = np.array([[0.0], [2.0]]), np.array([[1.0], [5.0]])
    # Between: (1 + 5 + 1 + 3) / 4 = 2.5; within: 2 and 4.
    assert energy_distance(a, b) == pytest.approx(2 * 2.5 - 2 - 4)


def test_energy_distance_against_scipy() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(40, 6)), rng.normal(1, 2, size=(30, 6))
    expected = 2 * cdist(a, b).mean() - pdist(a).mean() - pdist(b).mean()
    assert energy_distance(a, b) == pytest.approx(expected)
    # scipy's is the root of the biased form, of one dimension: each cell counts as its own neighbour.
    x, y = a[:, :1], b[:, :1]
    biased = energy_distance(x, y) + pdist(x).mean() / 40 + pdist(y).mean() / 30
    assert biased == pytest.approx(scipy_energy(x.ravel(), y.ravel()) ** 2)


def test_energy_distance_of_two_halves_of_one_population_is_about_nothing() -> None:
    cells = np.random.default_rng(3).normal(size=(2000, 3))
    assert energy_distance(cells[:1000], cells[1000:]) == pytest.approx(0.0, abs=0.01)
    assert energy_distance(cells[:1000], cells[1000:] + 1) > 0.5


def test_every_metric_of_a_response_is_known_with_its_direction() -> None:
    for name, perfect in PERFECT.items():
        assert METRICS[name].higher_is_better is (perfect == 1.0)
