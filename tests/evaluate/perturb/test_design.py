"""Cells sorted into controls and perturbed cells; what is left out, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import EvaluationError
from curate.evaluate.perturb.design import CONTROL, Design, design_of


def made(cells: dict[tuple[str, str], int], **options: Any) -> Design:
    """A design of so many cells of each (context, perturbation)."""
    contexts = np.array([context for (context, _), n in cells.items() for _ in range(n)])
    perturbations = np.array([name for (_, name), n in cells.items() for _ in range(n)])
    given: dict[str, Any] = {"min_cells": 4, "rng": np.random.default_rng(0), **options}
    return design_of(perturbations, contexts, **given)


def test_cells_are_found_by_site_perturbation_and_half() -> None:
    design = made({("a", "control"): 6, ("a", "X"): 5, ("b", "X"): 4, ("b", "DMSO"): 4})
    assert design.contexts == ("a", "b")
    assert design.perturbations == ("X",)
    assert design.pairs.tolist() == [[0, 0], [1, 0]]
    assert design.controls(0).tolist() == [0, 1, 2, 3, 4, 5]
    assert design.cells(1, 0).tolist() == [11, 12, 13, 14]
    assert design.controls(1).tolist() == [15, 16, 17, 18]
    assert design.notices == ()


@given(n=st.integers(4, 30), seed=st.integers(0, 5))
def test_halves_part_every_group_evenly(n: int, seed: int) -> None:
    design = made({("a", "control"): n, ("a", "X"): n + 1}, rng=np.random.default_rng(seed))
    for perturbation in (CONTROL, 0):
        halves = [design.cells(0, perturbation, half) for half in (0, 1)]
        assert abs(halves[0].size - halves[1].size) <= 1
        assert np.sort(np.concatenate(halves)).tolist() == design.cells(0, perturbation).tolist()


def test_halves_are_drawn_by_lot() -> None:
    first, again, other = (
        made({("a", "control"): 30, ("a", "X"): 30}, rng=np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert first.half.tolist() == again.half.tolist()
    assert first.half.tolist() != other.half.tolist()


def test_strata_make_sites_of_a_context() -> None:
    design = design_of(
        np.array(["control", "X"] * 8),
        np.array(["a"] * 16),
        np.array(["B", "B", "T", "T"] * 4),
        min_cells=4,
        rng=np.random.default_rng(0),
    )
    assert (design.contexts, design.strata) == (("a", "a"), ("B", "T"))
    assert design.cells(1, 0).tolist() == [3, 7, 11, 15]


def test_cells_whose_perturbation_is_not_known_are_left_out_and_counted() -> None:
    design = made({("a", "control"): 4, ("a", "X"): 4, ("a", "unassigned"): 3, ("unknown", "X"): 2})
    assert design.notices == ("5 of 13 cells have no label that says anything; left out",)
    assert (design.site == -1).sum() == 5
    assert design.perturbations == ("X",)


def test_too_few_cells_of_a_perturbation_or_of_controls_are_left_out_with_a_notice() -> None:
    design = made(
        {
            ("a", "control"): 4,
            ("a", "X"): 4,
            ("a", "Y"): 1,
            ("b", "control"): 1,
            ("b", "X"): 9,
            ("c", "control"): 5,
            ("c", "X"): 5,
        }
    )
    assert design.pairs.tolist() == [[0, 0], [2, 0]]
    assert design.notices == (
        "a has too few cells of Y 1 (4 are needed); left out",
        "b has 1 control cells, 4 are needed; left out",
    )
    assert design.cells(0, 1).size == 0
    assert design.controls(1).size == 0


def test_without_control_cells_the_perturbations_are_named() -> None:
    with pytest.raises(EvaluationError, match=r"no control cells: none of the 2 perturbations \(X, Y\)"):
        made({("a", "X"): 4, ("a", "Y"): 4})


def test_a_control_that_does_not_occur_is_refused_with_the_nearest() -> None:
    with pytest.raises(EvaluationError, match=r"labelled 'non-targetting'; did you mean 'non-targeting'\?"):
        made({("a", "non-targeting"): 4, ("a", "X"): 4}, controls=["non-targetting"])


def test_a_control_that_is_named_stands_alone() -> None:
    design = made({("a", "control"): 4, ("a", "X"): 4, ("a", "GFP"): 4}, controls=["GFP"])
    assert design.perturbations == ("X", "control")
    assert design.controls(0).tolist() == [8, 9, 10, 11]


def test_nothing_left_is_an_error_with_the_numbers() -> None:
    with pytest.raises(
        EvaluationError, match=r"no perturbation has 4 cells beside 4 controls .*at most 3 cells, 9"
    ):
        made({("a", "control"): 9, ("a", "X"): 3})
