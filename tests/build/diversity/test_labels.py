"""Diversity indices: cases by hand and an independent implementation."""

import math

import numpy as np
import pytest
from scipy.stats import entropy, hypergeom

from curate.build.diversity.labels import gini_simpson, inverse_simpson, rarefied_richness, shannon_bits


def test_equal_types_are_as_diverse_as_can_be() -> None:
    assert shannon_bits([5] * 164) == pytest.approx(math.log2(164))
    assert inverse_simpson([5] * 164) == pytest.approx(164)
    assert gini_simpson([5] * 164) == pytest.approx(1 - 1 / 164)


def test_one_type_is_not_diverse() -> None:
    assert (shannon_bits([7]), inverse_simpson([7]), gini_simpson([7])) == (0.0, 1.0, 0.0)


def test_three_to_one_by_hand() -> None:
    assert shannon_bits([3, 1]) == pytest.approx(2 - 0.75 * math.log2(3))
    assert inverse_simpson([3, 1]) == pytest.approx(1.6)
    assert gini_simpson([3, 1]) == pytest.approx(0.375)


def test_empty_categories_add_nothing() -> None:
    assert shannon_bits([3, 0, 1]) == shannon_bits([3, 1])


def test_no_cell_has_no_diversity() -> None:
    assert np.isnan([shannon_bits([]), inverse_simpson([0]), gini_simpson([])]).all()


def test_shannon_agrees_with_scipy() -> None:
    counts = np.random.default_rng(0).integers(1, 1_000, 50)
    assert shannon_bits(counts) == pytest.approx(entropy(counts, base=2))


def test_rarefied_labels_by_hand() -> None:
    # Two of {a, a, b}: aa once, ab twice in three.
    assert rarefied_richness([2, 1], 2) == pytest.approx(1 / 3 * 1 + 2 / 3 * 2)
    assert rarefied_richness([2, 0, 1], 3) == pytest.approx(2)
    assert rarefied_richness([5, 5], 1) == pytest.approx(1)
    assert rarefied_richness([5, 5], 0) == pytest.approx(0)


def test_rarefied_labels_agree_with_the_hypergeometric_law() -> None:
    counts = np.random.default_rng(0).integers(1, 200, 30)
    held = 1 - np.asarray(hypergeom(counts.sum(), counts, 100).pmf(0))
    assert rarefied_richness(counts, 100) == pytest.approx(held.sum())


def test_rarefying_works_at_the_size_of_the_corpus() -> None:
    assert rarefied_richness([22_000_000, 189_056], 200_000) == pytest.approx(2)


def test_no_more_cells_can_be_drawn_than_there_are() -> None:
    with pytest.raises(ValueError, match="4 of 3 cells cannot be drawn"):
        rarefied_richness([2, 1], 4)
