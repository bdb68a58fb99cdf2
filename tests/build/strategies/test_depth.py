"""depth: the deepest cells of each stratum, shares kept, ties by key, always nested."""

from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.build.strategies.depth import depth, parse_depth_column, sainte_lague
from curate.errors import SelectionError


def cells(types: list[str], depths: list[float | None], column: str = "raw_sum") -> pl.DataFrame:
    return pl.DataFrame({"cell_type": types, column: depths})


def choose(frame: pl.DataFrame, n: int, *, keys: list[int] | None = None, **settings: Any) -> list[int]:
    held = np.arange(frame.height) if keys is None else np.array(keys)
    chosen = depth(frame, None, n, keys=held.astype(np.uint64), rng=np.random.default_rng(0), **settings)
    return list(map(int, chosen.rows))


def test_the_deepest_cells_of_each_type_are_chosen_in_proportion() -> None:
    frame = cells(["a"] * 6 + ["b"] * 3, [10, 60, 20, 50, 30, 40, 1, 3, 2])
    assert choose(frame, 3) == [1, 3, 7]
    assert choose(frame, 6) == [1, 3, 4, 5, 7, 8]


def test_cells_of_equal_depth_are_chosen_by_their_keys() -> None:
    assert choose(cells(["a"] * 4, [5, 5, 9, 5]), 2, keys=[7, 2, 9, 4]) == [1, 2]


def test_a_cell_without_a_depth_comes_last() -> None:
    frame = cells(["a"] * 4, [None, 0.0, float("nan"), 3.0])
    assert choose(frame, 2) == [1, 3]
    assert choose(frame, 4) == [0, 1, 2, 3]


def test_depth_may_be_another_column_and_strata_other_columns() -> None:
    frame = cells(["a"] * 4, [1, 2, 3, 4], column="nnz").with_columns(sex=pl.Series(["f", "f", "m", "m"]))
    assert choose(frame, 2, depth_column="nnz", by="sex") == [1, 3]


def test_notes_say_what_was_gained() -> None:
    frame = cells(["a"] * 5, [1, 2, 3, 4, 5])
    chosen = depth(frame, None, 3, keys=np.arange(5, dtype=np.uint64), rng=np.random.default_rng(0))
    assert chosen.notes["median_raw_sum"] == 4
    assert chosen.notes["median_raw_sum_of_all"] == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth_column": "raw_sun"}, "no column 'raw_sun' to take the depth from; did you mean 'raw_sum'"),
        ({"depth_column": "cell_type"}, "cell_type holds no numbers; take the depth from raw_sum or nnz"),
    ],
)
def test_a_column_that_holds_no_depth_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        choose(cells(["a"], [1]), 1, **settings)
    with pytest.raises(SelectionError, match="names 2 columns; name one"):
        parse_depth_column("raw_sum,nnz")


sizes = st.lists(st.integers(1, 400), min_size=1, max_size=12).map(np.array)


@given(sizes, st.data(), st.integers(0, 5))
def test_the_allocation_takes_the_smallest_ranks(counts: Any, data: st.DataObject, seed: int) -> None:
    n = data.draw(st.integers(0, int(counts.sum())))
    quotas = sainte_lague(counts, n, rng=np.random.default_rng(seed))
    assert quotas.sum() == n
    assert (quotas >= 0).all()
    assert (quotas <= counts).all()
    taken = [Fraction(2 * int(q) - 1, 2 * int(c)) for q, c in zip(quotas, counts, strict=True) if q]
    left = [Fraction(2 * int(q) + 1, 2 * int(c)) for q, c in zip(quotas, counts, strict=True) if q < c]
    assert max(taken, default=Fraction(0)) <= min(left, default=Fraction(1))


@given(sizes, st.data(), st.integers(0, 5))
def test_no_quota_shrinks_as_n_grows(counts: Any, data: st.DataObject, seed: int) -> None:
    n = data.draw(st.integers(0, int(counts.sum()) - 1))
    fewer, more = (sainte_lague(counts, m, rng=np.random.default_rng(seed)) for m in (n, n + 1))
    assert (more >= fewer).all()


def test_many_small_groups_are_rounded_as_their_ranks_say() -> None:
    counts = np.array([10_000] + [100] * 100)
    # The first cell of a small group has the rank of the 50th and 51st of the large one.
    assert sainte_lague(counts, 50, rng=np.random.default_rng(0)).tolist() == [50, *[0] * 100]
    assert sainte_lague(counts, 150, rng=np.random.default_rng(0)).tolist() == [50, *[1] * 100]


def test_more_than_there_is_cannot_be_shared() -> None:
    with pytest.raises(SelectionError, match="cannot share 4 cells among groups of 3 in all"):
        sainte_lague(np.array([1, 2]), 4, rng=np.random.default_rng(0))
