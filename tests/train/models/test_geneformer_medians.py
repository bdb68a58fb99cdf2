from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from curate.train.models import geneformer_medians
from curate.train.models.geneformer_medians import nonzero_medians
from curate.train.shards.shards import Shard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.train.shards import Shards


def shard_of(counts: NDArray[np.int64]) -> Shard:
    """CSR of dense counts [n_cells, n_genes]."""
    indptr = np.concatenate([[0], np.cumsum((counts > 0).sum(axis=1))])
    return Shard(
        "s", 0, indptr, np.nonzero(counts)[1].astype(np.uint16), counts[counts > 0].astype(np.uint32)
    )


def medians_of(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The same by numpy: cell by cell and gene by gene."""
    found = np.zeros(counts.shape[1])
    for gene in range(counts.shape[1]):
        values = [np.float32(row[gene] / row.sum() * 1e4) for row in counts if row[gene]]
        found[gene] = np.median(np.array(values, np.float64)) if values else 0
    return found


def test_medians_of_three_cells_by_hand() -> None:
    counts = np.array([[1, 3, 0, 0], [5, 0, 5, 0], [2, 6, 2, 0]])
    # Of 4, 10 and 10 counts: gene 0 has 0.25, 0.5, 0.2; gene 1 has 0.75, 0.6; gene 2 has 0.5, 0.2.
    assert nonzero_medians([shard_of(counts)], 4) == pytest.approx([2500, 6750, 3500, 0], rel=1e-7)


@pytest.mark.parametrize("seed", range(4))
def test_medians_are_those_of_numpy_to_the_last_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = np.floor(rng.lognormal(0, 2, (157, 31)) * (rng.random((157, 31)) < rng.random(31) ** 2))
    counts = counts.astype(np.int64)
    halves = [shard_of(counts[:60]), shard_of(counts[60:])]
    assert np.array_equal(nonzero_medians(halves, 31), medians_of(counts))


def test_threads_and_blocks_do_not_change_the_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.random.default_rng(7).poisson(0.7, (101, 12))
    whole = nonzero_medians([shard_of(counts)], 12)
    monkeypatch.setattr(geneformer_medians, "BLOCK_CELLS", 7)
    assert np.array_equal(nonzero_medians([shard_of(counts)], 12, n_threads=3), whole)


def test_cells_without_counts_and_stored_zeros_do_not_count() -> None:
    counts = np.array([[4, 4], [0, 0], [1, 3]])
    empty = Shard("e", 0, np.array([0, 0, 2]), np.array([0, 1], np.uint16), np.array([0, 0], np.uint16))
    assert np.array_equal(nonzero_medians([shard_of(counts), empty], 2), medians_of(counts))


def test_medians_of_shards_are_those_of_their_training_cells(shards: Shards) -> None:
    parts = shards.split("train")
    counts = np.zeros((shards.n_cells("train"), shards.header.n_genes), np.int64)
    for part in parts:
        for cell, (first, stop) in enumerate(pairwise(part.indptr.tolist())):
            counts[part.first_row + cell, part.indices[first:stop]] = part.data[first:stop]
    assert np.array_equal(nonzero_medians(parts, shards.header.n_genes), medians_of(counts))
