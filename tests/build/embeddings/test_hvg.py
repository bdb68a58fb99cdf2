from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp

from curate.build.embeddings.hvg import highly_variable_genes

if TYPE_CHECKING:
    from numpy.typing import NDArray


def moments(counts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    normalised = counts / counts.sum(axis=1, keepdims=True) * 1e4
    return normalised.mean(axis=0), normalised.var(axis=0, ddof=1)


def chosen_by_scanpy(counts: NDArray[np.float64], n_top: int) -> NDArray[np.int64]:
    adata = ad.AnnData(sp.csr_matrix(counts))
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=n_top, flavor="seurat")
    return np.flatnonzero(adata.var["highly_variable"].to_numpy())


def counts_of_genes_alike(seed: int) -> NDArray[np.float64]:
    """Counts of 400 cells and 300 genes, some not expressed, one far above the others."""
    rng = np.random.default_rng(seed)
    mean = rng.lognormal(0, 1.5, 300)
    mean[:20], mean[20] = 0, 5_000
    shape = rng.uniform(0.3, 3, 300)
    return rng.poisson(rng.gamma(shape, mean / shape, size=(400, 300))).astype(np.float64)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("n_top", [1, 37, 120, 280])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_choice_is_that_of_scanpy(n_top: int, seed: int) -> None:
    counts = counts_of_genes_alike(seed)
    chosen = highly_variable_genes(*moments(counts), n_top=n_top)
    np.testing.assert_array_equal(chosen, chosen_by_scanpy(counts, n_top))


def test_a_case_by_hand() -> None:
    # Two bins, of log1p(mean) 1 and 3. Dispersions e^0, e^1, e^5 in the first; e^2, e^2, e^9 in the second:
    # (5 - 2) / sqrt(7) = 1.13 and (9 - 13/3) / sqrt(49/3) = 1.15 stand out, the second more.
    mean = np.expm1([1.0, 1, 1, 3, 3, 3])
    variance = np.exp([0.0, 1, 5, 2, 2, 9]) * mean
    assert highly_variable_genes(mean, variance, n_top=1, n_bins=2).tolist() == [5]
    assert highly_variable_genes(mean, variance, n_top=2, n_bins=2).tolist() == [2, 5]
    assert highly_variable_genes(mean, variance, n_top=3, n_bins=2).tolist() == [1, 2, 5]


def test_a_gene_alone_in_its_bin_counts_as_one() -> None:
    # Dispersions of the first bin are standardised to ±0.707, below the 1 of the gene that is alone.
    mean = np.expm1([1.0, 1, 3])
    variance = np.exp([0.0, 1, 2]) * mean
    assert highly_variable_genes(mean, variance, n_top=1, n_bins=2).tolist() == [2]


def test_genes_that_tie_for_the_last_place_all_stay() -> None:
    mean = np.ones(4)
    variance = np.exp([0.0, 2, 2, 1])
    assert highly_variable_genes(mean, variance, n_top=1).tolist() == [1, 2]


def test_genes_that_do_not_vary_are_never_chosen() -> None:
    mean = np.array([0.0, 1, 2, 3, 4])
    variance = np.array([0.0, 0, 2, 9, 1])
    assert set(highly_variable_genes(mean, variance, n_top=5, n_bins=1).tolist()) == {2, 3, 4}


def test_no_gene_is_chosen_when_none_varies() -> None:
    assert highly_variable_genes(np.ones(3), np.zeros(3), n_top=2).size == 0


def test_without_ties_it_is_exactly_so_many_and_the_first_of_those_that_tie() -> None:
    # Genes 0 to 2 are the same; 3 does not vary.
    mean, variance = np.array([2.0, 2, 2, 2, 2]), np.array([8.0, 8, 8, 0, 4])
    assert highly_variable_genes(mean, variance, n_top=2).tolist() == [0, 1, 2]
    assert highly_variable_genes(mean, variance, n_top=2, keep_ties=False).tolist() == [0, 1]
    assert highly_variable_genes(mean, variance, n_top=9, keep_ties=False).tolist() == [0, 1, 2, 4]
