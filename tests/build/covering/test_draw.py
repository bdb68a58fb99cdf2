"""Draws from a covering: geosketch's law, counted."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import chisquare

from curate.build.covering.covering import Covering
from curate.build.covering.draw import draw, draw_with_replacement

if TYPE_CHECKING:
    from numpy.typing import NDArray


def covering(*sizes: int) -> Covering:
    boxes = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    return Covering(boxes=boxes, n_boxes=len(sizes), unit=0.1, n_constant=0, n_tried=1)


def random_keys(n: int, seed: int = 0) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)


def law(sizes: tuple[int, ...], n: int) -> dict[frozenset[int], float]:
    """Return how likely each set of `n` cells is, draw by draw as geosketch's loop goes."""
    bounds = np.cumsum((0, *sizes)).tolist()
    states: dict[tuple[frozenset[int], frozenset[int]], float] = {(frozenset(), frozenset()): 1.0}
    for _ in range(n):
        after: dict[tuple[frozenset[int], frozenset[int]], float] = {}
        for (valid, drawn), chance in states.items():
            left = [set(range(a, b)) - drawn for a, b in pairwise(bounds)]
            open_boxes = valid or frozenset(box for box, cells in enumerate(left) if cells)
            for box in open_boxes:
                for cell in left[box]:
                    state = (open_boxes - {box}, drawn | {cell})
                    share = chance / len(open_boxes) / len(left[box])
                    after[state] = after.get(state, 0) + share
        states = after
    sets: dict[frozenset[int], float] = {}
    for (_, drawn), chance in states.items():
        sets[drawn] = sets.get(drawn, 0) + chance
    return sets


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_every_set_of_cells_is_as_likely_as_with_geosketch(n: int) -> None:
    sizes, n_draws = (1, 2, 4), 6000
    expected = law(sizes, n)
    seen = dict.fromkeys(expected, 0)
    boxes = covering(*sizes)
    for seed in range(n_draws):
        seen[frozenset(draw(boxes, n, keys=random_keys(7, seed)).tolist())] += 1
    assert chisquare(list(seen.values()), np.array(list(expected.values())) * n_draws).pvalue > 1e-3


def test_boxes_are_refilled_when_all_have_been_drawn() -> None:
    sizes = (1, 3, 50, 7)
    boxes, keys = covering(*sizes), random_keys(61)
    for n in range(1, 62):
        given = np.bincount(boxes.boxes[draw(boxes, n, keys=keys)], minlength=4)
        depth = next(d for d in range(60) if np.minimum(sizes, d + 1).sum() >= n)
        assert given.sum() == n
        assert (given >= np.minimum(sizes, depth)).all()
        assert (given <= np.minimum(sizes, depth + 1)).all()


def test_smaller_draws_lie_inside_larger_ones() -> None:
    boxes, keys = covering(1, 3, 50, 7), random_keys(61)
    ladder = [set(draw(boxes, n, keys=keys).tolist()) for n in range(1, 62)]
    assert all(smaller < larger for smaller, larger in pairwise(ladder))


def test_equal_keys_are_no_trouble() -> None:
    rows = draw(covering(2, 5, 1), 6, keys=np.zeros(8, dtype=np.uint64))
    assert rows.size == np.unique(rows).size == 6


def test_with_replacement_boxes_take_turns_and_cells_are_alike() -> None:
    boxes = covering(1, 2, 5)
    drawn = draw_with_replacement(boxes, 6000, rng=np.random.default_rng(0))
    turns = np.sort(boxes.boxes[drawn].reshape(-1, 3), axis=1)
    assert (turns == [0, 1, 2]).all()
    expected = np.repeat([2000, 1000, 400], [1, 2, 5])
    assert chisquare(np.bincount(drawn, minlength=8), expected).pvalue > 1e-3


def test_with_replacement_the_order_of_boxes_is_random_and_fewer_draws_come_first() -> None:
    boxes = covering(*[3] * 40)
    drawn, fewer = (draw_with_replacement(boxes, n, rng=np.random.default_rng(1)) for n in (400, 130))
    np.testing.assert_array_equal(drawn[:130], fewer)
    firsts = boxes.boxes[drawn[::40]]
    assert np.unique(firsts).size > 5
