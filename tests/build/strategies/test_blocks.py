"""blocks: probabilities, weights, tiles read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.build.strategies.block_draw import draw_blocks, parse_tiles, tiles_budget
from curate.build.strategies.block_plan import CIRCLE, at_least_one, make_plan, most_taken
from curate.build.strategies.blocks import blocks, parse_tile_cells
from curate.build.strategies.tiles import find_pieces
from curate.errors import SelectionError

if TYPE_CHECKING:
    from curate.build.selection import Selection


def a_corpus(*datasets: tuple[str, np.ndarray]) -> pl.DataFrame:
    """Cells of datasets given as (id, joinids)."""
    return pl.concat(
        pl.DataFrame({"soma_joinid": joinids, "dataset_id": [name] * len(joinids)})
        for name, joinids in datasets
    ).with_columns(pl.col("dataset_id").cast(pl.Categorical))


def even_corpus(n_datasets: int, cells_each: int) -> pl.DataFrame:
    return a_corpus(
        *((f"d{d:03}", np.arange(d * cells_each, (d + 1) * cells_each)) for d in range(n_datasets))
    )


def choose(cells: pl.DataFrame, n: int, *, seed: int = 0, **settings: object) -> Selection:
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 2**64, cells.height, dtype=np.uint64)
    return blocks(cells, None, n, keys=keys, rng=rng, **settings)  # type: ignore[arg-type]


def tiles_of(cells: pl.DataFrame, selection: Selection, tile_cells: int) -> int:
    return int(np.unique(cells["soma_joinid"].to_numpy()[selection.rows] // tile_cells).size)


@st.composite
def corpora(draw: st.DrawFn) -> pl.DataFrame:
    """Datasets of any size, some of their joinids filtered away, now and then interleaved."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = draw(st.lists(st.integers(1, 120), min_size=1, max_size=6))
    dataset = np.repeat(np.arange(len(sizes)), sizes)
    if draw(st.booleans()):
        rng.shuffle(dataset)
    kept = np.flatnonzero(rng.random(dataset.size) < draw(st.sampled_from([0.2, 0.8, 1.0])))
    kept = kept if kept.size else np.array([0])
    return pl.DataFrame(
        {"soma_joinid": kept, "dataset_id": pl.Series([f"d{d}" for d in dataset[kept]], dtype=pl.Categorical)}
    )


