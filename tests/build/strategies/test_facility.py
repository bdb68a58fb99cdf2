"""facility: the order of plain greedy, within a block and over blocks; at least 1 - 1/e of the best."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from curate.build.strategies.facility import facility
from curate.build.strategies.facility_greedy import _blocks, rank_pool
from curate.build.strategies.facility_space import Measure, Space
from curate.errors import SelectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.build.selection import Selection

both_measures = pytest.mark.parametrize("measure", ["cosine", "rbf"])


def clustered(n: int, *, seed: int = 0, d: int = 5) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    centres = 3 * rng.normal(size=(6, d))
    return (centres[rng.integers(0, 6, n)] + rng.normal(size=(n, d))).astype(np.float32)


def keys_of(n: int, *, seed: int = 1) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)


def choose(vectors: NDArray[np.float32] | None, n: int, **given: Any) -> Selection:
    keys = given.pop("keys", None)
    if keys is None:
        keys = keys_of(0 if vectors is None else len(vectors))
    return facility(pl.DataFrame(), vectors, n, keys=keys, rng=np.random.default_rng(0), **given)


def similarity(vectors: NDArray[np.float32], measure: Measure, scale: float | None) -> NDArray[np.float64]:
    wide = vectors.astype(np.float64)
    if measure == "cosine":
        units = wide / np.linalg.norm(wide, axis=1, keepdims=True)
        return np.asarray(np.maximum(units @ units.T, 0))
    assert scale is not None
    squared = ((wide[:, None] - wide[None]) ** 2).sum(axis=2)
    return np.asarray(np.exp(-squared / (2 * scale**2)))


def assert_greedy(order: NDArray[np.int64], similar: NDArray[np.float64], *, begun: int = 0) -> None:
    """The definition: each gains the most of all that are left, up to rounding.

    Column j of `similar` is what choosing j offers to each cell.
    """
    assert len(set(order.tolist())) == order.size
    slack = 1e-6 * len(similar)
    for step in range(begun, order.size):
        chosen = order[:step]
        best = similar[:, chosen].max(axis=1) if step else np.zeros(len(similar))
        gains = np.maximum(similar - best[:, None], 0).sum(axis=0)
        gains[chosen] = -1
        assert gains[order[step]] >= gains.max() - slack


@both_measures
def test_up_to_a_block_the_order_is_that_of_plain_greedy(measure: Measure) -> None:
    vectors = clustered(150)
    space = Space.of(vectors, measure)
    assert_greedy(rank_pool(space, 60), similarity(vectors, measure, space.scale))


@both_measures
def test_over_blocks_the_order_is_that_of_plain_greedy_with_similarities_across_blocks_cut(
    measure: Measure,
) -> None:
    vectors = clustered(400, seed=3)
    space = Space.of(vectors, measure)
    similar = similarity(vectors, measure, space.scale)
    found = rank_pool(space, 120, block_cells=64, n_opening=5)
    assert_greedy(found[:5], similar[:64, :64])
    block_of = np.empty(400, dtype=np.int64)
    blocks = _blocks(space.points, 64)
    for number, block in enumerate(blocks):
        block_of[block] = number
    assert sorted(block.size for block in blocks) == [50] * 8
    reached = block_of[:, None] == block_of
    reached[:, found[:5]] = True
    assert_greedy(found, np.where(reached, similar, 0), begun=5)


def test_threads_and_the_number_asked_for_do_not_change_the_order() -> None:
    space = Space.of(clustered(700), "cosine")
    whole = rank_pool(space, 700, block_cells=100, n_opening=9, n_threads=1)
    assert sorted(whole.tolist()) == list(range(700))
    for n in (3, 9, 10, 64, 333):
        found = rank_pool(space, n, block_cells=100, n_opening=9, n_threads=3)
        np.testing.assert_array_equal(found, whole[:n])


def test_a_choice_is_worth_at_least_1_less_1_over_e_of_the_best() -> None:
    for seed in range(5):
        vectors = clustered(14, seed=seed)
        similar = similarity(vectors, "cosine", None)
        best = max(similar[:, list(chosen)].max(axis=1).sum() for chosen in combinations(range(14), 4))
        found = similar[:, choose(vectors, 4).rows].max(axis=1).sum()
        assert (1 - 1 / math.e) * best < found <= best + 1e-6


def test_the_cell_in_the_middle_of_each_group_is_chosen_the_largest_group_first() -> None:
    angles = np.radians([0, 2, 4, 180, 181, 182, 183, 184])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    chosen = choose(vectors, 2)
    assert chosen.rank is not None
    assert chosen.rows.tolist() == [1, 5]
    assert chosen.rank.tolist() == [1, 0]


def test_the_order_of_the_cells_does_not_matter() -> None:
    vectors, keys = clustered(300), keys_of(300)
    shuffled = np.random.default_rng(5).permutation(300)
    first = choose(vectors, 30, keys=keys, candidates=200)
    other = choose(vectors[shuffled], 30, keys=keys[shuffled], candidates=200)
    assert sorted(shuffled[other.rows].tolist()) == first.rows.tolist()


def test_ranks_say_when_each_was_chosen() -> None:
    vectors = clustered(300)
    many = choose(vectors, 50)
    assert many.rank is not None
    assert sorted(many.rank.tolist()) == list(range(50))
    np.testing.assert_array_equal(many.rows[many.rank < 20], choose(vectors, 20).rows)


def test_only_the_pool_of_smallest_keys_is_chosen_from() -> None:
    vectors, keys = clustered(500), keys_of(500)
    chosen = choose(vectors, 40, keys=keys, candidates=160)
    assert set(chosen.rows.tolist()) <= set(np.argsort(keys)[:160].tolist())
    assert chosen.notes["n_candidates"] == 160
    assert "notice" not in chosen.notes
    assert "160 candidates differ little" in str(
        choose(vectors, 41, keys=keys, candidates=160).notes["notice"]
    )
    assert choose(vectors, 500, keys=keys, candidates=160).rows.size == 500


def test_more_cells_than_the_pool_are_refused_with_a_pool_that_is_enough() -> None:
    vectors = clustered(500)
    with pytest.raises(
        SelectionError, match="from 50 candidates, and 60 are asked for; give it 240 with --candidates"
    ):
        choose(vectors, 60, candidates=50)
    assert choose(vectors, 60, candidates=240).rows.size == 60


@both_measures
def test_cells_are_closer_to_the_chosen_than_to_as_many_random_ones(measure: Measure) -> None:
    notes = choose(clustered(900), 12, similarity=measure).notes
    assert float(notes["similarity_to_chosen"]) > float(notes["similarity_to_random"]) + 0.02
    assert ("scale" in notes) == (measure == "rbf")


def test_the_similarity_of_the_notes_is_the_share_of_the_largest_f() -> None:
    vectors = clustered(120)
    chosen = choose(vectors, 10)
    expected = similarity(vectors, "cosine", None)[:, chosen.rows].max(axis=1).mean()
    assert chosen.notes["similarity_to_chosen"] == pytest.approx(expected, abs=1e-6)


def test_of_two_cells_that_stand_for_each_other_alike_the_smaller_key_is_chosen() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        pair = (rng.normal(size=(2, 30)) + 1).astype(np.float32)
        for keys, chosen in (([4, 1], 1), ([1, 4], 0)):
            assert choose(pair, 1, keys=np.array(keys, dtype=np.uint64)).rows.tolist() == [chosen]


def test_equal_vectors_are_chosen_by_their_keys_and_vectors_of_length_0_last() -> None:
    vectors = np.array([[0, 0], [1, 0], [1, 0], [0, 2], [0, 0]], dtype=np.float32)
    keys = np.array([0, 5, 4, 3, 1], dtype=np.uint64)
    assert choose(vectors, 1, keys=keys).rows.tolist() == [2]
    assert choose(vectors, 2, keys=keys).rows.tolist() == [2, 3]
    assert choose(vectors, 3, keys=keys).rows.tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (np.nan, "1 of 30 vectors hold NaN or infinite values"),
        (np.inf, "1 of 30 vectors hold NaN or infinite values"),
    ],
)
def test_vectors_that_are_not_finite_are_refused(spoil: float, message: str) -> None:
    vectors = clustered(30)
    vectors[7, 1] = spoil
    with pytest.raises(SelectionError, match=message):
        choose(vectors, 3)


def test_equal_vectors_alone_and_no_embedding_are_refused() -> None:
    with pytest.raises(SelectionError, match="all 30 vectors are equal"):
        choose(np.ones((30, 4), dtype=np.float32), 3)
    with pytest.raises(SelectionError, match="facility needs an embedding"):
        choose(None, 3, keys=keys_of(30))
    with pytest.raises(SelectionError, match=r"shape \(30, 5\) for 40 cells"):
        choose(clustered(30), 3, keys=keys_of(40))
