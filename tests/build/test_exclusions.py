"""Exclusions: in order, each counted on what those before it left."""

from pathlib import Path

import numpy as np
import pytest

from curate.build.build import build
from curate.build.exclusions import Exclusion, Mask, exclude
from curate.corpus import Corpus
from curate.errors import SelectionError
from curate.manifests.registry import Registry


def first(n: int, n_cells: int = 600) -> Mask:
    return np.arange(n_cells) < n


def test_each_reason_is_counted_on_what_those_before_it_left(corpus: Corpus) -> None:
    kept, records = exclude(
        corpus,
        np.ones(600, np.bool_),
        [Exclusion("a", {"n": 100}, first(100)), Exclusion("b", {"n": 150}, first(150))],
    )
    assert [(record.reason, record.n_cells) for record in records] == [("a", 100), ("b", 50)]
    assert np.flatnonzero(~kept).tolist() == list(range(150))


def test_a_rule_that_looks_at_other_cells_sees_those_that_are_left(corpus: Corpus) -> None:
    seen = []

    def drop(of: Corpus, kept: Mask) -> Mask:
        seen.append((of.n_cells, int(kept.sum())))
        return ~kept

    _, records = exclude(
        corpus, np.ones(600, np.bool_), [Exclusion("a", {}, first(100)), Exclusion("b", {}, drop)]
    )
    assert seen == [(600, 500)]
    assert records[1].n_cells == 0


def test_excluded_cells_are_not_chosen_and_the_manifest_says_why(corpus: Corpus, tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    exclusions = [Exclusion("too early", {"before": 200}, first(200))]
    (manifest,) = build(
        corpus,
        registry=registry,
        strategy="random",
        fraction=1,
        where="dataset_id != 'dataset-c'",
        exclusions=exclusions,
    )
    assert manifest.cells()["soma_joinid"].to_list() == list(range(200, 450))
    (record,) = manifest.document.exclusions
    assert (record.reason, record.n_cells, record.parameters) == ("too early", 200, {"before": 200})
    assert manifest.document.selection.n_available == 250
    assert manifest.verify().ok


def test_excluding_everything_is_an_error_that_says_what_each_reason_took(corpus: Corpus) -> None:
    exclusions = [Exclusion("a", {"n": 500}, first(500)), Exclusion("b", {"n": 600}, first(600))]
    with pytest.raises(
        SelectionError, match=r"none of the 600 cells .* is left: a 500 takes 500, b 600 takes 100; loosen"
    ):
        build(corpus, registry=Registry(corpus.path), strategy="random", fraction=1, exclusions=exclusions)