def test_a_case_computed_by_hand() -> None:
    # Tiles of 4: dataset a has the joinids 0 to 7 (tiles 0 and 1), b has 8 to 11 (tile 2).
    cells = a_corpus(("a", np.arange(8)), ("b", np.arange(8, 12)))
    pieces = find_pieces(cells, tile_cells=4)
    assert pieces.n_cells.tolist() == [4, 4, 4]
    plan = make_plan(pieces, 3, budget=2)
    # 3 cells among 8 and 4: two and one. One draw each: a's two cells come from tile 0 or from tile 1.
    assert plan.quotas.tolist() == [2, 1]
    assert plan.n_draws.tolist() == [1, 1]
    assert plan.tiles_at_most == 2
    # The start of a is u * 8 / CIRCLE, rounded down: below 4 it lies in tile 0.
    rng = np.random.default_rng(0)
    assert draw_blocks(plan, 0, rng=rng).tolist() == [2, 0, 1]
    assert draw_blocks(plan, CIRCLE // 2 - 1, rng=rng).tolist() == [2, 0, 1]
    assert draw_blocks(plan, CIRCLE // 2, rng=rng).tolist() == [0, 2, 1]
    assert plan.weights().tolist() == [4.0, 4.0]
    selection = choose(cells, 3, tiles=2, tile_cells=4)
    assert selection.weights is not None
    assert selection.weights.tolist() == [4.0, 4.0, 4.0]
    assert selection.rows[1] // 4 == selection.rows[0] // 4
    assert selection.notes["n_tiles_read"] == 2


@settings(max_examples=150, deadline=None)
@given(data=st.data(), cells=corpora(), tile_cells=st.integers(1, 50), seed=st.integers(0, 1000))
def test_exact_sizes_every_dataset_weights_that_add_up_and_the_tiles_promised(
    data: st.DataObject, cells: pl.DataFrame, tile_cells: int, seed: int
) -> None:
    n = data.draw(st.integers(1, cells.height))
    tiles = data.draw(st.one_of(st.just("auto"), st.integers(1, 20), st.floats(0.01, 0.99)))
    selection = choose(cells, n, seed=seed, tiles=tiles, tile_cells=tile_cells)
    assert selection.rows.size == n
    assert (np.diff(selection.rows) > 0).all()
    assert selection.weights is not None
    assert selection.weights.dtype == np.float32
    read = tiles_of(cells, selection, tile_cells)
    assert read == selection.notes["n_tiles_read"]
    assert read <= int(selection.notes["n_tiles_read_at_most"])
    budget = tiles_budget(tiles, n, find_pieces(cells, tile_cells=tile_cells))
    assert ("notice" in selection.notes) == (
        int(selection.notes["n_tiles_read_at_most"]) > budget or n < cells["dataset_id"].n_unique()
    )
    names = cells["dataset_id"].cast(pl.String).to_numpy()
    chosen = names[selection.rows]
    if n >= np.unique(names).size:
        for name in np.unique(names):
            total = selection.weights[chosen == name].astype(np.float64).sum()
            assert total == pytest.approx((names == name).sum(), rel=1e-5)
    else:
        assert selection.weights.tolist() == pytest.approx([cells.height / n] * n)


@settings(max_examples=80, deadline=None)
@given(cells=corpora(), tile_cells=st.integers(1, 50), data=st.data())
def test_over_all_starts_every_block_gives_its_share_and_never_more_than_it_has(
    cells: pl.DataFrame, tile_cells: int, data: st.DataObject
) -> None:
    n = data.draw(st.integers(1, cells.height))
    budget = data.draw(st.integers(1, 12))
    plan = make_plan(find_pieces(cells, tile_cells=tile_cells), n, budget=budget)
    # A stratum of N cells has N starts; the blocks of each have to give their share over those.
    for number, own in enumerate(plan.strata()):
        total, n_draws = int(plan.stratum_cells[number]), int(plan.n_draws[number])
        ends = np.cumsum(plan.n_cells[own]) * n_draws
        draws = np.zeros(plan.n_cells[own].size, dtype=np.int64)
        for start in range(total):
            drawn = np.searchsorted(ends, start + total * np.arange(n_draws), side="right")
            landing = np.bincount(drawn, minlength=draws.size)
            asked = [most_taken(int(c), total, int(plan.quotas[number]), n_draws) for c in plan.n_cells[own]]
            assert (landing * (plan.quotas[number] // n_draws) <= asked).all()
            assert (asked <= plan.n_cells[own]).all()
            draws += landing
        # The mean number of draws of a block is n_draws times its share of the cells, exactly.
        assert (draws == plan.n_cells[own] * n_draws).all()


def test_the_start_of_every_stratum_is_uniform() -> None:
    plan = make_plan(find_pieces(even_corpus(5, 40), tile_cells=8), 20, budget=10)
    starts = np.array([plan.starts(k * (CIRCLE // 4000)) for k in range(4000)])
    for of_stratum in starts.T:
        np.testing.assert_allclose(np.bincount(of_stratum, minlength=40), 100, atol=1)
    # The strata are turned against each other: they do not all start alike.
    assert np.unique(starts[0]).size > 3


def test_every_cell_is_as_likely_as_its_weight_says() -> None:
    # Blocks of unequal sizes, datasets too, one too small for its share: 30 cells of 3 + 37 + 300.
    kept = np.flatnonzero(np.random.default_rng(1).random(600) < 0.6)[:337]
    cells = a_corpus(("small", kept[:3]), ("b", kept[3:40]), ("c", kept[40:]))
    n_seeds, times, weighted = 2000, np.zeros(cells.height), np.zeros(cells.height)
    for seed in range(n_seeds):
        selection = choose(cells, 30, seed=seed, tiles=8, tile_cells=25)
        times[selection.rows] += 1
        assert selection.weights is not None
        weighted[selection.rows] += selection.weights
    assert int(selection.notes["n_tiles_read_at_most"]) < int(selection.notes["n_tiles"])
    # Horvitz-Thompson: the mean weighted indicator of each cell is one. The largest of 337 standard scores of
    # an unbiased estimate is above 4.5 once in 400 runs; the seeds are fixed.
    chance = times / n_seeds
    error = np.sqrt((1 - chance) / (chance * n_seeds))
    assert (np.abs(weighted / n_seeds - 1) < 4.5 * error).all()


def test_weighted_counts_of_cell_types_match_the_corpus() -> None:
    # Types run along the joinids, as in a Census: whole tiles are of one type.
    cells = even_corpus(6, 1000)
    kind = (np.arange(6000) // 70) % 7
    counts = np.bincount(kind)
    estimates = []
    for seed in range(600):
        selection = choose(cells, 120, seed=seed, tiles=0.1, tile_cells=50)
        estimates.append(np.bincount(kind[selection.rows], weights=selection.weights, minlength=7))
    mean = np.mean(estimates, axis=0)
    error = np.std(estimates, axis=0) / np.sqrt(len(estimates))
    assert (np.abs(mean - counts) < 4 * error).all()
    assert (error < 0.05 * counts).all()


def test_at_one_percent_it_reads_at_most_five_percent_of_the_tiles() -> None:
    cells = even_corpus(20, 100 * 64)
    for seed in range(5):
        selection = choose(cells, cells.height // 100, seed=seed, tile_cells=64)
        assert selection.notes["n_tiles"] == 2000
        assert 80 <= tiles_of(cells, selection, 64) <= 100
        assert selection.notes["n_datasets_chosen"] == 20
        assert "notice" not in selection.notes


def test_tiles_are_those_of_the_store_not_of_the_cells_to_choose_from() -> None:
    # Every fourth joinid: 25 cells of each tile of 100 are there.
    cells = a_corpus(("a", np.arange(0, 10_000, 4)))
    selection = choose(cells, 100, tiles=10, tile_cells=100)
    assert selection.notes["n_tiles"] == 100
    assert tiles_of(cells, selection, 100) <= 10


def test_small_pieces_are_joined_until_they_hold_what_is_asked() -> None:
    # Of the tiles of 10 every second holds a single cell: 11 cells in 2 tiles, 5 of which a draw may take.
    joinids = np.concatenate([np.r_[20 * k : 20 * k + 10, 20 * k + 10] for k in range(20)])
    plan = make_plan(find_pieces(a_corpus(("a", joinids)), tile_cells=10), 30, budget=12)
    assert plan.n_cells.min() >= 30 // int(plan.n_draws[0])
    assert plan.tiles_at_most <= 12


def test_a_budget_of_all_tiles_is_a_stratified_random_choice() -> None:
    cells = even_corpus(3, 100)
    selection = choose(cells, 90, tile_cells=10)
    assert np.bincount(selection.rows // 100).tolist() == [30, 30, 30]
    assert selection.notes["n_blocks"] == 3


def test_datasets_that_need_more_tiles_than_the_budget_are_said_with_the_numbers() -> None:
    selection = choose(even_corpus(50, 20), 60, tiles=10, tile_cells=20)
    assert selection.notes["n_datasets_chosen"] == 50
    assert "up to 50 of 50 tiles are read, not 10: 60 cells of 50 datasets" in str(selection.notes["notice"])


def test_fewer_cells_than_datasets_are_said_with_the_numbers() -> None:
    selection = choose(even_corpus(50, 20), 7, tiles=0.5, tile_cells=20)
    assert selection.notes["n_datasets_chosen"] == 7
    assert "7 cells leave out some of 50 datasets" in str(selection.notes["notice"])


def test_a_dataset_whose_share_is_below_one_cell_gets_one_all_the_same() -> None:
    assert at_least_one(np.array([1, 1, 998]), 10).tolist() == [1, 1, 8]
    assert at_least_one(np.array([500, 500]), 3).sum() == 3
    assert at_least_one(np.array([2, 3]), 5).tolist() == [2, 3]


@pytest.mark.parametrize("value", [0, -1, 1.5, "many", float("nan"), None])
def test_a_budget_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(SelectionError, match="is neither auto, nor a number of tiles, nor a fraction"):
        parse_tiles(value)


@pytest.mark.parametrize("value", [0, -2048, 0.5, "wide"])
def test_a_tile_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(SelectionError, match="must be a whole number from 1; 2,048 is usual"):
        parse_tile_cells(value)


def test_budgets_as_typed_and_as_given_are_the_same() -> None:
    assert parse_tiles("auto") == "auto"
    assert parse_tiles("12") == 12
    assert parse_tiles("0.05") == 0.05
    pieces = find_pieces(even_corpus(1, 1000), tile_cells=10)
    assert tiles_budget("auto", 10, pieces) == 5
    assert tiles_budget(0.5, 10, pieces) == 50
    assert tiles_budget(1000, 10, pieces) == 100
    assert tiles_budget("auto", 1, pieces) == 1
