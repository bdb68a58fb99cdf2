"""Looking cells up by their keys: the same answer from a table and from a search."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.manifests.obs import ABSENT, DENSE, find_rows, look_up

KEYS = st.sets(st.integers(0, 10**6) | st.integers(0, 50), max_size=40)


@given(KEYS, KEYS)
def test_a_key_is_found_where_it_stands(keys: set[int], wanted: set[int]) -> None:
    held, asked = (np.array(sorted(side), dtype=np.int64) for side in (keys, wanted))
    position = {key: row for row, key in enumerate(held.tolist())}
    assert find_rows(held, asked).tolist() == [position.get(key, ABSENT) for key in asked.tolist()]


@pytest.mark.parametrize(
    "largest", [DENSE * 4 - 1, DENSE * 4, 2**60], ids=["dense", "at the limit", "sparse"]
)
def test_values_come_back_in_their_own_type(largest: int) -> None:
    keys, values = np.array([1, 3, largest]), np.array([7, 8, 9], dtype=np.uint8)
    found = look_up(keys, values, np.array([3]), absent=5)
    assert found.tolist() == [8]
    assert found.dtype == np.dtype(np.uint8)
    assert look_up(keys, values, np.array([2]), absent=5).tolist() == [5]


def test_identities_use_all_64_bits() -> None:
    keys = np.array([5, 2**63 + 1, 2**64 - 1], dtype=np.uint64)
    assert find_rows(keys, keys[1:]).tolist() == [1, 2]
    assert find_rows(keys, np.array([2**63], dtype=np.uint64)).tolist() == [ABSENT]
