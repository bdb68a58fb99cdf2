from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curate.train.shards.plan import make_plan


@given(
    split=hnp.arrays(np.uint8, st.integers(0, 200), elements=st.integers(0, 2)),
    shard_cells=st.integers(1, 70),
    seed=st.integers(0, 3),
)
def test_every_cell_has_one_row_and_shards_cover_the_rows_split_by_split(
    split: np.ndarray[tuple[int], np.dtype[np.uint8]], shard_cells: int, seed: int
) -> None:
    plan = make_plan(split, manifest_id="m", seed=seed, shard_cells=shard_cells)
    np.testing.assert_array_equal(np.sort(plan.row_of), np.arange(split.size))
    np.testing.assert_array_equal(plan.row_of[plan.cell_of], np.arange(split.size))
    np.testing.assert_array_equal(split[plan.cell_of], np.sort(split))
    edges = [piece.first for piece in plan.pieces]
    assert edges[1:] == [piece.stop for piece in plan.pieces][:-1]
    assert all(0 < piece.stop - piece.first <= shard_cells for piece in plan.pieces)
    for piece in plan.pieces:
        held = split[plan.cell_of[piece.first : piece.stop]]
        assert set(held.tolist()) == {("train", "val", "test").index(piece.split)}


def test_the_order_depends_on_manifest_and_seed() -> None:
    split = np.zeros(50, np.uint8)
    orders = [
        make_plan(split, manifest_id=manifest, seed=seed, shard_cells=50).row_of.tolist()
        for manifest, seed in (("a", 0), ("a", 0), ("a", 1), ("b", 0))
    ]
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) == 3
    assert orders[0] != list(range(50))
