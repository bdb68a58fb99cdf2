from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from curate.build.ratio.calibration import calibrate

SCORES = st.lists(st.floats(-30, 30).map(lambda x: round(x, 1)), min_size=1, max_size=40)


def test_a_case_by_hand() -> None:
    # Below 1 lie two corpus cells. The step from 1 to 2 holds 1 of 4 reference and 2 of 5 corpus cells, that
    # from 3 to 3.5 one of either, that from 4 on 2 of 4 and none, which counts as half a cell.
    fitted = calibrate(np.array([1.0, 3, 4, 5]), np.array([-1.0, 0, 1.5, 2, 3.5]))
    low, middle, high = (np.log((r / 4) / (c / 5)) for r, c in ((1, 2), (1, 1), (2, 0.5)))
    found = fitted(np.array([1.0, 1.7, 2, 2.5, 3, 3.5, 4, 5, 9]))
    expected = [low, low, low, (low + middle) / 2, middle, middle, high, high, high]
    np.testing.assert_allclose(found, expected)
    # Half a reference cell is shared among those below, by e to the score.
    below = fitted(np.array([-1.0, 0]))
    assert below[1] - below[0] == pytest.approx(1)
    assert (np.exp(below) / 5).sum() == pytest.approx(0.5 / 4)


@settings(deadline=None, max_examples=80)
@given(SCORES, SCORES, st.lists(st.floats(-40, 40), min_size=2, max_size=30))
def test_it_never_falls_and_is_finite(
    reference: list[float], corpus: list[float], asked: list[float]
) -> None:
    fitted = calibrate(np.array(reference), np.array(corpus))
    found = fitted(np.sort(asked))
    assert np.isfinite(found).all()
    assert (np.diff(found) >= -1e-12).all()


def test_the_log_ratio_of_two_normal_distributions_is_found_from_a_score_on_another_scale() -> None:
    rng = np.random.default_rng(0)
    reference, corpus = rng.normal(1, 1, 40_000), rng.normal(0, 1, 40_000)
    fitted = calibrate(7 * reference - 3, 7 * corpus - 3)
    x = np.linspace(-1, 2, 50)
    true = norm.logpdf(x, 1) - norm.logpdf(x, 0)
    assert np.abs(fitted(7 * x - 3) - true).max() < 0.25


def test_scores_without_overlap_still_put_the_nearest_first() -> None:
    fitted = calibrate(np.array([900.0, 901]), np.array([-2000.0, -1990, -1985]))
    assert fitted.n_above == 0
    found = fitted(np.array([-2000.0, -1990, -1985, 900]))
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()
