from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.build.strategies import coreset_tree
from curate.build.strategies.coreset_tree import FarthestFirst

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def points(n: int, d: int, *, seed: int = 0, step: float = 0.0) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).normal(size=(n, d)) * np.linspace(2, 0.2, d)
    values = (np.round(drawn / step) * step if step else drawn).astype(np.float32)
    values.flags.writeable = False
    return values


def squared_to(values: NDArray[np.float32], centre: NDArray[np.float32]) -> NDArray[np.float32]:
    total = np.zeros(len(values), dtype=np.float32)
    for j in range(values.shape[1]):
        total += (values[:, j] - centre[j]) ** 2
    return total


def by_definition(
    values: NDArray[np.float32], places: NDArray[np.int32], n: int, *, left_out: Sequence[int] = ()
) -> tuple[list[int], list[float]]:
    """Return places and distances of a plain loop, until what is left is at distance 0."""
    in_order = values[np.argsort(places)]
    nearest = np.full(len(values), np.inf, dtype=np.float32)
    nearest[list(left_out)] = -1
    chosen: list[int] = []
    radii: list[float] = []
    for _ in range(n):
        farthest = int(nearest.argmax())
        if nearest[farthest] <= 0:
            break
        chosen.append(farthest)
        radii.append(float(np.sqrt(nearest[farthest])))
        nearest = np.minimum(nearest, squared_to(in_order, in_order[farthest]))
        nearest[chosen] = -1
    return chosen, radii


def shuffled(n: int, seed: int = 1) -> NDArray[np.int32]:
    return np.random.default_rng(seed).permutation(n).astype(np.int32)


@pytest.mark.parametrize("leaf_cells", [1, 5, 48])
@pytest.mark.parametrize(("n", "d", "step"), [(1, 1, 0), (2, 3, 0), (900, 2, 0), (900, 13, 0), (700, 3, 0.5)])
def test_every_choice_is_that_of_a_plain_loop(
    n: int, d: int, step: float, leaf_cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coreset_tree, "LEAF_CELLS", leaf_cells)
    values, places = points(n, d, step=step), shuffled(n)
    chosen, radii = FarthestFirst(values, places).choose(n)
    expected, expected_radii = by_definition(values, places, n)
    assert chosen.tolist() == expected
    assert radii.tolist() == pytest.approx(expected_radii, rel=1e-6)


@settings(deadline=None, max_examples=40)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), n=st.integers(1, 120), d=st.integers(1, 20))
def test_ties_and_duplicates_go_by_place(data: st.DataObject, seed: int, n: int, d: int) -> None:
    values, places = points(n, d, seed=seed, step=1.0), shuffled(n, seed)
    left_out = data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=n))
    tree = FarthestFirst(values, places)
    tree.leave_out(np.array(left_out, dtype=np.int64))
    assert tree.choose(n)[0].tolist() == by_definition(values, places, n, left_out=left_out)[0]


def test_a_choice_goes_on_where_the_last_one_ended() -> None:
    values, places = points(500, 4), shuffled(500)
    at_once, twice = FarthestFirst(values, places), FarthestFirst(values, places)
    parts = [twice.choose(7)[0], twice.choose(30)[0]]
    np.testing.assert_array_equal(np.concatenate(parts), at_once.choose(37)[0])


def test_distances_are_those_from_the_nearest_chosen_cell() -> None:
    values, places = points(400, 5), shuffled(400)
    tree = FarthestFirst(values, places)
    chosen, _ = tree.choose(20)
    in_order = values[np.argsort(places)]
    expected = np.min([np.sqrt(squared_to(in_order, in_order[place])) for place in chosen], axis=0)
    np.testing.assert_allclose(tree.distances(), expected, rtol=1e-6)


def test_distances_to_others_leave_out_a_cell_itself_and_are_forgotten() -> None:
    values, places = points(300, 3), shuffled(300)
    in_order = values[np.argsort(places)]
    others = np.concatenate([in_order[:20], points(5, 3, seed=9)])
    tree = FarthestFirst(values, places)
    own = np.concatenate([np.arange(20), np.full(5, -1)])
    found = tree.distances_to_others(others, own)
    each = np.array([np.sqrt(squared_to(in_order, other)) for other in others])
    each[np.arange(20), np.arange(20)] = np.inf
    np.testing.assert_allclose(found, each.min(axis=0), rtol=1e-6)
    assert tree.choose(40)[0].tolist() == by_definition(values, places, 40)[0]
