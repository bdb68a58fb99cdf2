"""tiles: pieces of datasets, and what a random choice would read."""

from math import comb

import numpy as np
import polars as pl
import pytest

from curate.build.strategies.tiles import Pieces, find_pieces, tiles_of_random


def pieces_of(joinids: list[int], datasets: list[str], tile_cells: int) -> Pieces:
    cells = pl.DataFrame({"soma_joinid": joinids, "dataset_id": pl.Series(datasets, dtype=pl.Categorical)})
    return find_pieces(cells, tile_cells=tile_cells)


def test_pieces_are_pairs_of_dataset_and_tile_in_the_order_of_both() -> None:
    pieces = pieces_of([3, 4, 7, 8, 30], ["b", "b", "a", "a", "b"], 5)
    found = zip(pieces.dataset.tolist(), pieces.tile.tolist(), pieces.n_cells.tolist(), strict=True)
    assert list(found) == [(0, 1, 2), (1, 0, 2), (1, 6, 1)]
    assert pieces.of_cell.tolist() == [1, 1, 0, 0, 2]
    assert (pieces.n_tiles, pieces.n_datasets) == (3, 2)


def test_datasets_that_share_a_tile_or_come_in_turns_are_told_apart() -> None:
    pieces = pieces_of([0, 1, 2, 3, 4, 5], ["a", "b", "a", "b", "a", "b"], 4)
    found = zip(pieces.dataset.tolist(), pieces.tile.tolist(), pieces.n_cells.tolist(), strict=True)
    assert list(found) == [(0, 0, 2), (0, 1, 1), (1, 0, 2), (1, 1, 1)]
    assert pieces.of_cell.tolist() == [0, 2, 0, 2, 1, 3]
    assert pieces.n_tiles == 2


def test_the_tiles_of_a_random_choice_are_those_that_it_does_not_miss() -> None:
    # Tiles of 4, 4 and 2 cells; of C(10, 3) choices of 3 cells, C(6, 3) miss a tile of 4, C(8, 3) that of 2.
    pieces = pieces_of(list(range(10)), ["a"] * 10, 4)
    expected = 3 - (2 * comb(6, 3) + comb(8, 3)) / comb(10, 3)
    assert tiles_of_random(pieces, 3) == pytest.approx(expected)
    assert tiles_of_random(pieces, 1) == pytest.approx(1)
    assert tiles_of_random(pieces, 10) == 3


def test_random_choices_touch_as_many_tiles_as_expected() -> None:
    rng = np.random.default_rng(0)
    joinids = np.flatnonzero(rng.random(3000) < 0.3)
    pieces = pieces_of(joinids.tolist(), ["a"] * joinids.size, 50)
    touched = [np.unique(rng.choice(joinids, 60, replace=False) // 50).size for _ in range(400)]
    assert tiles_of_random(pieces, 60) == pytest.approx(np.mean(touched), abs=0.6)
