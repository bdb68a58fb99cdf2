"""Grids of families: made finer where it is asked, without a change of what a range stands for."""

from __future__ import annotations

import numpy as np
import pytest

from curate.evaluate.saturation.families import FAMILIES


@pytest.mark.parametrize("name", list(FAMILIES))
def test_points_of_the_first_grid_stand_for_the_same(name: str) -> None:
    n_thetas = FAMILIES[name].thetas.size
    assert FAMILIES[name].masses == pytest.approx(np.full(n_thetas, 1 / n_thetas))


@pytest.mark.parametrize("name", ["power", "exponential", "rational"])
def test_split_gaps_have_points_between_them_at_equal_distances(name: str) -> None:
    family = FAMILIES[name]
    is_split = np.zeros(family.thetas.size - 1, np.bool_)
    is_split[[3, 4]] = True
    thetas = family.finer(is_split, 4).thetas
    assert thetas.size == family.thetas.size + 6
    assert thetas[:4] == pytest.approx(family.thetas[:4])
    assert thetas[3:8] == pytest.approx(np.linspace(family.thetas[3], family.thetas[4], 5))
    assert thetas[7:12] == pytest.approx(np.linspace(family.thetas[4], family.thetas[5], 5))
    assert thetas[12:] == pytest.approx(family.thetas[6:])


def test_finer_points_share_what_their_gap_stood_for() -> None:
    family = FAMILIES["exponential"]
    is_split = np.zeros(family.thetas.size - 1, np.bool_)
    is_split[50:60] = True
    finer = family.finer(is_split, 7)
    inside = (finer.thetas > family.thetas[52]) & (finer.thetas < family.thetas[58])
    assert finer.masses.sum() == pytest.approx(1)
    # Six gaps of seven points less the one at the end.
    assert finer.masses[inside].sum() == pytest.approx((6 - 1 / 7) / family.thetas.size)
