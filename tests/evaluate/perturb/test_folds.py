"""What is held out, and what a method may see of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from curate.errors import EvaluationError
from curate.evaluate.data import logged
from curate.evaluate.perturb.changes import Moments, moments_of
from curate.evaluate.perturb.design import Design, design_of
from curate.evaluate.perturb.folds import Fold, HoldOut, asked_of, folds_of, rounds_of

if TYPE_CHECKING:
    from curate.evaluate.data import EvaluationData


def designed(data: EvaluationData) -> tuple[Design, Moments]:
    design = design_of(
        data.labels("perturbation"), data.labels("donor_id"), min_cells=4, rng=np.random.default_rng(0)
    )
    return design, moments_of(logged(data.counts), design)


def folds(design: Design, hold_out: HoldOut, n_folds: int = 3) -> list[Fold]:
    return folds_of(design, hold_out, n_folds=n_folds, rng=np.random.default_rng(0))[0]


def test_each_context_is_held_out_once(screen: EvaluationData) -> None:
    design, _ = designed(screen)
    found = folds(design, "context")
    assert [fold.name for fold in found] == ["a", "b", "c"]
    for site, fold in enumerate(found):
        assert set(fold.wanted[:, 0].tolist()) == {site}
        assert site not in fold.known[:, 0]
        assert len(fold.known) + len(fold.wanted) == len(design.pairs)


def test_each_perturbation_is_held_out_once_everywhere(screen: EvaluationData) -> None:
    design, _ = designed(screen)
    found = folds(design, "perturbation")
    held = [set(fold.wanted[:, 1].tolist()) for fold in found]
    assert sorted(number for each in held for number in each) == [0, 1, 2, 3]
    for fold, numbers in zip(found, held, strict=True):
        assert not numbers & set(fold.known[:, 1].tolist())
        assert set(fold.wanted[:, 0].tolist()) == {0, 1, 2}


@pytest.mark.parametrize("hold_out", ["context", "perturbation"])
def test_truth_and_what_is_seen_share_no_cell(screen: EvaluationData, hold_out: HoldOut) -> None:
    design, moments = designed(screen)
    for fold in folds(design, hold_out):
        for step in rounds_of(fold, moments, design):
            for half in step.halves:
                for site, number in fold.wanted.tolist():
                    truth = {*design.cells(site, number, half), *design.controls(site, half)}
                    asked = asked_of((site, number), half, moments, design)
                    assert not truth & set(asked.controls.tolist())
                    assert not truth & {row for rows in step.known.controls.values() for row in rows.tolist()}
                    assert [site, number] not in step.known.pairs.tolist()


def test_changes_at_a_site_that_is_tested_are_against_the_controls_that_are_shown(
    screen: EvaluationData,
) -> None:
    design, moments = designed(screen)
    fold = folds(design, "perturbation")[0]
    first, second = rounds_of(fold, moments, design)
    site, number = fold.known[0].tolist()
    assert (first.halves, second.halves) == ((0,), (1,))
    expected = moments.of(site, number).mean - moments.of(site, -1, 1).mean
    np.testing.assert_allclose(first.known.changes[0], expected)
    assert not np.allclose(second.known.changes[0], expected)


def test_one_context_only_is_refused_with_what_to_do() -> None:
    design = design_of(
        np.array(["control", "X"] * 4), np.array(["a"] * 8), min_cells=4, rng=np.random.default_rng(0)
    )
    with pytest.raises(EvaluationError, match=r"one context only \(a\).*context_column"):
        folds(design, "context")
    with pytest.raises(EvaluationError, match=r"1 perturbation \(X\); holding out perturbations needs two"):
        folds(design, "perturbation")


def test_a_perturbation_of_one_context_is_not_predicted_there() -> None:
    labels = np.array(["control", "X", "Y", "control", "X", "X"] * 4)
    contexts = np.array(["a", "a", "a", "b", "b", "b"] * 4)
    design = design_of(labels, contexts, min_cells=4, rng=np.random.default_rng(0))
    found, notices = folds_of(design, "context", n_folds=2, rng=np.random.default_rng(0))
    assert [fold.wanted.tolist() for fold in found] == [[[0, 0]], [[1, 0]]]
    assert notices == ("a alone has Y; not predicted there",)


def test_contexts_without_a_common_perturbation_are_refused() -> None:
    labels = np.array(["control", "X", "control", "Y"] * 4)
    contexts = np.array(["a", "a", "b", "b"] * 4)
    design = design_of(labels, contexts, min_cells=4, rng=np.random.default_rng(0))
    with pytest.raises(EvaluationError, match="no perturbation occurs in two of the 2 contexts"):
        folds(design, "context")
