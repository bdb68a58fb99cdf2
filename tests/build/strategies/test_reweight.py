from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from curate.build.diversity.labels import shannon_bits
from curate.build.strategies.reweight import reweight, water_fill
from curate.errors import SelectionError

SHARED = Path(os.environ.get("CURATE_SHARED", "../shared"))
COUNTS = st.lists(st.integers(0, 300), min_size=1, max_size=30).filter(any)


def shared_out_one_by_one(counts: list[int], n: int) -> list[int]:
    """Give one cell at a time to the emptiest group that still has some; the first such group."""
    quotas = [0] * len(counts)
    for _ in range(n):
        _, group = min((quota, g) for g, quota in enumerate(quotas) if quota < counts[g])
        quotas[group] += 1
    return quotas


@settings(deadline=None, max_examples=60)
@given(COUNTS, st.floats(0, 1), st.integers(0, 9))
def test_it_agrees_with_giving_out_one_cell_at_a_time(counts: list[int], share: float, seed: int) -> None:
    n = int(share * sum(counts))
    quotas = water_fill(np.array(counts), n, rng=np.random.default_rng(seed)).tolist()
    assert sum(quotas) == n
    assert all(quota <= count for quota, count in zip(quotas, counts, strict=True))
    # Which of the open groups get one more is drawn, so the quotas agree as multisets.
    assert sorted(quotas) == sorted(shared_out_one_by_one(counts, n))
    short = [quota for quota, count in zip(quotas, counts, strict=True) if quota < count]
    assert not short or max(quotas) - min(short) <= 1


def test_a_case_by_hand() -> None:
    # 20 cells among 5: 4 each; the group of 2 leaves 2, the group of 3 leaves 1: three groups share 15.
    quotas = water_fill(np.array([2, 100, 3, 50, 40]), 20, rng=np.random.default_rng(0))
    assert quotas.tolist() == [2, 5, 3, 5, 5]


@settings(deadline=None, max_examples=60)
@given(COUNTS, st.tuples(st.floats(0, 1), st.floats(0, 1)), st.integers(0, 9))
def test_no_quota_shrinks_as_n_grows(counts: list[int], shares: tuple[float, float], seed: int) -> None:
    few, many = (
        water_fill(np.array(counts), int(share * sum(counts)), rng=np.random.default_rng(seed))
        for share in sorted(shares)
    )
    assert (few <= many).all()


def test_remainders_fall_on_every_open_group_alike() -> None:
    # The level is 2; groups 0 and 2 are used up; 3 cells are left for the other five.
    counts = np.array([2, 9, 1, 9, 8, 7, 9])
    more = np.zeros(7)
    for seed in range(2_000):
        more += water_fill(counts, 16, rng=np.random.default_rng(seed)) - np.minimum(counts, 2)
    assert more[0] == more[2] == 0
    assert chisquare(more[[1, 3, 4, 5, 6]]).pvalue > 1e-3


def test_all_cells_are_all_cells() -> None:
    counts = np.array([4, 0, 7])
    assert water_fill(counts, 11, rng=np.random.default_rng(0)).tolist() == [4, 0, 7]
    assert water_fill(counts, 0, rng=np.random.default_rng(0)).tolist() == [0, 0, 0]


def test_more_than_the_groups_hold_is_refused() -> None:
    with pytest.raises(SelectionError, match="cannot share 4 cells among groups of 3 in all"):
        water_fill(np.array([1, 2]), 4, rng=np.random.default_rng(0))


def test_one_percent_of_the_study_corpus_is_164_equal_types() -> None:
    path = SHARED / "data/reference/sctab_like_cell_counts.csv"
    if not path.exists():
        pytest.skip(f"{path} is absent; CURATE_SHARED names another folder")
    counts = pl.read_csv(path)["n_cells"].to_numpy()
    assert counts.size == 164
    assert counts.sum() == 22_189_056
    quotas = water_fill(counts, 221_890, rng=np.random.default_rng(0))
    assert quotas.sum() == 221_890
    assert set(quotas.tolist()) == {1_352, 1_353}
    assert shannon_bits(quotas) == pytest.approx(np.log2(164), abs=1e-8)


def test_every_type_gives_the_same_number_and_a_small_one_all_it_has() -> None:
    cells = pl.DataFrame({"cell_type": ["T"] * 80 + ["B"] * 15 + ["mast"] * 5})
    keys = np.random.default_rng(0).integers(0, 2**64, 100, dtype=np.uint64)
    selection = reweight(cells, None, 25, keys=keys, rng=np.random.default_rng(0))
    chosen = dict(cells[selection.rows.tolist()].group_by("cell_type").len().iter_rows())
    assert chosen == {"T": 10, "B": 10, "mast": 5}
    assert selection.weights is None
    assert selection.notes == {"n_strata": 3, "n_strata_taken_whole": 1, "largest_quota": 10}


def test_within_a_type_the_smallest_keys_are_taken() -> None:
    cells = pl.DataFrame({"tissue": ["lung", "lung", "lung", "skin", "skin", "skin"]})
    keys = np.array([4, 2, 1, 3, 9, 8], dtype=np.uint64)
    rows = reweight(cells, None, 4, keys=keys, rng=np.random.default_rng(0), by=("tissue",)).rows
    assert rows.tolist() == [1, 2, 3, 5]
