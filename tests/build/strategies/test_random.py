from __future__ import annotations

import numpy as np
import polars as pl
from scipy.stats import chisquare

from curate.build.strategies.random import random
from curate.identity import cell_keys

IDENTITY = np.arange(1_000, dtype=np.uint64)


def chosen(n: int, *, seed: int) -> set[int]:
    keys = cell_keys(IDENTITY, seed=seed, purpose="select")
    rng = np.random.default_rng(0)
    return set(random(pl.DataFrame(), None, n, keys=keys, rng=rng).rows.tolist())


def test_it_takes_the_smallest_keys() -> None:
    keys = np.array([9, 3, 7, 1, 5], dtype=np.uint64)
    rng = np.random.default_rng(0)
    assert random(pl.DataFrame(), None, 3, keys=keys, rng=rng).rows.tolist() == [1, 3, 4]


def test_every_cell_is_as_likely_as_every_other() -> None:
    times = np.zeros(IDENTITY.size)
    for seed in range(400):
        times[list(chosen(100, seed=seed))] += 1
    # Drawn without replacement, counts vary by 1 - n/N less than a multinomial's.
    assert chisquare(times).statistic / (1 - 100 / 1_000) / 999 < 1.15
    assert chisquare(times).pvalue > 1e-3


def test_a_cell_chosen_among_many_stays_chosen_among_fewer() -> None:
    keys = cell_keys(IDENTITY, seed=0, purpose="select")
    rng = np.random.default_rng(0)
    among_all = random(pl.DataFrame(), None, 100, keys=keys, rng=rng).rows
    among_half = random(pl.DataFrame(), None, 100, keys=keys[:500], rng=rng).rows
    assert set(among_all[among_all < 500].tolist()) <= set(among_half.tolist())
