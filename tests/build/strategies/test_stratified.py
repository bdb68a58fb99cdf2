from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from curate.build.strategies.stratified import largest_remainder, stratified
from curate.errors import SelectionError

COUNTS = st.lists(st.integers(0, 2_000_000), min_size=1, max_size=40).filter(any)


@settings(deadline=None)
@given(COUNTS, st.floats(0, 1), st.integers(0, 9))
def test_every_quota_is_within_one_of_its_exact_share(counts: list[int], share: float, seed: int) -> None:
    n = int(share * sum(counts))
    quotas = largest_remainder(np.array(counts), n, rng=np.random.default_rng(seed))
    assert int(quotas.sum()) == n
    for quota, count in zip(quotas.tolist(), counts, strict=True):
        assert n * count // sum(counts) <= quota <= -(-n * count // sum(counts))
        assert quota <= count


def test_a_case_by_hand() -> None:
    # Shares of 10 cells: 4.2, 3.5, 2.3. The one cell left goes to the remainder .5.
    quotas = largest_remainder(np.array([42, 35, 23]), 10, rng=np.random.default_rng(0))
    assert quotas.tolist() == [4, 4, 2]


def test_groups_with_equal_remainders_draw_lots() -> None:
    drawn = sum(
        largest_remainder(np.array([5, 5, 5, 5]), 2, rng=np.random.default_rng(seed)) for seed in range(2_000)
    )
    assert chisquare(np.asarray(drawn)).pvalue > 1e-3


def test_sums_of_the_corpus_size_do_not_overflow() -> None:
    counts = np.array([2_000_000_000, 999_999_999, 1])
    quotas = largest_remainder(counts, 1_500_000_000, rng=np.random.default_rng(0))
    assert quotas.sum() == 1_500_000_000
    assert quotas[0] == math.ceil(1_000_000_000)


def test_more_than_the_groups_hold_is_refused() -> None:
    with pytest.raises(SelectionError, match="cannot share 4 cells among groups of 3 in all"):
        largest_remainder(np.array([1, 2]), 4, rng=np.random.default_rng(0))


def test_combinations_of_columns_keep_their_shares() -> None:
    cells = pl.DataFrame({"cell_type": ["T", "B"] * 100, "sex": ["f"] * 100 + ["m"] * 100})
    keys = np.random.default_rng(0).integers(0, 2**64, 200, dtype=np.uint64)
    selection = stratified(cells, None, 40, keys=keys, rng=np.random.default_rng(0), by=("cell_type", "sex"))
    counts = cells[selection.rows.tolist()].group_by("cell_type", "sex").len()["len"].to_list()
    assert counts == [10, 10, 10, 10]
    assert selection.notes["n_strata"] == 4


def test_within_a_group_the_smallest_keys_are_taken() -> None:
    cells = pl.DataFrame({"cell_type": ["T", "T", "T", "T", "B", "B"]})
    keys = np.array([4, 2, 1, 3, 9, 8], dtype=np.uint64)
    rows = stratified(cells, None, 3, keys=keys, rng=np.random.default_rng(0)).rows
    assert rows.tolist() == [1, 2, 5]
