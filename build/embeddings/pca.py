"""Exact PCA of log-normalised counts, from a stream of blocks.

Counts become log1p(count / total * target_sum), scaled to mean 0 and variance 1 per gene, and clipped. Three
passes over the cells make it: moments of every gene, the Gram matrix of the variable ones, the projection.
Sums are taken in 64 bits and cell by cell in order, so that the size of the blocks does not change one bit.
Indices of a block ascend within each cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from safetensors.numpy import load_file, save_file

from curate.build.embeddings.pca_kernels import add_gram, add_moments

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Scaling:
    """How counts become scaled, clipped expression.

    Attributes
    ----------
    mean, std
        float64 [n_genes], of log1p-normalised expression; std with n - 1, and 1 where nothing varies.
    target_sum
        Counts per cell after normalisation.
    max_value
        Scaled values are clipped to ± this.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    target_sum: float
    max_value: float

    @property
    def zero(self) -> NDArray[np.float64]:
        """float64 [n_genes]: the scaled value of a count of zero."""
        return np.clip(-self.mean / self.std, -self.max_value, self.max_value)

    def excess(self, counts: sp.csr_array, totals: NDArray[np.float64]) -> sp.csr_array:
        """Return scaled expression less `zero`: float64 [n_cells, n_genes], as sparse as the counts."""
        per_cell = np.repeat(_size_factors(totals, self.target_sum), np.diff(counts.indptr))
        genes = counts.indices
        scaled = (np.log1p(counts.data / per_cell) - self.mean[genes]) / self.std[genes]
        scaled = np.clip(scaled, -self.max_value, self.max_value) - self.zero[genes]
        return sp.csr_array((scaled, genes, counts.indptr), shape=counts.shape)


