"""The near search against a dense computation of the same scores, and its null."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp

from curate.build.leakage.near import LEAST_SCORE, NearIndex
from curate.build.leakage.nulls import LEAST_EXCESS, nearest_distinct, tail_excess
from curate.build.leakage.packed import Packed
from curate.build.leakage.sketches import choose_bands, gene_ranks

N_GENES = 400


def simulated(n: int, *, seed: int) -> sp.csr_array:
    """Cells of three types, about 70 of 400 genes each."""
    rng = np.random.default_rng(seed)
    profiles = np.exp(np.random.default_rng(99).normal(-2.3, 1.3, (3, N_GENES)))
    return canonical(rng.poisson(profiles[rng.integers(3, size=n)]))


def canonical(counts: np.ndarray) -> sp.csr_array:
    rows = sp.csr_array(counts.astype(np.float32))
    rows.indptr, rows.indices = rows.indptr.astype(np.int64), rows.indices.astype(np.int64)
    return rows


def index_of(cells: sp.csr_array, shared: np.ndarray | None = None) -> NearIndex:
    mask = np.ones(N_GENES, np.bool_) if shared is None else shared
    return NearIndex.of(Packed.of([cells], n_genes=N_GENES), mask, n_compared=1000)


def dense_scores(cells: sp.csr_array, corpus: sp.csr_array) -> np.ndarray:
    p = ((cells > 0).sum(axis=0) + 0.5) / (cells.shape[0] + 1)
    a, b = ((side > 0).toarray() * -np.log(p) for side in (cells, corpus))
    a, b = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (a, b))
    return np.asarray(b @ a.T)


def test_the_search_finds_the_pairs_that_a_dense_product_finds() -> None:
    cells = simulated(300, seed=0)
    rng = np.random.default_rng(1)
    thinned = canonical(rng.binomial(cells[:150].toarray().astype(np.int64), 0.85))
    corpus = canonical(np.vstack([thinned.toarray(), simulated(300, seed=2).toarray()]))
    rows, found, scores = index_of(cells).search(corpus)
    expected = dense_scores(cells, corpus)
    assert scores == pytest.approx(expected[rows, found], abs=1e-5)
    # Pairs just above the least score may be missed by design, copies that lost a little may not.
    needed = {(int(r), int(c)) for r, c in zip(*np.nonzero(expected >= 0.85), strict=True)}
    assert len(needed) > 100
    assert needed <= set(zip(rows.tolist(), found.tolist(), strict=True))
    assert scores.min() >= LEAST_SCORE


def test_a_score_by_hand() -> None:
    cells = canonical(np.array([[1, 0, 0, 0], [3, 1, 0, 0], [0, 0, 2, 1]]))
    index = NearIndex.of(Packed.of([cells], n_genes=4), np.ones(4, np.bool_), n_compared=1)
    detected = [math.log(4 / 2.5) ** 2, *[math.log(4 / 1.5) ** 2] * 3]
    assert index.weights == pytest.approx(detected)
    assert index.norms == pytest.approx([detected[0], detected[0] + detected[1], 2 * detected[2]])
    rows, found, scores = index.search(canonical(np.array([[7, 1, 0, 0], [0, 1, 1, 0]])))
    assert list(zip(rows.tolist(), found.tolist(), strict=True)) == [(0, 1)]
    assert scores.tolist() == [1.0]


def test_genes_that_are_not_shared_weigh_nothing() -> None:
    cells = simulated(200, seed=0)
    shared = np.arange(N_GENES) < 250
    corpus = canonical(cells.toarray() * shared)
    rows, found, scores = index_of(cells, shared).search(corpus)
    of_itself = {r: s for r, c, s in zip(rows, found, scores, strict=True) if r == c}
    assert len(of_itself) == 200
    assert min(of_itself.values()) == pytest.approx(1)


def test_cells_without_genes_meet_nobody() -> None:
    rows, _, _ = index_of(simulated(50, seed=0)).search(canonical(np.zeros((3, N_GENES))))
    assert len(rows) == 0


def test_copies_inside_the_evaluation_set_are_not_the_nearest_distinct_cell() -> None:
    scores = np.array([[1.0, 0.98, 0.55, 0.5, 0.45], [0.6, 0.55, 0.5, 0.45, 0.4], [0.2, 0.1, 0.1, 0.1, -1]])
    assert nearest_distinct(scores).tolist() == pytest.approx([0.55, 0.6, 0.4])


def test_a_wider_tail_asks_for_more() -> None:
    rng = np.random.default_rng(0)
    narrow = tail_excess(rng.normal(-0.5, 0.05, 100_000), n_pairs=1e9)
    wide = tail_excess(rng.normal(-0.3, 0.15, 100_000), n_pairs=1e9)
    assert narrow[0] == LEAST_EXCESS
    # z of 1e-10, as a normal tail of mean -0.3 and spread 0.15 has it.
    assert wide[0] == pytest.approx(-0.3 + 0.15 * 6.36, abs=0.06)
    assert wide[1] == pytest.approx(0.1, rel=0.01)


def test_more_cells_in_the_index_get_longer_keys() -> None:
    jaccards = np.full(100, 0.25)
    few, many = choose_bands(jaccards, n_cells=100), choose_bands(jaccards, n_cells=100_000)
    assert many.width > few.width
    for bands in (few, many):
        assert (1 - 0.6**bands.width) ** bands.n <= 0.01


def test_a_gene_comes_first_in_proportion_to_its_weight() -> None:
    ranks = gene_ranks(np.array([1.0, 3.0, 0.0]), 2000)
    assert (ranks[2] == 65535).all()
    assert np.mean(ranks[1] == 0) == pytest.approx(0.75, abs=0.03)
