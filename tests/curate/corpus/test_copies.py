"""Which cells are copies of which, and which one stays."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curate.corpus.copies import find_copies, is_among, rows_of

CELLS = st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.booleans()), min_size=1, max_size=40)


@given(CELLS, st.randoms(use_true_random=False))
def test_one_of_each_content_stays_whatever_the_order_of_the_cells(
    cells: list[tuple[int, bool, bool]], random: object
) -> None:
    hashes = np.array([content for content, _, _ in cells], np.uint64)
    is_primary = np.array([primary for _, primary, _ in cells])
    among = np.array([looked_at for _, _, looked_at in cells])
    identity = np.arange(100, 100 + hashes.size, dtype=np.uint64)
    by_content: dict[int, list[int]] = defaultdict(list)
    for row in np.flatnonzero(among):
        by_content[int(hashes[row])].append(int(row))
    several = {content: rows for content, rows in by_content.items() if len(rows) > 1}
    kept = {min(rows, key=lambda row: (not is_primary[row], identity[row])) for rows in several.values()}

    order = np.random.default_rng(hashes.size).permutation(hashes.size)
    found = find_copies(hashes[order], among[order], is_primary=is_primary[order], identity=identity[order])
    assert found.n_groups == len(several)
    assert sorted(order[found.rows]) == sorted(row for rows in several.values() for row in rows)
    assert set(order[found.rows]) - set(order[found.surplus]) == kept
    assert found.surplus.size == found.rows.size - len(several)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=30), st.lists(st.integers(0, 2**64 - 1), max_size=30))
def test_values_are_found_where_they_stand(keys: list[int], others: list[int]) -> None:
    distinct = np.array(sorted(set(keys)), np.uint64)
    values = np.array([*keys, *others], np.uint64)
    assert is_among(values, distinct).tolist() == [value in keys for value in values.tolist()]
    shuffled = np.random.default_rng(0).permutation(distinct)
    rows = rows_of(values, shuffled)
    assert rows.tolist() == [
        shuffled.tolist().index(value) if value in keys else -1 for value in values.tolist()
    ]


def test_blocks_do_not_change_what_is_found(monkeypatch: object) -> None:
    import pytest

    rng = np.random.default_rng(1)
    keys = np.unique(rng.integers(0, 500, 200)).astype(np.uint64)
    values = rng.integers(0, 500, 1_000).astype(np.uint64)
    rows = rng.permutation(1_000)[:700]
    whole = is_among(values, keys, rows=rows), rows_of(values, keys)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("curate.corpus.copies.BLOCK", 64)
        assert (is_among(values, keys, rows=rows) == whole[0]).all()
        assert (rows_of(values, keys) == whole[1]).all()
