from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy.sparse as sp

from curate.build.embeddings.pca import GeneMoments, PcaModel, fit, gram_size, gram_sums, moment_sums

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


def cell_totals(counts: sp.csr_array) -> NDArray[np.float64]:
    return np.asarray(counts.toarray().sum(axis=1, dtype=np.float64))


def moments_of(
    blocks: list[sp.csr_array], sampled: NDArray[np.bool_] | None = None, *, target_sum: float = 1e4
) -> GeneMoments:
    """Add up blocks; `sampled` is of the cells of every block alike, all of them when None."""
    sums = np.zeros((blocks[0].shape[1], 4))
    n_sampled = 0
    for block in blocks:
        of_block = np.ones(block.shape[0], dtype=np.bool_) if sampled is None else sampled
        moment_sums(block, cell_totals(block), of_block, sums, target_sum=target_sum)
        n_sampled += int(of_block.sum())
    return GeneMoments(sums, sum(block.shape[0] for block in blocks), n_sampled, target_sum=target_sum)


def streamed_pca(
    counts: sp.csr_array, d: int, *, block_cells: int
) -> tuple[GeneMoments, PcaModel, NDArray[np.float32]]:
    blocks = [counts[start : start + block_cells] for start in range(0, counts.shape[0], block_cells)]
    moments = moments_of(blocks)
    n_genes = counts.shape[1]
    scaling, sums = moments.scaling(np.arange(n_genes), max_value=10), np.zeros(gram_size(n_genes))
    for block in blocks:
        gram_sums(scaling, block, cell_totals(block), sums)
    model = fit(scaling, sums, n_cells=counts.shape[0], n_components=d)
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


@pytest.mark.parametrize("block_cells", [1, 7, 64, 136])
def test_the_block_size_changes_not_one_bit(counts: sp.csr_array, block_cells: int) -> None:
    _, model, whole = streamed_pca(counts, 5, block_cells=N_CELLS)
    _, blockwise_model, blockwise = streamed_pca(counts, 5, block_cells=block_cells)
    np.testing.assert_array_equal(blockwise, whole)
    np.testing.assert_array_equal(blockwise_model.center, model.center)
    np.testing.assert_array_equal(blockwise_model.explained_variance, model.explained_variance)


def test_moments_by_hand() -> None:
    # Normalised to 10 counts: cell 0 is (2, 8), cell 1 is (10, 0), cell 2 is empty and not sampled.
    block = sp.csr_array(np.array([[1, 4], [3, 0], [0, 0]], dtype=np.float32))
    moments = moments_of([block], np.array([True, True, False]), target_sum=10)
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
    assert moments_of([block]).scaling(np.arange(2), max_value=10).std.tolist() == [1, 1]


def test_a_cell_without_counts_is_embedded_as_zeros(counts: sp.csr_array) -> None:
    _, model, streamed = streamed_pca(counts, 4, block_cells=50)
    zeros = (model.scaling.zero - (model.center + model.scaling.zero)) @ model.components.T
    np.testing.assert_allclose(streamed[5], zeros, atol=1e-5)


def test_a_model_that_was_saved_gives_the_same_values(tmp_path: Path, counts: sp.csr_array) -> None:
    _, model, streamed = streamed_pca(counts, 4, block_cells=50)
    model.save(tmp_path / "model.safetensors")
    loaded = PcaModel.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.project(counts, cell_totals(counts)), streamed)


def test_the_largest_loading_is_positive(counts: sp.csr_array) -> None:
    components = streamed_pca(counts, 6, block_cells=50)[1].components
    assert (components[np.arange(6), np.abs(components).argmax(axis=1)] > 0).all()
