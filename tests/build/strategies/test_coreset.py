from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.build.strategies.coreset import coreset, is_exact, parse_exact, parse_pool, pool_size, prepare
from curate.build.strategies.coreset_radius import partial_hausdorff
from curate.build.strategies.random import random
from curate.build.strategies.sketch import sketch
from curate.errors import SelectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.build.selection import Selection


def points(n_cells: int = 600, d: int = 3, *, seed: int = 5) -> NDArray[np.float32]:
    """A dense cloud of 90 % of the cells, and a wide one."""
    rng = np.random.default_rng(seed)
    spread = np.where(np.arange(n_cells) < 0.9 * n_cells, 0.05, 3.0)
    return (rng.normal(size=(n_cells, d)) * spread[:, None]).astype(np.float32)


def keys_of(n_cells: int, seed: int = 1) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(0, 2**64, n_cells, dtype=np.uint64)


def chosen(embedding: NDArray[np.float32] | None, n: int, *, seed: int = 1, **parameters: Any) -> Selection:
    n_cells = 600 if embedding is None else embedding.shape[0]
    rng = np.random.default_rng(0)
    return coreset(pl.DataFrame(), embedding, n, keys=keys_of(n_cells, seed), rng=rng, **parameters)


def distances(embedding: NDArray[np.float32], rows: Any) -> NDArray[np.float64]:
    """Of every cell from the nearest of some."""
    wide = embedding.astype(np.float64)
    nearest: NDArray[np.float64] = np.sqrt(((wide[:, None] - wide[None, rows]) ** 2).sum(axis=2)).min(axis=1)
    return nearest


def test_the_first_cell_has_the_smallest_key_and_the_next_are_the_farthest() -> None:
    embedding = np.array([[0], [1], [10], [4]], dtype=np.float32)
    keys = np.array([5, 2, 9, 9], dtype=np.uint64)
    selection = coreset(pl.DataFrame(), embedding, 3, keys=keys, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(selection.rows, [1, 2, 3])
    assert selection.rank is not None
    np.testing.assert_array_equal(selection.rank, [0, 1, 2])
    assert selection.notes["radius_of_first"] == 9
    assert selection.notes["radius"] == 1


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 4), step=st.sampled_from([0.0, 1.0]))
def test_the_radius_is_at_most_twice_the_best_of_all_choices(seed: int, n: int, step: float) -> None:
    drawn = np.random.default_rng(seed).normal(size=(11, 2))
    embedding = (np.round(drawn) if step else drawn).astype(np.float32)
    best = min(distances(embedding, list(rows)).max() for rows in combinations(range(11), n))
    selection = chosen(embedding, n, seed=seed)
    radius = distances(embedding, selection.rows).max()
    assert radius <= 2 * best + 1e-5
    assert selection.notes["radius"] == pytest.approx(radius, rel=1e-5, abs=1e-6)


def test_the_order_of_the_cells_does_not_matter() -> None:
    order = np.random.default_rng(2).permutation(600)
    for parameters in ({}, {"exact": False, "pool": 200}, {"left_out": 0.02}):
        there = coreset(
            pl.DataFrame(),
            points()[order],
            50,
            keys=keys_of(600)[order],
            rng=np.random.default_rng(0),
            **parameters,
        )
        np.testing.assert_array_equal(np.sort(order[there.rows]), chosen(points(), 50, **parameters).rows)


@pytest.mark.parametrize(
    "parameters", [{}, {"exact": False, "pool": 300}, {"left_out": 0.1}, {"exact": False, "left_out": 0.1}]
)
def test_the_first_by_rank_are_the_choice_of_fewer(parameters: dict[str, Any]) -> None:
    many = chosen(points(), 150, **parameters)
    assert many.rank is not None
    for n in (1, 40, 149):
        few = chosen(points(), n, **parameters)
        np.testing.assert_array_equal(few.rows, many.rows[many.rank < n])


def test_cells_upon_chosen_ones_come_last_by_key() -> None:
    embedding = np.repeat(np.arange(4, dtype=np.float32), 5)[:, None]
    selection = chosen(embedding, 9)
    assert selection.notes["n_distinct"] == 4
    assert selection.notes["radius"] == 0
    assert selection.rank is not None
    by_rank = selection.rows[np.argsort(selection.rank)]
    assert np.unique(embedding[by_rank[:4]]).size == 4
    others = np.setdiff1d(np.arange(20), by_rank[:4])
    np.testing.assert_array_equal(by_rank[4:], others[np.argsort(keys_of(20)[others])][:5])


def test_cells_that_are_left_out_are_the_lonely_ones_and_come_last() -> None:
    rng = np.random.default_rng(4)
    lonely = rng.normal(size=(10, 3)) * 200 + 900 * np.eye(3)[rng.integers(0, 3, 10)]
    embedding = np.concatenate([rng.normal(size=(990, 3)), lonely]).astype(np.float32)
    assert (chosen(embedding, 20).rows >= 990).sum() == 10
    selection = chosen(embedding, 20, left_out=0.01)
    assert (selection.rows < 990).all()
    assert selection.notes["n_left_out"] == 10
    kept = distances(embedding, selection.rows)[:990]
    assert selection.notes["radius"] == pytest.approx(kept.max(), rel=1e-5)
    assert (chosen(embedding, 20, left_out=0.01, exact=False, pool=400).rows < 990).all()
    last = chosen(embedding, 995, left_out=0.01)
    assert (last.rows < 990).sum() == 990
    assert last.notes["n_distinct"] == 990


