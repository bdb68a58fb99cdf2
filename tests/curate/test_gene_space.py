"""Gene spaces that say who measured what."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import SourceError
from curate.gene_space import GeneSpace, Presence

PRESENCE = Presence(("a", "b"), np.array([[True, True, False], [True, False, False]]))
SPACE = GeneSpace(("g1", "g2", "g3"), ("G1", "G2", "G3"), PRESENCE)


def test_presence_says_how_many_genes_a_data_set_and_how_many_data_sets_a_gene() -> None:
    assert PRESENCE.n_genes == {"a": 2, "b": 1}
    assert PRESENCE.n_datasets.tolist() == [2, 1, 0]
    assert PRESENCE.of("b").tolist() == [True, False, False]


def test_a_data_set_of_unknown_presence_is_refused_with_the_nearest() -> None:
    with pytest.raises(SourceError, match="not known which genes 'c' measured; there are: a, b"):
        PRESENCE.of("c")


def test_presence_goes_along_with_the_genes_that_are_taken() -> None:
    taken = SPACE.at([2, 0])
    assert taken.feature_ids == ("g3", "g1")
    assert taken.presence is not None
    assert taken.presence.measured.tolist() == [[False, True], [False, True]]


def test_presence_of_two_sources_is_joined() -> None:
    both = PRESENCE.joined(Presence(("c",), np.array([[False, False, True]])))
    assert both.datasets == ("a", "b", "c")
    assert both.n_datasets.tolist() == [2, 1, 1]


def test_presence_does_not_make_another_space() -> None:
    assert GeneSpace(("g1", "g2", "g3"), ("G1", "G2", "G3")) == SPACE
    assert SPACE.measured_by(PRESENCE).digest == SPACE.digest


def test_presence_of_another_number_of_genes_is_refused() -> None:
    with pytest.raises(SourceError, match="a presence of 3 genes for 1 gene ids"):
        GeneSpace(("g1",), ("G1",), PRESENCE)
