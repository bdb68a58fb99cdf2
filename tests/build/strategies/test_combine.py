"""combine: shares of strategies, quotas exact, no cell twice."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from curate.build.selection import Selection
from curate.build.strategies import STRATEGIES
from curate.build.strategies.named import Settled, settle
from curate.build.strategies.parts import parse_parts, part_quotas
from curate.errors import SelectionError

if TYPE_CHECKING:
    from pathlib import Path

N_CELLS = 400
NESTED = "0.5 sketch(k=20) + 0.3 reweight + 0.2 random"


def chosen(settled: Settled, n: int, *, seed: int = 0) -> Selection:
    rng = np.random.default_rng(7)
    kind = np.minimum(rng.geometric(0.35, N_CELLS) - 1, 5)
    corpus: dict[str, Any] = {
        "cells": pl.DataFrame(
            {
                "soma_joinid": np.arange(N_CELLS),
                "dataset_id": pl.Series([f"d{row // 90}" for row in range(N_CELLS)], dtype=pl.Categorical),
                "cell_type": pl.Series([f"type {k}" for k in kind], dtype=pl.Categorical),
                "tissue": pl.Series(["a"] * 59 + ["b"] * 131 + ["c"] * 210, dtype=pl.Categorical),
                "raw_sum": rng.permutation(N_CELLS),
            }
        ),
        "embedding": (rng.normal(size=(N_CELLS, 4)) + 3 * kind[:, None]).astype(np.float32),
        "keys": np.random.default_rng(seed).integers(0, 2**64, N_CELLS, dtype=np.uint64),
    }
    strategy = settled.strategy
    shared = strategy.prepare(corpus["embedding"], **settled.settings) if strategy.prepare else {}
    return strategy.select(
        corpus["cells"].select(strategy.columns(settled.settings)),
        corpus["embedding"] if strategy.needs_embedding else None,
        n,
        keys=corpus["keys"],
        rng=np.random.default_rng(seed),
        **settled.settings,
        **shared,
    )


def recipe(parts: str) -> Settled:
    return settle("combine", {"parts": parts})


def rows(parts: str, n: int, *, seed: int = 0) -> set[int]:
    return set(chosen(recipe(parts), n, seed=seed).rows.tolist())


def test_every_part_gives_its_quota_and_the_notes_say_so() -> None:
    found = chosen(recipe("0.5 reweight + 0.3 depth(by=tissue) + 0.2 random"), 100)
    assert found.rows.size == np.unique(found.rows).size == 100
    assert [found.notes[f"part_{at}"] for at in (1, 2, 3)] == ["reweight", "depth", "random"]
    assert [found.notes[f"part_{at}_n_cells"] for at in (1, 2, 3)] == [50, 30, 20]
    assert found.notes["part_1_n_passed_over"] == 0
    assert found.notes["part_1_n_strata"] == 6
    assert found.notes["part_2_n_strata"] == 3
    assert found.weights is None


def test_the_first_part_chooses_as_it_would_alone_and_the_others_pass_over_its_cells() -> None:
    by_type, by_tissue = settle("depth"), settle("depth", {"by": "tissue"})
    parts = "0.5 depth + 0.5 depth(by=tissue)"
    first = set(chosen(by_type, 50).rows.tolist())
    assert first < rows(parts, 100)
    # Nothing is drawn by depth: the second part is the head of its own list, less what the first has taken.
    second = rows(parts, 100) - first
    for asked in range(50, 101):
        alone = set(chosen(by_tissue, asked).rows.tolist())
        if len(alone - first) == 50:
            break
    assert second == alone - first
    assert chosen(recipe(parts), 100).notes["part_2_n_passed_over"] == asked - 50 > 0


def test_a_part_twice_gives_what_it_would_give_at_once_where_nothing_is_drawn() -> None:
    twice = rows("0.5 depth + 0.5 depth", 100)
    assert twice == set(chosen(settle("depth"), 100).rows.tolist())


def test_the_random_part_is_uniform_over_what_the_others_left() -> None:
    """With the keys of the part before it, it would hardly take from the types that those took from."""
    kind = np.minimum(np.random.default_rng(7).geometric(0.35, N_CELLS) - 1, 5)
    taken_from, left = np.zeros(6), np.zeros(6)
    for seed in range(200):
        first = chosen(settle("reweight"), 60, seed=seed).rows
        second = np.setdiff1d(chosen(recipe("0.5 reweight + 0.5 random"), 120, seed=seed).rows, first)
        taken_from += np.bincount(kind[second], minlength=6)
        left += np.bincount(np.delete(kind, first), minlength=6)
    expected = left * 60 / (N_CELLS - 60)
    assert (np.abs(taken_from - expected) < 5 * np.sqrt(expected)).all(), (taken_from, expected)


def test_a_part_that_does_not_nest_gives_its_quota_too() -> None:
    for n in (40, 101, 399):
        found = chosen(recipe("0.5 random + 0.25 stratified + 0.25 blocks(tiles=4, tile_cells=40)"), n)
        assert found.rows.size == n
    assert found.notes["part_3_n_cells"] == 99


def test_all_cells_are_shared_out_to_the_last() -> None:
    found = chosen(recipe(NESTED), N_CELLS)
    np.testing.assert_array_equal(found.rows, np.arange(N_CELLS))
    assert [found.notes[f"part_{at}_n_cells"] for at in (1, 2, 3)] == [200, 120, 80]


def test_a_part_without_a_cell_is_left_out_and_told() -> None:
    found = chosen(recipe("0.9 random + 0.1 reweight"), 1)
    assert found.rows.size == 1
    assert (found.notes["part_2"], found.notes["part_2_n_cells"]) == ("reweight", 0)


@settings(deadline=None, max_examples=40)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize(
    "parts", [NESTED, "0.3333 random + 0.3333 depth + 0.3334 reweight(by=tissue,cell_type)"]
)
def test_a_recipe_of_parts_that_nest_nests(parts: str, data: st.DataObject, seed: int) -> None:
    settled = recipe(parts)
    assert settled.strategy.nested
    smaller = data.draw(st.integers(1, N_CELLS - 1))
    larger = data.draw(st.integers(smaller + 1, N_CELLS))
    held = [set(chosen(settled, n, seed=seed).rows.tolist()) for n in (smaller, larger)]
    assert held[0] < held[1]
    assert [len(each) for each in held] == [smaller, larger]


@st.composite
def some_shares(draw: st.DrawFn) -> list[float]:
    cuts = draw(st.lists(st.integers(1, 9999), min_size=1, max_size=5, unique=True))
    ends = [0, *sorted(cuts), 10_000]
    return [(end - start) / 10_000 for start, end in pairwise(ends)]


@settings(deadline=None)
@given(shares=some_shares(), n=st.integers(0, 3000))
def test_quotas_add_up_are_within_one_and_never_shrink(shares: list[float], n: int) -> None:
    quotas, more = part_quotas(shares, n), part_quotas(shares, n + 1)
    assert sum(quotas) == n
    for share, quota in zip(shares, quotas, strict=True):
        assert np.floor(share * n - 1e-9) <= quota <= np.ceil(share * n + 1e-9)
    assert all(after >= before for before, after in zip(quotas, more, strict=True))


def test_quotas_by_hand() -> None:
    # Largest remainders would give 5, 2, 2 of 9 and 6, 3, 1 of 10: the third part would lose a cell.
    assert part_quotas([0.5, 0.3, 0.2], 10) == [5, 3, 2]
    assert part_quotas([0.5, 0.3, 0.2], 1_000_003) == [500_002, 300_001, 200_000]
    assert [part_quotas([0.5, 0.3, 0.2], n) for n in (1, 2, 3)] == [[1, 0, 0], [1, 1, 0], [2, 1, 0]]
    assert part_quotas([0.5, 0.5], 3) == [2, 1]


def test_a_recipe_needs_what_its_parts_need_and_promises_what_all_of_them_do() -> None:
    plain = recipe("0.5 random + 0.5 reweight(by=tissue)").strategy
    assert (plain.needs_embedding, plain.nested, plain.prepare) == (False, True, None)
    assert plain.columns({"parts": "0.5 random + 0.5 reweight(by=tissue)"}) == ("tissue",)
    mixed = recipe("0.4 depth + 0.6 stratified").strategy
    assert (mixed.nested, mixed.is_drawn) == (False, True)
    assert not recipe("0.4 depth + 0.6 depth(by=tissue)").strategy.is_drawn
    assert recipe("0.5 sketch + 0.5 random").strategy.needs_embedding


def test_a_recipe_is_recorded_with_every_setting_and_reads_back_the_same() -> None:
    parts = parse_parts("0.5 sketch(k=100) + .3 reweight(by=cell_type,tissue)+0.2 random")
    assert [part["share"] for part in parts] == [0.5, 0.3, 0.2]
    assert [part["strategy"] for part in parts] == ["sketch", "reweight", "random"]
    assert parts[0]["parameters"]["k"] == 100
    assert set(parts[0]["parameters"]) == {each.name for each in STRATEGIES["sketch"].parameters}
    assert parts[1]["parameters"] == {"by": ["cell_type", "tissue"]}
    assert parse_parts(parts) == parts


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ("0.5 random + 0.4 reweight", "the shares 0.5 . 0.4 add up to 0.9, not to 1"),
        ("1 random", "no recipe of two parts or more"),
        ("random + reweight", "'random . reweight' is no part, a share and a strategy"),
        ("0.5 random + 0.5", "'0.5' is no part, a share and a strategy"),
        ("0.5 random + 0.5 rendom", "no strategy named 'rendom'"),
        ("0.5 random(k=3) + 0.5 reweight", "random has no parameter 'k'"),
        ("0.5 sketch(k=-3) + 0.5 reweight", "k=-3 is neither auto"),
        ("0 random + 1 reweight", "0 is no share"),
        ("0.33333 random + 0.66667 reweight", "of up to 4 decimals"),
        ("0.5 combine + 0.5 random", "combine cannot be a part of itself"),
        ("0.5 sketch(replace=yes) + 0.5 random", "sketch draws with replacement here.*leave replace out"),
        ("0.5 random) + 0.5 reweight", "closes a bracket"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(parts: str, message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        recipe(parts)


LIMITED = """
import numpy as np
from curate.errors import SelectionError


