"""Curves: runs in any order, refused when they contradict each other."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import SaturationError
from curate.evaluate.saturation.curve import Curve


def test_a_curve_is_a_table_of_seeds_and_sizes_whatever_the_order_of_its_runs() -> None:
    curve = Curve.of([100, 10, 10, 100], [4, 1, 2, 3], [7, 7, 3, 3])
    assert curve.steps.tolist() == [10, 100]
    assert curve.table.tolist() == [[2, 3], [1, 4]]
    assert curve.means.tolist() == [1.5, 3.5]


def test_a_seed_may_lack_a_size() -> None:
    curve = Curve.of([10, 100, 10], [1, 2, 3], [0, 0, 1])
    assert np.isnan(curve.table[1, 1])
    assert curve.means.tolist() == [2, 2]


@pytest.mark.parametrize(
    ("n_cells", "scores", "seeds", "message"),
    [
        ([], [], [], r"0 sizes, 0 scores and 0 seeds"),
        ([1, 2], [1], [0, 0], r"2 sizes, 1 scores and 2 seeds"),
        ([0, 2], [1, 1], [0, 0], r"a run on 0.0 cells"),
        ([1, 2], [1, float("nan")], [0, 0], r"1 of 2 scores are no numbers"),
        ([5, 5], [1, 2], [3, 3], r"two runs of seed 3 on 5 cells"),
    ],
)
def test_runs_that_make_no_curve_are_refused(
    n_cells: list[float], scores: list[float], seeds: list[int], message: str
) -> None:
    with pytest.raises(SaturationError, match=message):
        Curve.of(n_cells, scores, seeds)
