"""Packed cells hold what the matrix holds."""

import numpy as np
import pytest
import scipy.sparse as sp

from curate.build.leakage.packed import MAX_GENES, Packed
from curate.errors import LeakageError


def dense(packed: Packed) -> np.ndarray:
    return np.vstack([chunk.toarray() for _, chunk in packed.csr_chunks()])


def test_packing_taking_and_keeping_genes_is_indexing() -> None:
    counts = np.random.default_rng(0).poisson(0.4, (30, 20))
    packed = Packed.of([sp.csr_array(counts[:12]), sp.csr_array(counts[12:])], n_genes=20)
    assert (dense(packed) == counts).all()
    cells, genes = np.array([7, 3, 29]), np.arange(20) % 3 == 1
    assert (dense(packed.take(cells)) == counts[cells]).all()
    assert (dense(packed.only(genes)) == counts[:, genes]).all()
    assert packed.detected_in().tolist() == (counts > 0).sum(axis=0).tolist()
    weights = np.arange(20) / 7
    assert packed.row_sums(weights) == pytest.approx((counts > 0) @ weights)


def test_more_genes_than_sixteen_bits_number_are_refused() -> None:
    with pytest.raises(LeakageError, match="70,000 genes are shared, 65,535 can be compared"):
        Packed.of([], n_genes=70_000)
    assert MAX_GENES == 65_535
