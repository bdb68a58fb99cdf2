"""Strategies compared: against scipy's paired test, and Holm by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_rel

from curate.errors import SaturationError
from curate.evaluate.saturation.compare import Difference, adjusted, compare, paired
from curate.evaluate.saturation.curve import Curve


def curve(lift: float, *, seed: int, sizes: tuple[int, ...] = (100, 1_000)) -> Curve:
    rng = np.random.default_rng(seed)
    n_cells, seeds = np.tile(sizes, 5), np.repeat(np.arange(5), len(sizes))
    return Curve.of(n_cells, lift + rng.normal(0, 0.01, n_cells.size), seeds)


def test_a_difference_is_that_of_the_paired_t_test() -> None:
    better, base = curve(0.72, seed=0), curve(0.7, seed=1)
    found = compare(better, base)
    assert [each.n_cells for each in found] == [None, 100, 1_000]
    for column, each in enumerate(found[1:]):
        peer = ttest_rel(better.table[:, column], base.table[:, column])
        bounds = peer.confidence_interval(0.95)
        assert each.p == pytest.approx(peer.pvalue)
        assert (each.low, each.high) == pytest.approx((bounds.low, bounds.high))
    means = ttest_rel(better.table.mean(axis=1), base.table.mean(axis=1))
    assert found[0].p == pytest.approx(means.pvalue)


def test_equal_differences_are_told_by_their_signs() -> None:
    values = np.full(4, 0.25)
    assert paired(100, values).p == 0.125
    assert paired(100, -values).p == 0.125
    assert paired(100, 0 * values).p == 1


def test_only_sizes_and_seeds_of_both_are_compared() -> None:
    found = compare(curve(0.7, seed=0, sizes=(10, 100)), curve(0.7, seed=1, sizes=(100, 1_000)))
    assert [each.n_cells for each in found] == [100]


def test_holm_by_hand() -> None:
    differences = [Difference(float(k), 0, 0, 0, p, p, 5) for k, p in enumerate([0.04, 0.01, 0.03, 0.5])]
    assert [each.p_adjusted for each in adjusted(differences)] == pytest.approx([0.09, 0.04, 0.09, 0.5])


def test_the_adjusted_p_never_exceeds_1() -> None:
    differences = [Difference(None, 0, 0, 0, p, p, 5) for p in (0.6, 0.7)]
    assert [each.p_adjusted for each in adjusted(differences)] == [1, 1]


def test_no_pair_of_seeds_is_refused() -> None:
    with pytest.raises(SaturationError, match=r"0 sizes and 5 seeds in common; a comparison needs 2 seeds"):
        compare(curve(0.7, seed=0, sizes=(10,)), curve(0.7, seed=1, sizes=(100,)))
