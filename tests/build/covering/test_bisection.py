"""The sides that share a pass: a guess that saves passes and never changes what is found."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from curate.build.covering import bisection as covering_bisection
from curate.build.covering import covering
from curate.build.covering.bisection import Bisection
from curate.build.covering.covering import cover, partition
from curate.build.covering.number_kernels import number_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HIGH = np.float32(1)


def clusters(n_cells: int, n_dims: int) -> NDArray[np.float32]:
    rng = np.random.default_rng([n_cells, n_dims])
    centres = 3 * rng.normal(size=(7, n_dims))
    values = rng.normal(size=(n_cells, n_dims)) + centres[rng.integers(7, size=n_cells)]
    return (values * np.exp(rng.normal(size=n_dims))).astype(np.float32)


def start(k: int, max_iter: int = 200) -> Bisection:
    return Bisection(k, 0.1, max_iter, low=np.float32(0), high=HIGH, unit=HIGH / np.float32(4))


def path(step: Bisection, n_boxes: dict[float, int]) -> list[np.float32]:
    """Return all sides of a bisection, from the numbers of boxes of any."""
    sides = []
    then: Bisection | None = step
    while then is not None:
        sides.append(then.unit)
        then = then.after(n_boxes[float(then.unit)])
    return sides


class ByPower(dict[float, int]):
    """Boxes as a power of the side."""

    def __init__(self, power: float) -> None:
        super().__init__()
        self.power = power

    def __missing__(self, unit: float) -> int:
        return round(math.pow(1 / unit, self.power))


@pytest.mark.parametrize(("power", "k"), [(2.0, 500), (4.0, 5000), (6.5, 1_000_000), (0.5, 50)])
def test_where_boxes_follow_a_power_of_the_side_the_path_is_foreseen(power: float, k: int) -> None:
    law = ByPower(power)
    sides = path(start(k, max_iter=8), law)
    first = start(k).likely({})
    assert first == sides[:3] == [np.float32(side) for side in (0.25, 0.125, 0.0625)]
    known = {float(side): min(law[float(side)], int(1.1 * k) + 1) for side in first}
    step: Bisection | None = start(k, max_iter=8)
    while step is not None and float(step.unit) in known:
        step = step.after(known[float(step.unit)])
    assert step is not None
    assert step.likely(known) == sides[3:]


@pytest.mark.parametrize("known", [{0.25: 10**6}, {0.25: 1, 0.125: 1, 0.0625: 10**6}, {0.25: 0, 0.125: 7}])
def test_numbers_that_follow_no_power_are_no_trouble(known: dict[float, int]) -> None:
    step = start(1000).after(known[0.25])
    assert step is not None
    sides = step.likely(known | {0.25: max(known[0.25], 1)})
    assert sides[0] == step.unit
    assert 1 <= len(sides) == len(set(sides)) <= 6


def test_a_bisection_ends_when_enough_sides_were_tried() -> None:
    assert len(path(start(1000, max_iter=4), ByPower(0.01))) == 4


@pytest.mark.parametrize("at_once", [1, 2, 20])
@pytest.mark.parametrize("k", [30, 300])
def test_how_many_sides_share_a_pass_changes_nothing(
    at_once: int, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = clusters(5_000, 9)
    usual = cover(points, k)
    monkeypatch.setattr(covering_bisection, "_AT_FIRST", at_once)
    monkeypatch.setattr(covering_bisection, "_AT_ONCE", at_once)
    other = cover(points, k)
    np.testing.assert_array_equal(usual.boxes, other.boxes)
    assert (usual.n_boxes, usual.unit, usual.n_tried) == (other.n_boxes, other.unit, other.n_tried)


def test_a_covering_takes_few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    number = covering._Numbering.number

    def counted(
        self: covering._Numbering, units: Sequence[np.float32], *, at_most: int | None = None
    ) -> None:
        passes.append(len(units))
        number(self, units, at_most=at_most)

    monkeypatch.setattr(covering._Numbering, "number", counted)
    n_tried = cover(clusters(40_000, 20), 400).n_tried
    assert n_tried > 4
    assert len(passes) <= 3


def test_a_side_with_too_many_boxes_leaves_the_others_as_they_are() -> None:
    points = clusters(20_000, 5)
    numbering = covering._Numbering(points, 2)
    units = [np.float32(unit) for unit in (0.3, 0.01, 0.15)]
    numbering.number(units, at_most=500)
    assert numbering.known[float(units[1])] == 501
    assert set(numbering.complete) == {float(units[0]), float(units[2])}
    for unit in (units[0], units[2]):
        np.testing.assert_array_equal(
            numbering.covering(unit, n_tried=1).boxes, partition(points, float(unit)).boxes
        )


def test_keys_are_numbered_as_by_a_dictionary_however_full_the_table() -> None:
    rng = np.random.default_rng(0)
    wanted = rng.integers(0, 5, size=(400, 3)).astype(np.uint64)
    slots, keys = np.zeros(128, dtype=np.int32), np.empty((125, 3), dtype=np.uint64)
    mixed, numbers = np.empty(400, dtype=np.uint64), np.empty(400, dtype=np.int32)
    skipped = (rng.random(400) < 0.1).astype(np.int32)
    expected: list[int] = []
    seen: dict[tuple[int, ...], int] = {}
    for each, skip in zip(wanted.tolist(), skipped, strict=True):
        expected.append(-1 if skip else seen.setdefault(tuple(each), len(seen)))
    n_keys = 0
    for first in range(0, 400, 50):  # known keys and new ones, equal keys within a block
        part = slice(first, first + 50)
        by_word = np.ascontiguousarray(wanted[part].T)
        n_keys = number_keys(by_word, 50, skipped[part], slots, keys, n_keys, mixed, numbers)
        found = np.where(skipped[part] > 0, -1, numbers[:50])
        assert found.tolist() == expected[part]
    assert n_keys == len(seen) > 100
    room, by_word = np.empty((n_keys - 1, 3), dtype=np.uint64), np.ascontiguousarray(wanted.T)
    assert number_keys(by_word, 400, skipped, np.zeros_like(slots), room, 0, mixed, numbers) == n_keys
