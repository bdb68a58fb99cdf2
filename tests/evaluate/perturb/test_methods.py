"""Baselines and heads on small responses made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from curate.evaluate.perturb.baselines import BASELINES, additive, control_knn, no_change, training_mean
from curate.evaluate.perturb.folds import Asked, Known
from curate.evaluate.perturb.heads import HEADS, knn

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = np.arange(8)
#: Cells 0-3 are controls of context a, 4-7 of b; those of c, the context to predict, are 8-11.
VECTORS = np.array([[0.0, i % 4] for i in range(4)] + [[10.0, i % 4] for i in range(8)])


def vectors(rows: NDArray[np.int64]) -> NDArray[np.float64]:
    return VECTORS[rows]


def known(*, new: bool = False) -> Known:
    """Perturbations 0 and 1 in contexts a and b: twice as strong in b."""
    return Known(
        contexts=("a", "b", "c"),
        strata=("", "", ""),
        pairs=np.array([[0, 0], [0, 1], [1, 0], [1, 1]]),
        changes=np.array([[1.0, 0, 0], [0, 1.0, 0], [2.0, 0, 0], [0, 2.0, 0]]),
        n_cells=np.full(4, 10),
        controls={0: ROWS[:4], 1: ROWS[4:]},
        control_means={0: np.zeros(3), 1: np.full(3, 5.0)},
        perturbations_are_new=new,
    )


def asked(site: int = 2, perturbation: int = 0) -> Asked:
    return Asked(site, perturbation, np.arange(8, 12), np.full(3, 4.0))


def test_no_change_is_nothing() -> None:
    assert no_change(known())(asked()).mean.tolist() == [0, 0, 0]


def test_the_mean_of_the_training_contexts() -> None:
    assert training_mean(known())(asked()).mean.tolist() == [1.5, 0, 0]


def test_the_mean_for_a_new_perturbation_is_that_of_the_others_at_the_site() -> None:
    predict = training_mean(known())
    assert predict(asked(site=1, perturbation=9)).mean.tolist() == [1, 1, 0]
    assert predict(asked(site=2, perturbation=9)).mean.tolist() == [0.75, 0.75, 0]


def test_the_mean_is_of_the_same_stratum_where_it_has_been_seen() -> None:
    held = known()
    held = Known(**{**held.__dict__, "strata": ("T", "B", "B")})
    assert training_mean(held)(asked()).mean.tolist() == [2, 0, 0]


def test_the_nearest_training_context_by_its_controls() -> None:
    assert control_knn(known())(asked()).mean.tolist() == [2, 0, 0]
    assert control_knn(known(), n_neighbors=2)(asked()).mean.tolist() == [1.5, 0, 0]


def test_additive_effects_recover_a_table_that_is_additive() -> None:
    rng = np.random.default_rng(0)
    site, perturbation = rng.normal(size=(6, 4)), rng.normal(size=(8, 4))
    pairs = np.array([[i, j] for i in range(6) for j in range(8) if (i, j) != (5, 7)])
    held = known()
    changes = site[pairs[:, 0]] + perturbation[pairs[:, 1]]
    held = Known(
        **{
            **held.__dict__,
            "contexts": tuple("abcdef"),
            "strata": ("",) * 6,
            "pairs": pairs,
            "changes": changes,
            "n_cells": np.full(len(pairs), 10),
        }
    )
    found = additive(held)(asked(site=5, perturbation=7)).mean
    np.testing.assert_allclose(found, site[5] + perturbation[7], atol=0.05)


def test_a_head_votes_for_the_context_whose_control_cells_are_most_alike() -> None:
    held = Known(**{**known().__dict__, "controls": {0: np.arange(4), 1: np.arange(4, 8)}})
    predicted = knn(held, vectors, seed=0)(asked())
    assert predicted.mixture.shape == (4, 2)
    # All 8 controls are neighbours where 15 are asked for.
    np.testing.assert_allclose(predicted.mean, [1.5, 0, 0])


@pytest.mark.parametrize("name", ["linear", "mlp"])
def test_a_head_follows_the_vectors_of_the_cells(name: str) -> None:
    predicted = HEADS[name](known(), vectors, seed=0)(asked())
    mean = HEADS[name](known(), lambda rows: np.zeros((rows.size, 2)), seed=0)(asked()).mean
    np.testing.assert_allclose(mean, [1.5, 0, 0], atol=0.02)
    assert predicted.mean[0] > 1.7  # context c is as b, where perturbation 0 does 2
    np.testing.assert_allclose(predicted.mean[1:], 0, atol=0.3)


@pytest.mark.parametrize("name", list(HEADS))
def test_a_head_says_the_same_again(name: str) -> None:
    first, again = (HEADS[name](known(), vectors, seed=3)(asked()).mean for _ in range(2))
    assert first.tolist() == again.tolist()


@pytest.mark.parametrize("name", list(HEADS))
def test_a_head_for_new_perturbations_predicts_what_they_do_on_average(name: str) -> None:
    predicted = HEADS[name](known(new=True), vectors, seed=0)(asked(perturbation=9))
    assert predicted.mean[0] == pytest.approx(predicted.mean[1], abs=0.05)
    assert 0.7 < predicted.mean[0] < 1.1


@pytest.mark.parametrize("name", list(BASELINES))
def test_one_training_response_is_enough_for_a_baseline(name: str) -> None:
    held = known()
    held = Known(
        **{**held.__dict__, "pairs": held.pairs[:1], "changes": held.changes[:1], "n_cells": np.array([5])}
    )
    assert BASELINES[name](held)(asked()).mean.tolist() == ([0, 0, 0] if name == "no-change" else [1, 0, 0])


@pytest.mark.parametrize("name", ["linear", "mlp"])
def test_dimensions_that_never_vary_decide_nothing(name: str) -> None:
    def wider(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.hstack([np.full((rows.size, 3), 0.1), VECTORS[rows]])

    narrow, wide = (HEADS[name](known(), each, seed=0)(asked()).mean for each in (vectors, wider))
    assert narrow.tolist() == wide.tolist()
