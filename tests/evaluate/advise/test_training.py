"""How long the models of a climb train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from curate.evaluate.advise.training import (
    MOST_LEAST_STEPS,
    cells_seen,
    described,
    was_improving,
    with_least_steps,
)
from curate.train.artifact.train import train
from curate.train.fit.plan import Budget, FitPlan

if TYPE_CHECKING:
    from curate.manifests.manifest import Manifest
    from curate.workspace import Workspace

FREE = Budget()


def least(model: Any, changes: dict[str, Any], n_all: int, budget: Budget = FREE) -> int | None:
    return with_least_steps(model, "tiny", changes, budget, n_all=n_all).get("min_steps")


def test_a_small_subset_takes_as_many_steps_as_the_whole_corpus() -> None:
    # 0.8 of 13,198 cells are 42 batches of 256; ten epochs.
    assert least("contrastive", {}, 13_198) == 420
    assert least("contrastive", {"max_epochs": 20}, 13_198) == 840


def test_a_large_corpus_does_not_decide_how_long_a_small_subset_trains() -> None:
    assert least("contrastive", {}, 22_000_000) == MOST_LEAST_STEPS


def test_a_model_takes_no_fewer_than_its_settings_say() -> None:
    assert least("contrastive", {}, 1_000) == 150


@pytest.mark.parametrize(
    ("changes", "budget"), [({"min_steps": 7}, FREE), ({}, Budget(max_steps=30)), ({}, Budget(max_cells=900))]
)
def test_who_says_how_long_gets_that(changes: dict[str, Any], budget: Budget) -> None:
    assert with_least_steps("contrastive", "tiny", changes, budget, n_all=13_198) == changes


def test_what_has_no_steps_gets_none() -> None:
    assert with_least_steps("pca", "tiny", {}, FREE, n_all=13_198) == {}
    assert described("pca", "tiny", {}, FREE) is None


@pytest.mark.parametrize(
    ("changes", "budget", "n_cells", "seen"),
    [
        ({"max_epochs": 10}, FREE, 1_280, 10_240),
        # 0.8 of 320 cells are one batch of 256.
        ({"min_steps": 420}, FREE, 320, 420 * 256),
        ({}, Budget(max_cells=900), 1_280, 900),
        ({}, Budget(max_steps=30), 1_280, 30 * 256),
    ],
)
def test_the_cells_that_a_model_sees_are_known_before(
    changes: dict[str, Any], budget: Budget, n_cells: int, seen: float
) -> None:
    assert cells_seen("contrastive", "tiny", changes, budget, n_cells=n_cells) == pytest.approx(seen)


def test_how_long_is_said() -> None:
    assert described("contrastive", "tiny", {"min_steps": 420}, FREE) == (
        "10 epochs, 420 steps at least; fewer when validation stops to improve"
    )
    assert described("contrastive", "tiny", {}, Budget(max_cells=25_600)) == (
        "25,600 training cells seen, whatever the subset"
    )


def test_a_model_that_stopped_too_early_is_known(manifest: Manifest, workspace: Workspace) -> None:
    changes = {"max_epochs": 2, "n_hidden": (8,), "n_dims": 4}
    made = train("masked", manifest, workspace=workspace, preset="tiny", changes=changes)
    assert made.artifact.header.best_step == made.artifact.header.cost.n_steps
    assert was_improving(made.artifact)
    budget = FitPlan(workspace.root, budget=Budget(max_steps=2))
    made = train("masked", manifest, workspace=workspace, preset="tiny", changes=changes, plan=budget)
    assert not was_improving(made.artifact)
