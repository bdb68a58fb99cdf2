"""block_costs: what blocks cost against a random choice."""

import numpy as np
import polars as pl
import pytest

from curate.build.diversity.labels import shannon_bits
from curate.build.strategies.block_costs import block_costs, design_effect
from curate.build.strategies.block_plan import make_plan
from curate.build.strategies.blocks import blocks
from curate.build.strategies.tiles import find_pieces


def a_corpus(n_datasets: int = 3, cells_each: int = 1200) -> pl.DataFrame:
    n = n_datasets * cells_each
    dataset = [f"d{row // cells_each}" for row in range(n)]
    return pl.DataFrame({"soma_joinid": np.arange(n), "dataset_id": pl.Series(dataset, dtype=pl.Categorical)})


def measured(
    cells: pl.DataFrame, codes: np.ndarray, n: int, *, budget: int, tile_cells: int, n_draws: int = 100
) -> float:
    pieces = find_pieces(cells, tile_cells=tile_cells)
    plan = make_plan(pieces, n, budget=budget)
    codes = codes.astype(np.uint8)
    return design_effect(
        plan, plan.of_piece[pieces.of_cell], codes, rng=np.random.default_rng(0), n_draws=400
    )


def test_the_design_effect_is_that_of_whole_selections_over_many_seeds() -> None:
    cells = a_corpus()
    kind = (np.arange(cells.height) // 90) % 5
    n, estimates = 72, []
    for seed in range(1500):
        rng = np.random.default_rng(seed)
        keys = rng.integers(0, 2**64, cells.height, dtype=np.uint64)
        selection = blocks(cells, None, n, keys=keys, rng=rng, tiles=9, tile_cells=60)
        estimates.append(np.bincount(kind[selection.rows], weights=selection.weights, minlength=5))
    share = np.bincount(kind) / cells.height
    of_random = (share * (1 - share)).sum() / n * (cells.height - n) / (cells.height - 1)
    expected = np.var(np.array(estimates) / cells.height, axis=0, ddof=1).sum() / of_random
    found = measured(cells, kind, n, budget=9, tile_cells=60, n_draws=600)
    assert expected > 2
    assert found == pytest.approx(expected, rel=0.15)


def test_labels_shuffled_over_all_cells_cost_about_nothing() -> None:
    kind = np.random.default_rng(0).integers(0, 4, 3600)
    assert measured(a_corpus(), kind, 180, budget=15, tile_cells=60) == pytest.approx(1, abs=0.35)


def test_tiles_of_one_label_cost_the_cells_that_each_gives() -> None:
    # Every tile is of one label, and which of 20 a dataset's 5 draws meet is all that varies. For tiles in
    # random order a systematic draw of them varies as a simple one: S² / 5 * (1 - 5 / 20), of three datasets.
    tile_variance = 0.25 * 20 / 19 / 5 * 0.75 / 3
    of_random = 0.25 / 180 * (3600 - 180) / 3599
    found = []
    for seed in range(60):
        kind = np.random.default_rng(seed).permuted(np.tile([0, 1], (3, 10)), axis=1)
        found.append(measured(a_corpus(), np.repeat(kind, 60), 180, budget=15, tile_cells=60))
    assert np.mean(found) == pytest.approx(tile_variance / of_random, rel=0.2)


def test_all_cells_and_a_single_label_have_no_variance_to_compare() -> None:
    cells = a_corpus()
    assert measured(cells, np.zeros(3600), 180, budget=15, tile_cells=60) == 1
    assert measured(cells, np.arange(3600) % 3, 3600, budget=60, tile_cells=60) == 1


def test_what_is_reported_is_of_these_cells_and_of_random_ones() -> None:
    cells = a_corpus()
    labels = pl.Series("cell_type", [f"type {(row // 90) % 5}" for row in range(3600)], dtype=pl.Categorical)
    embedding = np.random.default_rng(1).normal(size=(7200, 4)).astype(np.float32)
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 2**64, 3600, dtype=np.uint64)
    settings = {"tiles": 9, "tile_cells": 60}
    selection = blocks(cells, None, 72, keys=keys, rng=rng, **settings)
    costs = block_costs(
        cells,
        embedding,
        selection,
        labels=labels,
        keys=keys,
        rng=rng,
        embedding_rows=np.arange(0, 7200, 2),
        tiles=9,
        tile_cells=60,
    )
    counts = labels.gather(selection.rows).value_counts()["count"].to_numpy()
    of_random = labels.gather(np.argsort(keys)[:72]).value_counts()["count"].to_numpy()
    assert costs["shannon_bits"] == pytest.approx(shannon_bits(counts), abs=1e-4)
    assert costs["shannon_bits_of_random"] == pytest.approx(shannon_bits(of_random), abs=1e-4)
    assert 40 < float(costs["n_tiles_read_by_random"]) < 45
    assert float(costs["design_effect"]) > 1
    assert 0.5 < float(costs["coverage_distance"]) / float(costs["coverage_distance_of_random"]) < 2
    without = block_costs(cells, None, selection, labels=labels, keys=keys, rng=rng, tiles=9, tile_cells=60)
    assert "coverage_distance" not in without
