from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.build.strategies import keys as keys_module
from curate.build.strategies.keys import smallest_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX = 2**64 - 1


def by_sorting(keys: NDArray[np.uint64], quotas: NDArray[np.int64], codes: NDArray[np.uint8]) -> list[int]:
    rows: list[int] = []
    for stratum, quota in enumerate(quotas):
        members = [int(row) for row in np.flatnonzero(codes == stratum)]
        rows += sorted(members, key=lambda row: (int(keys[row]), row))[: int(quota)]
    return sorted(rows)


def test_a_case_by_hand() -> None:
    keys = np.array([50, 10, 40, 10, 30, 20], dtype=np.uint64)
    codes = np.array([0, 0, 1, 0, 1, 1], dtype=np.uint8)
    np.testing.assert_array_equal(smallest_keys(keys, np.array([1, 2]), codes=codes), [1, 4, 5])


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, MAX), st.integers(0, 3), st.just(MAX)),
            st.integers(0, 4),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_it_agrees_with_sorting_each_stratum(cells: list[tuple[int, int, bool]]) -> None:
    keys = np.array([key for key, _, _ in cells], dtype=np.uint64)
    codes = np.array([code for _, code, _ in cells], dtype=np.uint8)
    taken = np.array([take for _, _, take in cells], dtype=np.int64)
    quotas = np.bincount(codes, weights=taken, minlength=5).astype(np.int64)
    assert smallest_keys(keys, quotas, codes=codes).tolist() == by_sorting(keys, quotas, codes)


@pytest.mark.parametrize("n", [1, 50, 5_000, 9_950, 10_000])
@pytest.mark.parametrize("spread", ["uniform", "all in one corner", "all equal"])
def test_it_is_exact_for_keys_that_are_not_uniform(n: int, spread: str) -> None:
    rng = np.random.default_rng(1)
    high = {"uniform": 2**64, "all in one corner": 1_000, "all equal": 1}[spread]
    keys = rng.integers(0, high, 10_000, dtype=np.uint64)
    expected = np.sort(np.argsort(keys, kind="stable")[:n])
    np.testing.assert_array_equal(smallest_keys(keys, np.array([n])), expected)


def test_one_stratum_is_the_same_as_none() -> None:
    keys = np.random.default_rng(2).integers(0, 2**64, 5_000, dtype=np.uint64)
    codes = np.zeros(5_000, dtype=np.uint8)
    np.testing.assert_array_equal(
        smallest_keys(keys, np.array([700])), smallest_keys(keys, np.array([700]), codes=codes)
    )


@pytest.mark.parametrize("block", [1, 7, 1_000, 1 << 20])
def test_the_block_size_does_not_matter(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    rng = np.random.default_rng(3)
    keys = rng.integers(0, 2**64, 3_000, dtype=np.uint64)
    codes = rng.integers(0, 40, 3_000).astype(np.uint8)
    quotas = np.bincount(codes) // 3
    expected = by_sorting(keys, quotas, codes)
    monkeypatch.setattr(keys_module, "_BLOCK", block)
    assert smallest_keys(keys, quotas, codes=codes).tolist() == expected


def test_only_the_rows_near_the_threshold_are_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    sorted_rows: list[int] = []
    lexsort = np.lexsort

    def counted(columns: tuple[NDArray[np.uint64], ...]) -> NDArray[np.int64]:
        sorted_rows.append(columns[0].size)
        return lexsort(columns)

    monkeypatch.setattr(np, "lexsort", counted)
    keys = np.random.default_rng(4).integers(0, 2**64, 400_000, dtype=np.uint64)
    smallest_keys(keys, np.array([300_000]))
    assert sorted_rows[0] < 4_000
    assert len(sorted_rows) == 1
