"""Hashes of what cells hold."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.content import add_entries, content_hashes, gene_keys

GENES = [f"ENSG{i:011d}" for i in range(60)]


def simulated_counts(n_cells: int, *, seed: int = 0) -> sp.csr_array:
    rng = np.random.default_rng(seed)
    return sp.csr_array(rng.poisson(0.4, size=(n_cells, len(GENES))).astype(np.float32))


def test_a_hash_is_the_sum_of_mixed_pairs_of_gene_and_count() -> None:
    key = int(gene_keys(["ENSG00000000003"])[0])
    z = (key + 7 * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    expected = z ^ (z >> 31)
    hashes = content_hashes(
        sp.csr_array(np.array([[7.0], [0.0]], dtype=np.float32)), gene_keys(["ENSG00000000003"])
    )
    assert hashes.tolist() == [expected, 0]


@given(st.permutations(range(len(GENES))))
def test_the_order_of_genes_does_not_matter(order: list[int]) -> None:
    counts = simulated_counts(20)
    moved = sp.csr_array(counts[:, order])
    there = content_hashes(moved, gene_keys([GENES[i] for i in order]))
    assert there.tolist() == content_hashes(counts, gene_keys(GENES)).tolist()


def test_every_change_of_a_count_or_of_a_gene_changes_the_hash() -> None:
    counts = simulated_counts(500)
    hashes = content_hashes(counts, gene_keys(GENES))
    more = counts.copy()
    more.data[more.indptr[:-1]] += 1
    assert not (content_hashes(more, gene_keys(GENES)) == hashes).any()
    renamed = content_hashes(counts, gene_keys([*GENES[1:], GENES[0]]))
    assert not (renamed == hashes).any()
    assert len(np.unique(hashes)) == 500


def test_a_gene_of_key_0_is_left_out() -> None:
    counts = simulated_counts(50)
    keys = gene_keys(GENES)
    keys[20:] = 0
    assert (content_hashes(counts, keys) == content_hashes(counts[:, :20], gene_keys(GENES[:20]))).all()


@settings(deadline=None)  # the first call compiles
@given(st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_entries_in_any_order_and_parts_give_the_same_hashes(n_in_part: int, seed: int) -> None:
    counts = simulated_counts(30, seed=1)
    keys = gene_keys(GENES)
    keys[7] = 0
    wanted = np.array([2, 3, 11, 28])
    rows, columns = counts.nonzero()
    order = np.random.default_rng(seed).permutation(rows.size)
    hashes, n_genes = np.zeros(4, np.uint64), np.zeros(4, np.int32)
    for first in range(0, rows.size, n_in_part):
        part = order[first : first + n_in_part]
        add_entries(
            rows[part].astype(np.int64),
            columns[part].astype(np.int64),
            counts.data[part],
            cells=wanted,
            keys=keys,
            hashes=hashes,
            n_genes=n_genes,
        )
    assert hashes.tolist() == content_hashes(counts[wanted], keys).tolist()
    dense = counts.toarray()[wanted]
    dense[:, 7] = 0
    assert n_genes.tolist() == (dense > 0).sum(axis=1).tolist()
