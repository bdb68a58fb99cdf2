"""The energy distance of shifted cells equals that of the cells written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from curate.evaluate.metrics.perturbation import energy_distance
from curate.evaluate.perturb.populations import Population, Shifts, drawn, energy_to
from curate.evaluate.perturb.predicted import Predicted


def populations() -> tuple[Population, Population]:
    rng = np.random.default_rng(0)
    return (
        Population(np.arange(20), rng.normal(size=(20, 12))),
        Population(np.arange(15), rng.normal(1, 1, size=(15, 12))),
    )


def test_cells_that_change_alike() -> None:
    controls, truth = populations()
    change = np.random.default_rng(1).normal(size=12)
    found = Shifts(controls, truth).energy(Predicted.alike(change))
    assert found == pytest.approx(energy_distance(controls.cells + change, truth.cells))


def test_cells_that_change_each_by_itself() -> None:
    controls, truth = populations()
    rng = np.random.default_rng(2)
    predicted = Predicted(rng.normal(size=(20, 3)), rng.normal(size=(3, 12)))
    found = Shifts(controls, truth).energy(predicted)
    moved = controls.cells + predicted.mixture @ predicted.basis
    assert found == pytest.approx(energy_distance(moved, truth.cells))


def test_two_measured_populations() -> None:
    one, other = populations()
    assert energy_to(one, other) == pytest.approx(energy_distance(one.cells, other.cells))


def test_cells_are_drawn_with_their_places() -> None:
    x = csr_array(np.arange(40, dtype=np.float32).reshape(20, 2))
    rows = np.arange(5, 20)
    found = drawn(x, rows, most=6, rng=np.random.default_rng(0))
    assert found.places.size == 6
    np.testing.assert_array_equal(found.cells, x[rows[found.places]].toarray())
    assert drawn(x, rows, most=15, rng=np.random.default_rng(0)).places.tolist() == list(range(15))
