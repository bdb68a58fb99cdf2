"""Rare labels: which they are, and what a set of cells holds of them."""

import pytest

from curate.build.diversity.rare import RareLabels, rare_held, rare_labels

CORPUS = {"common": 9_970, "rare": 9, "rarer": 2, "just not": 10, "(missing)": 9}


def test_rare_is_strictly_under_the_share() -> None:
    assert rare_labels(CORPUS, n_cells=10_000, below=0.001) == {"rare", "rarer"}
    assert rare_labels(CORPUS, n_cells=10_000, below=0.00101) == {"rare", "rarer", "just not"}


def test_a_label_is_held_with_enough_cells() -> None:
    rare = frozenset({"rare", "rarer"})
    counts = {"common": 94, "rare": 5, "rarer": 1}
    assert rare_held(counts, rare, n_cells=100, at_least=5) == RareLabels(2, 1, 0.5, 0.06)
    assert rare_held(counts, rare, n_cells=100, at_least=6).held_share == 0
    assert rare_held(counts, rare, n_cells=100, at_least=1).held_share == 1


def test_without_rare_labels_there_is_no_share() -> None:
    found = rare_held({"common": 5}, frozenset(), n_cells=5)
    assert (found.held_share, found.cells_share) == (None, 0)
    assert rare_held({}, frozenset({"a"}), n_cells=0).cells_share == pytest.approx(0)
