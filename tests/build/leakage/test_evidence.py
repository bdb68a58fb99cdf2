"""Evidence against an independent computation, and how often distinct cells reach it."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from curate.build.leakage.evaluation import GeneGroup
from curate.build.leakage.evidence import GAINED, KEPT, Background
from curate.build.leakage.matcher import Matcher
from curate.build.leakage.packed import Packed

RATES = np.exp(np.random.default_rng(3).normal(-1.5, 1.2, 60))
EVERY_GENE = np.ones(60, np.bool_)


def simulated(n: int, *, seed: int) -> np.ndarray:
    """Cells of one type that differ in depth by a factor of thirty."""
    rng = np.random.default_rng(seed)
    return rng.poisson(RATES * np.exp(rng.uniform(-1.7, 1.7, n))[:, None])


def packed(counts: np.ndarray) -> Packed:
    rows = sp.csr_array(counts.astype(np.float32))
    return Packed.of([rows], n_genes=counts.shape[1])


def test_the_evidence_of_a_pair_by_hand() -> None:
    # Two genes, detected by half of the cells each: a cell that detects one detects either with chance 1/2.
    background = Background(np.ones(2, np.bool_), np.full(2, 0.5), np.full((2, 16), 1 / 16))
    cells = packed(np.array([[1, 0], [0, 1]]))
    same = math.log(KEPT / 0.5) + math.log((1 - GAINED / 2) / 0.5)
    other = math.log((1 - KEPT) / 0.5) + math.log(GAINED)
    nats = background.pairs(cells, np.array([0, 0]), cells, np.array([0, 1]))
    assert nats == pytest.approx([same, other], abs=1e-5)
    assert background.copies(cells, np.arange(2)) == pytest.approx([same, same], abs=1e-5)
    assert background.equals(cells, np.arange(2)) == pytest.approx([math.log(4) + math.log(16)] * 2, abs=1e-5)


def test_genes_that_are_not_shared_say_nothing() -> None:
    counts = simulated(300, seed=0)
    shared = np.arange(60) < 40
    whole = Background.of(packed(counts), shared)
    cut = Background.of(packed(counts[:, :40]), np.ones(40, np.bool_))
    which = np.arange(20)
    assert whole.copies(packed(counts), which) == pytest.approx(cut.copies(packed(counts[:, :40]), which))


@pytest.mark.parametrize("nats", [2.0, 4.0, 6.0])
def test_distinct_cells_reach_so_many_nats_as_seldom_as_is_said(nats: float) -> None:
    x, y = packed(simulated(1000, seed=1)), packed(simulated(1000, seed=2))
    rng = np.random.default_rng(0)
    which_x, which_y = rng.integers(1000, size=(2, 200_000))
    reached = Background.of(x, EVERY_GENE).pairs(x, which_x, y, which_y) >= nats
    assert 0 < reached.mean() <= math.exp(-nats)


def test_distinct_cells_have_equal_counts_as_seldom_as_is_said() -> None:
    x, y = simulated(4000, seed=1)[:, :12], simulated(4000, seed=2)[:, :12]
    nats = Background.of(packed(x), np.ones(12, np.bool_)).equals(packed(x), np.arange(4000))
    known = {cell.tobytes(): 0 for cell in x}
    for cell in y:
        if cell.tobytes() in known:
            known[cell.tobytes()] += 1
    equal = np.array([known[cell.tobytes()] for cell in x])
    for low, high in ((4, 6), (6, 8), (8, 10)):
        between = (nats >= low) & (nats < high)
        expected = 4000 * np.exp(-nats[between]).sum()
        # Depth joins their counts: that it does beyond the number of genes is a factor of three here.
        assert 0 < equal[between].sum() <= 3 * expected


def test_cells_that_detect_next_to_nothing_are_undecided_however_like_they_are() -> None:
    rng = np.random.default_rng(5)
    cells = (rng.random((2000, 60)) < 0.3).astype(np.float32)
    # A cell of many rare genes, and cells compared that detect three of them and nothing else.
    cells[:, :3] = 0
    cells[7, :3] = 1
    poor = np.zeros((200, 60), np.float32)
    poor[:, :3] = 1
    poor[np.arange(200), rng.integers(3, 60, 200)] = 1
    group = GeneGroup(np.arange(2000), np.arange(60), packed(cells), np.ones(2000, np.bool_))
    matcher = Matcher.of(group, EVERY_GENE, n_compared=200)
    counts = sp.csr_array(poor)
    counts.indices, counts.indptr = counts.indices.astype(np.int64), counts.indptr.astype(np.int64)
    assert matcher.usable[7]
    decided = matcher.decide(matcher.search(counts, sampled=np.arange(200)))
    assert not (decided["is_near"] | decided["is_exact"]).any()
    # The deep cell itself is found among them.
    counts = sp.csr_array(np.vstack([poor, cells[[7]]]))
    counts.indices, counts.indptr = counts.indices.astype(np.int64), counts.indptr.astype(np.int64)
    decided = matcher.decide(matcher.search(counts, sampled=np.arange(200)))
    assert decided.filter(pl.col("is_near") | pl.col("is_exact"))["row"].to_list() == [200]