def test_from_a_pool_no_cell_is_farther_than_the_notes_say() -> None:
    embedding = points()
    selection = chosen(embedding, 50, exact=False, pool=150)
    reach = distances(embedding, selection.rows)
    most = selection.notes["radius_at_most"]
    assert isinstance(most, float)
    assert reach.max() <= most * (1 + 1e-5)
    assert selection.notes["exact"] == "no"
    covering = prepare(embedding, exact=False, pool=150)["covering"]()
    assert selection.notes["n_pool"] == covering.n_boxes
    by_box = np.lexsort((keys_of(600), covering.boxes))
    pool = by_box[np.unique(covering.boxes[by_box], return_index=True)[1]]
    assert set(selection.rows) <= set(pool)
    assert selection.notes["radius_of_pool"] == pytest.approx(reach[pool].max(), rel=1e-5)
    assert selection.notes["partial_hausdorff"] == pytest.approx(reach.max(), rel=1e-5)


def test_a_pool_of_one_cell_a_box_that_holds_them_all_is_the_exact_choice() -> None:
    embedding = np.arange(40, dtype=np.float32)[:, None] ** 1.5
    exact, pooled = chosen(embedding, 12), chosen(embedding, 12, exact=False, pool=40)
    assert int(pooled.notes["n_pool"]) >= 36
    assert abs(float(pooled.notes["radius_at_most"]) - float(exact.notes["radius"])) <= 4
    np.testing.assert_array_equal(chosen(embedding, 12, exact=True).rows, exact.rows)


def test_a_covering_that_is_shared_changes_nothing() -> None:
    shared = prepare(points(), exact=False, pool=150, left_out=0.0)
    assert shared["covering"]() is shared["covering"]()
    together = chosen(points(), 50, exact=False, pool=150, **shared)
    np.testing.assert_array_equal(together.rows, chosen(points(), 50, exact=False, pool=150).rows)


def test_it_covers_better_than_random_and_a_sketch_of_as_many() -> None:
    embedding = points(4000, 8)
    keys, rng = keys_of(4000), np.random.default_rng(0)
    selection = chosen(embedding, 200)
    others = [
        select(pl.DataFrame(), embedding, 200, keys=keys, rng=rng, **at)
        for select, at in ((random, {}), (sketch, {"k": 200}))
    ]
    reach = [distances(embedding, each.rows) for each in (selection, *others)]
    assert reach[0].max() < 0.8 * min(reach[1].max(), reach[2].max())
    assert selection.notes["partial_hausdorff"] == pytest.approx(partial_hausdorff(reach[0]), rel=1e-5)
    assert selection.notes["partial_hausdorff_of_random"] == pytest.approx(
        partial_hausdorff(reach[1]), rel=1e-5
    )


def test_partial_hausdorff_leaves_out_a_thousandth() -> None:
    assert partial_hausdorff(np.arange(3000.0)) == 2996
    assert partial_hausdorff(np.arange(999.0)) == 998
    assert partial_hausdorff(np.empty(0)) == 0


def test_more_cells_than_the_pool_holds_are_refused_with_what_to_do() -> None:
    with pytest.raises(
        SelectionError, match=r"300 cells asked for from a pool of \d+; .* pool of 375 .*exact=yes"
    ):
        chosen(points(), 300, exact=False, pool=50)


def test_all_cells_are_candidates_up_to_twice_the_pool() -> None:
    assert is_exact("auto", "auto", 2_000_000)
    assert not is_exact("auto", "auto", 2_000_001)
    assert is_exact("auto", 0.5, 1000)
    assert not is_exact("auto", 499, 1000)
    assert is_exact(True, 1, 1000)
    assert not is_exact(False, 1000, 1000)


@pytest.mark.parametrize(
    ("pool", "n_cells", "expected"),
    [
        ("auto", 500, 500),
        ("auto", 5_000_000, 1_000_000),
        ("auto", 22_000_000, 2_200_000),
        (70, 500, 70),
        (0.1, 500, 50),
    ],
)
def test_a_pool_is_a_tenth_of_the_cells_but_at_least_a_million(
    pool: int | float | str, n_cells: int, expected: int
) -> None:
    assert pool_size(pool, n_cells) == expected


def test_settings_are_read_from_texts() -> None:
    assert [parse_exact(text) for text in ("yes", "no", "auto")] == [True, False, "auto"]
    assert [parse_pool(text) for text in ("1000", "0.5", "auto")] == [1000, 0.5, "auto"]
    with pytest.raises(SelectionError, match="exact=perhaps is neither yes nor no"):
        parse_exact("perhaps")
    for text in ("0", "1.5", "many", "-1"):
        with pytest.raises(SelectionError, match=f"pool={text} is neither auto, nor a number"):
            parse_pool(text)


def test_values_that_are_not_finite_and_no_embedding_are_refused() -> None:
    embedding = points()
    embedding[17, 2] = np.nan
    for exact in (True, False):
        with pytest.raises(SelectionError, match="row 17, dimension 2; coreset needs finite numbers"):
            chosen(embedding, 5, exact=exact)
    with pytest.raises(SelectionError, match="coreset needs an embedding"):
        chosen(None, 5)
    with pytest.raises(SelectionError, match="all 9 cells lie at one point"):
        chosen(np.ones((9, 2), dtype=np.float32), 5)


def test_one_cell_and_all_cells_are_chosen() -> None:
    assert chosen(points(), 1).rows.tolist() == [int(keys_of(600).argmin())]
    np.testing.assert_array_equal(chosen(points(), 600).rows, np.arange(600))
    assert chosen(np.ones((1, 2), dtype=np.float32) * 2, 1).rows.tolist() == [0]
