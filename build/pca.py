"""Exact PCA of log-normalised counts, from a stream of blocks.

Counts become log1p(count / total * target_sum), scaled to mean 0 and variance 1 per gene, and clipped. Three
passes over the cells make it: moments of every gene, the Gram matrix of the variable ones, the projection.
Sums are taken in 64 bits, cell by cell inside chunks of CHUNK_CELLS cells and then chunk by chunk, always in
the same order, so that neither the size of the blocks nor the number of threads changes one bit of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from safetensors.numpy import load_file, save_file

from curate.build.pca_kernels import add_gram, add_moments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

CHUNK_CELLS = 1 << 14


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
        counts = _ordered(counts)
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


class GeneMoments:
    """First pass: sums of normalised and of log-normalised expression, per gene.

    Memory: 64 bytes a gene, whatever the number of cells.
    """

    def __init__(self, n_genes: int, *, target_sum: float) -> None:
        self.target_sum = target_sum
        self.n_sampled = 0
        self._sums = _ChunkedSum((4, n_genes))

    @property
    def n_cells(self) -> int:
        """Cells added so far."""
        return self._sums.n_cells

    def add(self, counts: sp.csr_array, totals: NDArray[np.float64], sampled: NDArray[np.bool_]) -> None:
        """Add a block of cells; `sampled`, bool [n_cells], are those that tell how variable genes are."""
        counts = _ordered(counts)
        factors = _size_factors(totals, self.target_sum)
        self.n_sampled += int(sampled.sum())
        for rows, sums in self._sums.pieces(counts.shape[0]):
            span = (rows.start, rows.stop)
            add_moments(counts.indptr, counts.indices, counts.data, factors, sampled, *span, sums)

    def dispersion(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and variance [n_genes] of normalised expression over the sampled cells."""
        sums = self._sums.result()
        return _mean_and_variance(sums[0], sums[1], self.n_sampled)

    def scaling(self, genes: NDArray[np.int64], *, max_value: float) -> Scaling:
        """Return the scaling of some genes, from all cells."""
        sums = self._sums.result()[:, genes]
        mean, variance = _mean_and_variance(sums[2], sums[3], self.n_cells)
        # What is left of the variance of a constant is rounding, not something to divide by.
        std = np.where(variance > 1e-12 * mean**2, np.sqrt(variance), 1.0)
        return Scaling(mean, std, target_sum=self.target_sum, max_value=max_value)

    def save(self, path: Path) -> None:
        """Write the finished sums as safetensors."""
        numbers = np.array([self.n_cells, self.n_sampled])
        save_file({"sums": self._sums.result(), "numbers": numbers}, path)

    @classmethod
    def load(cls, path: Path, *, target_sum: float) -> GeneMoments:
        """Read sums that `save` wrote."""
        arrays = load_file(path)
        moments = cls(arrays["sums"].shape[1], target_sum=target_sum)
        moments._sums.total += arrays["sums"]
        moments._sums.n_cells, moments.n_sampled = (int(number) for number in arrays["numbers"])
        return moments


class ScaledGram:
    """Second pass: the Gram matrix and the mean of scaled expression, both less its value at zero counts.

    Centring takes that constant out again, so the sparse part alone gives the exact covariance.
    Memory: 16 · n_genes² bytes (64 MB for 2,000 genes), whatever the number of cells.
    """

    def __init__(self, scaling: Scaling) -> None:
        self.scaling = scaling
        n_genes = scaling.mean.size
        self._sums = _ChunkedSum((n_genes + 1, n_genes))

    def add(self, counts: sp.csr_array, totals: NDArray[np.float64]) -> None:
        """Add a block of cells."""
        excess = self.scaling.excess(counts, totals)
        indptr, indices = (array.astype(np.uint64, copy=False) for array in (excess.indptr, excess.indices))
        for rows, sums in self._sums.pieces(counts.shape[0]):
            add_gram(indptr, indices, excess.data, rows.start, rows.stop, sums)

    def fit(self, n_components: int) -> PcaModel:
        """Return the leading components of the covariance."""
        n_cells, sums = self._sums.n_cells, self._sums.result()
        center = sums[-1] / n_cells
        upper = (sums[:-1] - n_cells * np.outer(center, center)) / (n_cells - 1)
        covariance = np.triu(upper) + np.triu(upper, 1).T
        variances, vectors = _leading_eigenvectors(covariance, n_components)
        largest = np.abs(vectors).argmax(axis=0)
        vectors = vectors * np.where(vectors[largest, np.arange(n_components)] < 0, -1, 1)
        return PcaModel(
            scaling=self.scaling,
            center=center,
            components=np.ascontiguousarray(vectors.T, dtype=np.float32),
            explained_variance=variances,
            explained_variance_ratio=variances / np.trace(covariance),
        )


class _ChunkedSum:
    """A sum over cells, taken in chunks of CHUNK_CELLS however the cells arrive."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.total = np.zeros(shape)
        self.n_cells = 0
        self._partial = np.zeros(shape)

    def pieces(self, n_cells: int) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Yield the rows of a block that lie in one chunk, and the sum to add them to."""
        start = 0
        while start < n_cells:
            stop = min(n_cells, start + CHUNK_CELLS - self.n_cells % CHUNK_CELLS)
            yield slice(start, stop), self._partial
            self.n_cells += stop - start
            start = stop
            if self.n_cells % CHUNK_CELLS == 0:
                self.total += self._partial
                self._partial[:] = 0

    def result(self) -> NDArray[np.float64]:
        return self.total + self._partial


def cell_totals(counts: sp.csr_array) -> NDArray[np.float64]:
    """Return the counts per cell, float64 [n_cells]."""
    # Not counts.sum(axis=1): that adds in the 32 bits of the counts.
    return np.asarray(counts @ np.ones(counts.shape[1]))


def _ordered(counts: sp.csr_array) -> sp.csr_array:
    return counts if counts.has_sorted_indices else counts.sorted_indices()


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
