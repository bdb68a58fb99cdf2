from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy.sparse as sp

from curate.build import pca
from curate.build.pca import GeneMoments, PcaModel, ScaledGram, Scaling, cell_totals

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

N_CELLS, N_GENES = 137, 24


@pytest.fixture(scope="module")
def counts() -> sp.csr_array:
    """Counts with structure, an empty cell, a gene nobody has and one that is rare enough to be clipped."""
    rng = np.random.default_rng(0)
    rate = rng.gamma(0.5, 2, size=(4, N_GENES))[rng.integers(0, 4, N_CELLS)]
    dense = rng.poisson(rate).astype(np.float32)
    dense[5], dense[:, 3], dense[:, 7] = 0, 0, 0
    dense[11, 7] = 30
    return sp.csr_array(dense)


def dense_pca(counts: sp.csr_array, d: int) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """The same by dense arrays and a singular value decomposition: embedding, variances, total variance."""
    x = counts.toarray().astype(np.float64)
    totals = x.sum(axis=1, keepdims=True)
    x = np.log1p(x / np.where(totals == 0, 1, totals) * 1e4)
    std = x.std(axis=0, ddof=1)
    x = np.clip((x - x.mean(axis=0)) / np.where(std == 0, 1, std), -10, 10)
    x -= x.mean(axis=0)
    _, s, vt = np.linalg.svd(x, full_matrices=False)
    sign = np.sign(vt[np.arange(d), np.abs(vt[:d]).argmax(axis=1)])
    return x @ (vt[:d] * sign[:, None]).T, s[:d] ** 2 / (len(x) - 1), float(x.var(axis=0, ddof=1).sum())


def streamed_pca(
    counts: sp.csr_array, d: int, *, block_cells: int
) -> tuple[GeneMoments, PcaModel, NDArray[np.float32]]:
    blocks = [counts[start : start + block_cells] for start in range(0, counts.shape[0], block_cells)]
    moments = GeneMoments(counts.shape[1], target_sum=1e4)
    for block in blocks:
        moments.add(block, cell_totals(block), np.ones(block.shape[0], dtype=np.bool_))
    gram = ScaledGram(moments.scaling(np.arange(counts.shape[1]), max_value=10))
    for block in blocks:
        gram.add(block, cell_totals(block))
    model = gram.fit(d)
    return moments, model, np.concatenate([model.project(block, cell_totals(block)) for block in blocks])


def test_it_agrees_with_a_dense_decomposition(counts: sp.csr_array) -> None:
    embedding, variances, total = dense_pca(counts, 6)
    _, model, streamed = streamed_pca(counts, 6, block_cells=50)
    np.testing.assert_allclose(streamed, embedding, atol=3e-6)
    np.testing.assert_allclose(model.explained_variance, variances, rtol=1e-12)
    np.testing.assert_allclose(model.explained_variance_ratio, variances / total, rtol=1e-12)
    np.testing.assert_allclose(model.components @ model.components.T, np.eye(6), atol=1e-6)


def test_something_is_clipped_in_these_counts(counts: sp.csr_array) -> None:
    moments, model, _ = streamed_pca(counts, 2, block_cells=50)
    excess = model.scaling.excess(counts, cell_totals(counts))
    assert (excess.toarray() + model.scaling.zero).max() == 10
    free = moments.scaling(np.arange(N_GENES), max_value=1e9)
    assert free.excess(counts, cell_totals(counts)).max() > 11


@pytest.mark.parametrize("chunk_cells", [8, 100, 1 << 14])
@pytest.mark.parametrize("block_cells", [1, 7, 64, 136])
def test_the_block_size_changes_not_one_bit(
    monkeypatch: pytest.MonkeyPatch, counts: sp.csr_array, block_cells: int, chunk_cells: int
) -> None:
    monkeypatch.setattr(pca, "CHUNK_CELLS", chunk_cells)
    _, model, whole = streamed_pca(counts, 5, block_cells=N_CELLS)
    _, blockwise_model, blockwise = streamed_pca(counts, 5, block_cells=block_cells)
    np.testing.assert_array_equal(blockwise, whole)
    np.testing.assert_array_equal(blockwise_model.center, model.center)
    np.testing.assert_array_equal(blockwise_model.explained_variance, model.explained_variance)