def first(n, keys, most=60):
    if n > most:
        raise SelectionError(f"only {most} cells will do")
    return np.arange(n)
"""


def test_a_part_that_cannot_give_its_quota_is_an_error_with_the_numbers(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(LIMITED)
    own = f"{tmp_path}/own.py:first"
    found = chosen(recipe(f"0.5 {own}(most=60) + 0.5 {own}"), 60)
    np.testing.assert_array_equal(found.rows, np.arange(60))
    assert found.notes["part_2_n_passed_over"] == 30
    with pytest.raises(SelectionError, match=r"part 2, own.py:first, cannot give its 31 cells .31 are taken"):
        chosen(recipe(f"0.5 {own} + 0.5 {own}"), 62)


@settings(deadline=None, max_examples=40)
@given(shift=st.integers(0, N_CELLS), n=st.integers(1, N_CELLS))
def test_a_list_is_followed_however_the_taken_cells_lie_in_it(shift: int, n: int) -> None:
    from curate.build.strategies.passing import take_in_passing

    order = np.roll(np.arange(N_CELLS), shift)
    taken = np.arange(N_CELLS) < 100
    assume(n <= 300)
    calls = []

    def choose(m: int) -> Selection:
        calls.append(m)
        return Selection(np.sort(order[:m]))

    found = take_in_passing(choose, n, taken, keys=np.arange(N_CELLS, dtype=np.uint64))
    expected = order[~taken[order]][:n]
    np.testing.assert_array_equal(found.rows, np.sort(expected))
    assert len(calls) <= 2 * np.log2(N_CELLS)


def test_ranked_cells_are_asked_for_once_more_at_most() -> None:
    from curate.build.strategies.passing import take_in_passing

    order = np.random.default_rng(0).permutation(N_CELLS)
    taken = np.random.default_rng(1).random(N_CELLS) < 0.4
    calls = []

    def choose(m: int) -> Selection:
        calls.append(m)
        by_row = np.argsort(order[:m])
        return Selection(order[:m][by_row], rank=by_row.astype(np.int32))

    found = take_in_passing(choose, 100, taken, keys=np.arange(N_CELLS, dtype=np.uint64))
    np.testing.assert_array_equal(found.rows, np.sort(order[~taken[order]][:100]))
    assert len(calls) <= 3