@dataclass(frozen=True)
class PcaModel:
    """A fitted PCA: projects counts of its genes on its components.

    Attributes
    ----------
    center
        float64 [n_genes], mean of the scaled expression less `scaling.zero`: clipping moves it away from 0.
    components
        float32 [n_components, n_genes], orthonormal rows; the largest loading of each is positive.
    explained_variance, explained_variance_ratio
        float64 [n_components].
    """

    scaling: Scaling
    center: NDArray[np.float64]
    components: NDArray[np.float32]
    explained_variance: NDArray[np.float64]
    explained_variance_ratio: NDArray[np.float64]

    def project(self, counts: sp.csr_array, totals: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the embedding of cells.

        Parameters
        ----------
        counts
            [n_cells, n_genes], raw counts of the genes of the model, in its order.
        totals
            float64 [n_cells], counts per cell over all genes of the corpus.

        Returns
        -------
        float32 [n_cells, n_components]
        """
        loadings = self.components.T.astype(np.float64)
        # Not a matrix product: the order of BLAS' sums may depend on the number of threads.
        offset = (self.center[:, None] * loadings).sum(axis=0)
        return np.asarray(self.scaling.excess(counts, totals) @ loadings - offset, dtype=np.float32)

    def save(self, path: Path) -> None:
        """Write the model as safetensors."""
        arrays = {
            "mean": self.scaling.mean,
            "std": self.scaling.std,
            "center": self.center,
            "components": self.components,
            "explained_variance": self.explained_variance,
            "explained_variance_ratio": self.explained_variance_ratio,
            "target_sum": np.array([self.scaling.target_sum]),
            "max_value": np.array([self.scaling.max_value]),
        }
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)

    @classmethod
    def load(cls, path: Path) -> PcaModel:
        """Read a model that `save` wrote."""
        arrays = load_file(path)
        scaling = Scaling(
            arrays.pop("mean"),
            arrays.pop("std"),
            target_sum=arrays.pop("target_sum").item(),
            max_value=arrays.pop("max_value").item(),
        )
        return cls(scaling=scaling, **arrays)


@dataclass(frozen=True)
class GeneMoments:
    """Sums over cells of normalised and of log-normalised expression, per gene.

    Attributes
    ----------
    sums
        float64 [n_genes, 4], as `moment_sums` adds them up.
    n_cells, n_sampled
        Cells in the sums; those of them that tell how variable genes are.
    """

    sums: NDArray[np.float64]
    n_cells: int
    n_sampled: int
    target_sum: float

    def dispersion(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and variance [n_genes] of normalised expression over the sampled cells."""
        return _mean_and_variance(self.sums[:, 0], self.sums[:, 1], self.n_sampled)

    def scaling(self, genes: NDArray[np.int64], *, max_value: float) -> Scaling:
        """Return the scaling of some genes, from all cells in the sums."""
        mean, variance = _mean_and_variance(self.sums[genes, 2], self.sums[genes, 3], self.n_cells)
        # What is left of the variance of a constant is rounding, not something to divide by.
        std = np.where(variance > 1e-12 * mean**2, np.sqrt(variance), 1.0)
        return Scaling(mean, std, target_sum=self.target_sum, max_value=max_value)


def moment_sums(
    counts: sp.csr_array,
    totals: NDArray[np.float64],
    sampled: NDArray[np.bool_],
    sums: NDArray[np.float64],
    *,
    target_sum: float,
) -> None:
    """Add cells to the sums of the first pass, one after the other.

    Parameters
    ----------
    counts, totals
        [n_cells, n_genes], raw; float64 [n_cells], of all genes.
    sampled
        bool [n_cells], the cells that tell how variable genes are.
    sums
        float64 [n_genes, 4]: sum and sum of squares of normalised expression over the sampled cells, then of
        its log1p over all.
    """
    factors = _size_factors(totals, target_sum)
    add_moments(counts.indptr, counts.indices, counts.data, factors, sampled, sums)


def gram_size(n_genes: int) -> int:
    """Return how many sums `gram_sums` takes."""
    return n_genes * (n_genes + 1) // 2 + n_genes


def gram_sums(
    scaling: Scaling, counts: sp.csr_array, totals: NDArray[np.float64], sums: NDArray[np.float64]
) -> None:
    """Add cells to the sums of the second pass, one after the other.

    Scaled expression is taken less its value at zero counts. Centring takes that constant out again, so that
    the sparse part alone gives the exact covariance.

    Parameters
    ----------
    sums
        float64 [gram_size(n_genes)]: the upper triangle of the Gram matrix, row by row, and then the sum.
    """
    excess = scaling.excess(counts, totals)
    indptr, indices = excess.indptr.astype(np.uint64), excess.indices.astype(np.uint32)
    add_gram(indptr, indices, excess.data, counts.shape[1], sums)


def fit(scaling: Scaling, sums: NDArray[np.float64], *, n_cells: int, n_components: int) -> PcaModel:
    """Return the leading components of the covariance, from what `gram_sums` added up."""
    n_genes = scaling.mean.size
    center = sums[-n_genes:] / n_cells
    upper = np.triu_indices(n_genes)
    covariance = np.empty((n_genes, n_genes))
    covariance[upper] = (sums[:-n_genes] - n_cells * (center[upper[0]] * center[upper[1]])) / (n_cells - 1)
    covariance.T[upper] = covariance[upper]
    variances, vectors = _leading_eigenvectors(covariance, n_components)
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.where(vectors[largest, np.arange(n_components)] < 0, -1, 1)
    return PcaModel(
        scaling=scaling,
        center=center,
        components=np.ascontiguousarray(vectors.T, dtype=np.float32),
        explained_variance=variances,
        explained_variance_ratio=variances / np.trace(covariance),
    )


def _size_factors(totals: NDArray[np.float64], target_sum: float) -> NDArray[np.float64]:
    # A cell without counts has nothing to divide; it stays zero.
    return np.where(totals > 0, totals, target_sum) / target_sum


def _mean_and_variance(
    sums: NDArray[np.float64], squares: NDArray[np.float64], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean = sums / n
    return mean, np.maximum(squares / n - mean**2, 0) * (n / (n - 1))


def _leading_eigenvectors(
    matrix: NDArray[np.float64], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the n largest eigenvalues, descending, and their vectors as columns."""
    from scipy.linalg import eigh
    from threadpoolctl import threadpool_limits

    # On one thread, for the same reason as above.
    with threadpool_limits(1):
        values, vectors = eigh(matrix, subset_by_index=(matrix.shape[0] - n, matrix.shape[0] - 1))
    return np.maximum(values[::-1], 0), vectors[:, ::-1]