def test_moments_by_hand() -> None:
    # Normalised to 10 counts: cell 0 is (2, 8), cell 1 is (10, 0), cell 2 is empty and not sampled.
    block = sp.csr_array(np.array([[1, 4], [3, 0], [0, 0]], dtype=np.float32))
    moments = GeneMoments(2, target_sum=10)
    moments.add(block, cell_totals(block), np.array([True, True, False]))
    mean, variance = moments.dispersion()
    np.testing.assert_allclose(mean, [6, 4])
    np.testing.assert_allclose(variance, [32, 32])
    logs = np.log1p([[2, 8], [10, 0], [0, 0]])
    scaling = moments.scaling(np.array([1, 0]), max_value=10)
    np.testing.assert_allclose(scaling.mean, logs.mean(axis=0)[::-1])
    np.testing.assert_allclose(scaling.std, logs.std(axis=0, ddof=1)[::-1])


def test_a_gene_that_is_constant_but_for_rounding_is_not_blown_up() -> None:
    # Both genes are log1p(5000) in every cell.
    block = sp.csr_array(np.full((1_000, 2), 3, dtype=np.float32))
    moments = GeneMoments(2, target_sum=1e4)
    moments.add(block, cell_totals(block), np.ones(1_000, dtype=np.bool_))
    assert moments.scaling(np.arange(2), max_value=10).std.tolist() == [1, 1]


def test_totals_are_exact_beyond_what_32_bits_hold() -> None:
    block = sp.csr_array(np.array([[2**24, 1, 1], [0, 0, 0]], dtype=np.float32))
    assert cell_totals(block).tolist() == [2**24 + 2, 0]


def test_indices_out_of_order_change_nothing_and_stay_as_they_are(counts: sp.csr_array) -> None:
    reversed_rows = counts[:, ::-1].tocsr()
    shuffled = sp.csr_array(
        (reversed_rows.data, N_GENES - 1 - reversed_rows.indices, reversed_rows.indptr), shape=counts.shape
    )
    before = shuffled.indices.copy()
    np.testing.assert_array_equal(
        streamed_pca(shuffled, 4, block_cells=N_CELLS)[2], streamed_pca(counts, 4, block_cells=N_CELLS)[2]
    )
    np.testing.assert_array_equal(shuffled.indices, before)


def test_a_cell_without_counts_is_embedded_as_zeros(counts: sp.csr_array) -> None:
    _, model, streamed = streamed_pca(counts, 4, block_cells=50)
    zeros = (model.scaling.zero - (model.center + model.scaling.zero)) @ model.components.T
    np.testing.assert_allclose(streamed[5], zeros, atol=1e-5)


def test_a_model_that_was_saved_gives_the_same_values(tmp_path: Path, counts: sp.csr_array) -> None:
    moments, model, streamed = streamed_pca(counts, 4, block_cells=50)
    model.save(tmp_path / "model.safetensors")
    moments.save(tmp_path / "moments.safetensors")
    loaded = PcaModel.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.project(counts, cell_totals(counts)), streamed)
    again = GeneMoments.load(tmp_path / "moments.safetensors", target_sum=1e4)
    assert (again.n_cells, again.n_sampled) == (N_CELLS, N_CELLS)
    np.testing.assert_array_equal(again.dispersion(), moments.dispersion())


def test_the_largest_loading_is_positive(counts: sp.csr_array) -> None:
    components = streamed_pca(counts, 6, block_cells=50)[1].components
    assert (components[np.arange(6), np.abs(components).argmax(axis=1)] > 0).all()


def test_memory_does_not_grow_with_the_number_of_cells(counts: sp.csr_array) -> None:
    scaling = Scaling(np.full(N_GENES, 0.5), np.ones(N_GENES), target_sum=1e4, max_value=10)

    def peak(n_blocks: int) -> int:
        gram, moments = ScaledGram(scaling), GeneMoments(N_GENES, target_sum=1e4)
        tracemalloc.start()
        for _ in range(n_blocks):
            moments.add(counts, cell_totals(counts), np.ones(N_CELLS, dtype=np.bool_))
            gram.add(counts, cell_totals(counts))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1)
    # Less than one byte for each of the cells that come on top.
    assert peak(400) - peak(4) < 396 * N_CELLS
