"""Density ratios against ones that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from curate.build.ratio.classifier import fit_classifier
from curate.build.ratio.features import Features
from curate.build.ratio.kl import kl_reduction
from curate.build.ratio.neighbours import fit_neighbours
from curate.build.ratio.ratio import estimate_ratios, sample_corpus
from curate.errors import SelectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.build.ratio.ratio import Estimator

ESTIMATORS: tuple[Estimator, ...] = ("classifier", "knn")
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


def normal(n: int, mean: list[float], scale: float = 1.0, *, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return rng.normal(mean, scale, (n, len(mean))).astype(np.float32)


def ratios(
    corpus: NDArray[np.float32], reference: NDArray[np.float32], **settings: Any
) -> NDArray[np.float32]:
    keys = np.random.default_rng(5).integers(0, 2**64, len(corpus), dtype=np.uint64)
    return estimate_ratios(corpus, reference, sample_corpus(keys), **settings).log


@every_estimator
def test_the_ratio_of_two_normal_distributions_is_found(estimator: Estimator) -> None:
    corpus, reference = normal(12_000, [0, 0, 0]), normal(4_000, [1, 0.5, 0], 0.7, seed=1)
    found = ratios(corpus, reference, estimator=estimator, neighbours=64)
    densities = multivariate_normal([1, 0.5, 0], 0.49), multivariate_normal([0, 0, 0], 1)
    true = np.subtract(*(np.asarray(each.logpdf(corpus)) for each in densities))
    # Where the reference has some mass: elsewhere few cells tell how little there is.
    seen = (true > -2) & np.isfinite(found)
    assert np.isfinite(found[true > -1]).mean() > 0.99
    slope, at_zero = np.polyfit(true[seen], found[seen], 1)
    assert np.corrcoef(true[seen], found[seen])[0, 1] > 0.9
    assert 0.8 < slope < 1.2
    assert abs(at_zero) < 0.25


@every_estimator
def test_ratios_have_a_mean_of_one_over_the_corpus(estimator: Estimator) -> None:
    corpus, reference = normal(8_000, [0, 0]), normal(2_000, [1, 1], seed=1)
    found = ratios(corpus, reference, estimator=estimator)
    assert np.exp(found.astype(np.float64)).mean() == pytest.approx(1, abs=0.15)


@every_estimator
def test_a_reference_of_two_lumps_inside_the_corpus_is_found(estimator: Estimator) -> None:
    # No plane divides the corpus so that both lumps lie on one side.
    lumps = [
        normal(500, [3.0 * (x - 2), 3.0 * (y - 2)], 0.3, seed=10 * x + y) for x in range(5) for y in range(5)
    ]
    corpus = np.concatenate(lumps)
    reference = np.concatenate([normal(300, [0 - 3, 0], 0.3, seed=77), normal(300, [3, 3], 0.3, seed=78)])
    is_near = [np.hypot(*(corpus - each).T) < 1.2 for each in ([-3, 0], [3, 3])]
    wanted = is_near[0] | is_near[1]
    found = ratios(corpus, reference, estimator=estimator)
    assert found[wanted].min() > found[~wanted].max()


@every_estimator
def test_threads_and_the_order_of_the_cells_change_nothing(estimator: Estimator) -> None:
    corpus, reference = normal(20_000, [0] * 6), normal(500, [1] * 6, 0.5, seed=1)
    keys = np.random.default_rng(5).integers(0, 2**64, 20_000, dtype=np.uint64)
    first, other = (
        estimate_ratios(corpus, reference, sample_corpus(keys), estimator=estimator, n_threads=n).log
        for n in (1, 4)
    )
    np.testing.assert_array_equal(first, other)
    order = np.random.default_rng(6).permutation(20_000)
    moved = estimate_ratios(corpus[order], reference, sample_corpus(keys[order]), estimator=estimator)
    np.testing.assert_allclose(moved.log, first[order], rtol=1e-5)


def test_neighbours_are_counted_as_scipy_does_where_all_lists_are_looked_into() -> None:
    from dataclasses import replace

    from scipy.spatial.distance import cdist

    corpus, reference = normal(700, [0] * 5), normal(200, [0.5] * 5, seed=1)
    cells = normal(300, [0.2] * 5, seed=2)
    reach = np.sort(cdist(cells, corpus), axis=1)[:, 6]
    true = (cdist(cells, reference) <= reach[:, None]).sum(axis=1)
    fitted = fit_neighbours(reference, corpus, k=7)
    np.testing.assert_array_equal(replace(fitted, n_lists=10_000).count(cells, 7), true)
    # A few lists give nearly the same.
    assert np.abs(fitted.count(cells, 7) - true).mean() < 0.25 * true.mean()


def test_a_list_of_too_few_cells_is_no_end_of_the_search() -> None:
    corpus, reference = normal(60, [0, 0]), normal(30, [0, 0], seed=1)
    assert (fit_neighbours(reference, corpus, k=59).count(corpus, 59) >= 1).all()


def test_held_out_scores_of_indistinguishable_cells_are_those_of_guessing() -> None:
    held_out = fit_classifier(normal(2_000, [0] * 5), normal(4_000, [0] * 5, seed=1)).held_out
    assert held_out.auc == pytest.approx(0.5, abs=0.03)
    assert held_out.log_loss == pytest.approx(held_out.log_loss_of_shares, abs=0.01)
    assert held_out.brier == pytest.approx(1 / 3 * 2 / 3, abs=0.01)


def test_features_are_standardised_dimensions_and_bumps_of_landmarks() -> None:
    corpus, reference = normal(500, [5, -2], 3.0), normal(100, [6, 0], seed=1)
    features = Features.of(reference, corpus)
    found = features(corpus)
    np.testing.assert_allclose(found[:, :2].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(found[:, :2].std(axis=0), 1)
    distance = np.linalg.norm(corpus[3].astype(float) - reference[0])
    assert found[3, 2] == pytest.approx(5 * np.exp(-(distance**2) / (2 * features.width**2)))


def test_a_choice_of_the_reference_itself_takes_the_divergence_away() -> None:
    corpus, reference = normal(6_000, [0, 0]), normal(6_000, [2, 0], seed=1)
    kept = kl_reduction(reference, corpus, normal(3_000, [2, 0], seed=2))
    assert kept.of_corpus > 1
    assert kept.of_choice < 0.05
    assert kept.reduction == pytest.approx(kept.of_corpus - kept.of_choice)
    none = kl_reduction(reference, corpus, normal(3_000, [0, 0], seed=3))
    assert abs(none.reduction) < 0.2


def test_a_reference_that_nothing_is_like_is_said_with_numbers() -> None:
    corpus, reference = normal(3_000, [0, 0, 0, 0]), normal(200, [60, 0, 0, 0], seed=1)
    keys = np.arange(3_000, dtype=np.uint64)
    found = estimate_ratios(corpus, reference, sample_corpus(keys))
    assert "no sampled cell" in found.notice
    assert "AUC 1.0000" in found.notice
    assert np.isfinite(found.log).all()
    # The nearest are still first.
    assert np.corrcoef(found.log, corpus[:, 0])[0, 1] > 0.7


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (normal(1, [0, 0]), "has 1 cells, too few"),
        (normal(50, [0, 0, 0]), r"shape \(50, 3\), the embedding \(400, 2\)"),
        (normal(401, [0, 0]), "has 401 cells, more than the 400 to choose from"),
        (np.full((5, 2), np.nan, dtype=np.float32), "5 of 5 reference cells have a value that is not finite"),
    ],
    ids=["one cell", "another space", "larger than the corpus", "not finite"],
)
def test_a_reference_that_cannot_be_used_is_refused(reference: NDArray[np.float32], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        ratios(normal(400, [0, 0]), reference)


@every_estimator
def test_an_embedding_that_is_not_finite_is_refused(estimator: Estimator) -> None:
    corpus = normal(400, [0, 0])
    corpus[17, 1] = np.inf
    with pytest.raises(SelectionError, match="not finite"):
        ratios(corpus, normal(50, [0, 0], seed=1), estimator=estimator)


def test_a_cell_that_is_not_finite_is_refused_though_it_is_not_sampled() -> None:
    corpus = normal(400, [0, 0])
    corpus[17, 1] = np.nan
    with pytest.raises(SelectionError, match="not finite"):
        estimate_ratios(corpus, normal(50, [0, 0], seed=1), np.arange(18, 400))


def test_an_embedding_of_equal_vectors_is_refused() -> None:
    with pytest.raises(SelectionError, match="all 400 sampled cells have the same vector"):
        ratios(np.ones((400, 2), dtype=np.float32), normal(50, [0, 0]))


def test_more_neighbours_than_sampled_cells_are_refused() -> None:
    with pytest.raises(SelectionError, match="knn_neighbours=40 of 40 sampled cells"):
        ratios(normal(40, [0, 0]), normal(10, [0, 0], seed=1), estimator="knn", neighbours=40)
