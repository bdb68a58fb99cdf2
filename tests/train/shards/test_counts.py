from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from curate.errors import ShardError
from curate.train.loader import Dense, ShardLoader
from curate.train.shards import counts as module
from curate.train.shards.counts import ShardCounts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.manifests.document import Split
    from curate.train.shards import Shards


def dense(shards: Shards, split: Split = "train") -> NDArray[np.float32]:
    """The counts of a split by the loader, row by row."""
    encoding = Dense(shards.header.n_genes, target_sum=None)
    loader = ShardLoader(shards, encoding, split=split, is_shuffled=False)
    return np.concatenate([batch.x.numpy() for batch in loader])


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_all_rows_of_a_split_come_in_their_order(shards: Shards, split: Split) -> None:
    counts = ShardCounts(shards, split)
    blocks = list(counts.blocks([np.arange(shards.n_cells(split))]))
    held = np.concatenate([block.counts.toarray() for block in blocks])
    np.testing.assert_array_equal(held, dense(shards, split))
    np.testing.assert_array_equal(np.concatenate([block.totals for block in blocks]), held.sum(axis=1))
    assert counts.n_genes == held.shape[1]


def test_rows_and_genes_are_chosen_and_totals_stay_those_of_all_genes(
    shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_CELLS", 3)
    # Rows of every shard of 50, two of them twice, in two runs.
    runs = [np.array([0, 3, 3, 48, 49, 50, 51, 120]), np.array([121, 199, 199, 200, 230])]
    genes = np.array([0, 5, 6, 119])
    blocks = list(ShardCounts(shards).blocks(runs, genes))
    expected = dense(shards)[np.concatenate(runs)]
    np.testing.assert_array_equal(
        np.concatenate([block.counts.toarray() for block in blocks]), expected[:, genes]
    )
    np.testing.assert_array_equal(np.concatenate([b.totals for b in blocks]), expected.sum(axis=1))
    assert max(block.totals.size for block in blocks) == 3
    assert all(block.counts.has_sorted_indices for block in blocks)


def test_a_split_without_cells_is_refused(shards: Shards) -> None:
    with pytest.raises(ShardError, match="no split named 'all'"):
        list(ShardCounts(shards, "all").blocks([np.arange(1)]))  # type: ignore[arg-type]
