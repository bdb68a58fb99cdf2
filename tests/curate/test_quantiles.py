"""Quantiles and the distance of two columns: against polars, scipy and a case by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from curate.quantiles import QUANTILES, kolmogorov_smirnov, line, quantiles, shown

numbers = st.lists(st.integers(-50, 50), min_size=1, max_size=30)


def test_quantiles_by_hand() -> None:
    # ranks 0, 5, 25, 50, 75, 95, 100 of 0, 2, …, 200
    assert list(quantiles(np.arange(200, -1, -2)).values()) == [0, 10, 50, 100, 150, 190, 200]


@given(numbers)
def test_quantiles_are_those_of_polars_up_to_ties_of_rank(values: list[int]) -> None:
    found = quantiles(np.array(values))
    series = pl.Series(values).sort()
    for name, share in QUANTILES.items():
        rank = share * (len(values) - 1)
        if abs(rank % 1 - 0.5) > 1e-9:
            assert found[name] == series.quantile(share, "nearest")


@given(numbers)
def test_counted_values_have_the_quantiles_of_the_values(values: list[int]) -> None:
    distinct, counts = np.unique(values, return_counts=True)
    assert quantiles(distinct[::-1], counts[::-1]) == quantiles(np.array(values))


def test_what_is_not_a_number_does_not_count() -> None:
    assert set(quantiles(np.array([np.nan, 3.0, np.nan])).values()) == {3.0}
    assert quantiles(np.array([np.nan])) == {}
    assert quantiles(np.array([np.nan, 7.0]), np.array([5, 0])) == {}
    assert kolmogorov_smirnov(np.array([np.nan]), np.array([1.0])) is None


@given(numbers, numbers)
def test_the_distance_is_the_largest_at_any_threshold(a: list[int], b: list[int]) -> None:
    of_a, of_b = np.array(a), np.array(b)
    expected = max(abs((of_a <= at).mean() - (of_b <= at).mean()) for at in range(-51, 52))
    assert kolmogorov_smirnov(of_a, of_b) == pytest.approx(expected)


def test_the_distance_is_scipys() -> None:
    a, b = np.random.default_rng(0).normal(size=400), np.random.default_rng(1).normal(0.3, size=300)
    assert kolmogorov_smirnov(a, b) == pytest.approx(ks_2samp(a, b).statistic, abs=1e-12)


def test_the_distance_by_hand() -> None:
    # at 2 all of A but 1 of 4 in B
    assert kolmogorov_smirnov(np.array([1, 2]), np.array([2, 3, 4, 5])) == 0.75
    assert kolmogorov_smirnov(np.array([1, 2]), np.array([3])) == 1
    assert kolmogorov_smirnov(np.array([1, 2]), np.array([2, 1, 1, 2])) == 0


def test_quantiles_are_printed_whole_or_to_four_digits() -> None:
    assert line({"least": 1.0, "most": 12345.0}) == "least 1  most 12,345"
    assert (shown(1.23456), shown(0.00012345), shown(54321.5)) == ("1.235", "0.0001234", "54,322")
    assert line({}) == "no values"
