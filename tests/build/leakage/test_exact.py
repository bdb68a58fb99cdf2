"""Equal counts over shared genes."""

import numpy as np
import scipy.sparse as sp

from curate.build.leakage.exact import ExactIndex
from curate.build.leakage.packed import MAX_COUNT, Packed


def rows(counts: list[list[int]]) -> sp.csr_array:
    held = sp.csr_array(np.array(counts, np.float32))
    held.indptr, held.indices = held.indptr.astype(np.int64), held.indices.astype(np.int64)
    return held


def search(cells: list[list[int]], corpus: list[list[int]], shared: list[int]) -> list[tuple[int, int]]:
    packed = Packed.of([rows(cells)], n_genes=4)
    mask = np.isin(np.arange(4), shared)
    found = ExactIndex.of(packed, mask, np.ones(len(cells), np.bool_)).search(rows(corpus))
    return list(zip(*(each.tolist() for each in found), strict=True))


def test_only_shared_genes_count() -> None:
    cells = [[1, 2, 0, 5], [1, 3, 0, 5]]
    assert search(cells, [[1, 2, 9, 5], [1, 4, 0, 5]], [0, 1, 3]) == [(0, 0)]
    assert search(cells, [[1, 2, 9, 5], [1, 4, 0, 5]], [0, 3]) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert search(cells, [[1, 2, 9, 5]], [0, 1, 2, 3]) == []


def test_cells_without_counts_equal_nobody() -> None:
    assert search([[0, 0, 1, 0]], [[0, 0, 0, 0], [0, 0, 1, 0]], [0, 1]) == []


def test_counts_above_sixteen_bits_are_one_count_on_both_sides() -> None:
    assert search([[1, MAX_COUNT + 500, 0, 0]], [[1, MAX_COUNT + 500, 0, 0]], [0, 1]) == [(0, 0)]


def test_cells_that_are_not_usable_are_not_found() -> None:
    packed = Packed.of([rows([[1, 2, 0, 0]])], n_genes=4)
    index = ExactIndex.of(packed, np.ones(4, np.bool_), np.zeros(1, np.bool_))
    assert len(index.search(rows([[1, 2, 0, 0]]))[0]) == 0
