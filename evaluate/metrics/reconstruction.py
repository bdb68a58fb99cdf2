"""How much of expression a representation tells: by a linear probe, and by a model's own decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from threadpoolctl import threadpool_limits

from curate.errors import EvaluationError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from curate.build.embeddings.pca import PcaModel

PENALTIES: Final = tuple(10.0**power for power in range(-4, 3))
"""Of the ridge regression, added to the eigenvalues of the covariance of standardised vectors."""
TEST_FRACTION: Final = 0.2
LEAST_CELLS: Final = 10
BLOCK: Final = 1024


def expression_r2(
    vectors: NDArray[np.floating], expression: NDArray[np.floating], *, rng: np.random.Generator
) -> tuple[float, int]:
    """Return the share of the variance of genes in held-out cells that is linear in their vectors.

    Four fifths of the cells teach a ridge regression, a quarter of them its penalty; the others are held out.
    Genes count by their variance about the mean of the cells that taught: 0 is what this mean tells.

    Parameters
    ----------
    vectors
        [n_cells, d].
    expression
        [n_cells, n_genes], log-normalised.

    Returns
    -------
    share, number of held-out cells
        The share is at most 1, and below 0 where the vectors mislead.

    Raises
    ------
    EvaluationError
        When there are fewer than 10 cells, or no gene varies in those held out.
    """
    n = len(vectors)
    if n < LEAST_CELLS:
        raise EvaluationError(f"{n} cells are too few for a regression; give {LEAST_CELLS} or more")
    order = rng.permutation(n)
    n_test = max(round(n * TEST_FRACTION), 1)
    test, train = order[:n_test], order[n_test:]
    inner, held = train[n_test:], train[:n_test]
    with threadpool_limits(1):
        ridge = Ridge.of(vectors[inner], expression[inner])
        told = [ridge.r2(vectors[held], expression[held], penalty) for penalty in PENALTIES]
        best = PENALTIES[int(np.argmax(told))]
        value = Ridge.of(vectors[train], expression[train]).r2(vectors[test], expression[test], best)
    if not np.isfinite(value):
        raise EvaluationError(f"no gene varies among the {n_test} held-out cells; there is nothing to tell")
    return value, n_test


@dataclass(frozen=True, eq=False)
class Ridge:
    """A ridge regression for any penalty (Hoerl & Kennard 1970): the eigenvectors of standardised vectors.

    Attributes
    ----------
    center, scale
        float64 [d], of the vectors.
    axes, values
        float64 [d, d], [d]: eigenvectors and eigenvalues of their covariance.
    onto
        float64 [d, n_genes]: covariance of these axes with expression.
    mean
        float64 [n_genes], of expression.
    """

    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    axes: NDArray[np.float64]
    values: NDArray[np.float64]
    onto: NDArray[np.float64]
    mean: NDArray[np.float64]

    @classmethod
    def of(cls, vectors: NDArray[np.floating], expression: NDArray[np.floating]) -> Self:
        """Learn from cells, [n, d] and [n, n_genes]."""
        x = np.asarray(vectors, np.float64)
        center, deviation = x.mean(axis=0), x.std(axis=0)
        scale = np.where(deviation > 0, deviation, 1)
        x = (x - center) / scale
        mean = expression.mean(axis=0, dtype=np.float64)
        values, axes = np.linalg.eigh(x.T @ x / len(x))
        return cls(
            center, scale, axes, np.maximum(values, 0), axes.T @ (x.T @ (expression - mean)) / len(x), mean
        )

    def r2(self, vectors: NDArray[np.floating], expression: NDArray[np.floating], penalty: float) -> float:
        """Return the share of the variance of other cells about `mean` that is told; NaN if there is none."""
        told = ((vectors - self.center) / self.scale) @ self.axes / (self.values + penalty) @ self.onto
        about = expression - self.mean
        total = float((about**2).sum())
        return 1 - float(((about - told) ** 2).sum()) / total if total > 0 else float("nan")


def pca_losses(model: PcaModel, counts: csr_array, totals: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean squared error of scaled expression, and that of the mean profile of the cells.

    Parameters
    ----------
    counts
        [n_cells, n_genes] of the genes of the PCA.
    totals
        float64 [n_cells], counts over all genes.
    """
    n, n_genes = counts.shape
    components = model.components.astype(np.float64)
    error, squares, sums = 0.0, 0.0, np.zeros(n_genes)
    with threadpool_limits(1):
        for first in range(0, n, BLOCK):
            rows = slice(first, first + BLOCK)
            x = model.scaling.excess(counts[rows], totals[rows]).toarray() - model.center
            seen = x @ components.T
            # Rows of the components are orthonormal.
            error += float((x**2).sum() - (seen**2).sum())
            squares += float((x**2).sum())
            sums += x.sum(axis=0)
    return error / (n * n_genes), (squares - float((sums**2).sum()) / n) / (n * n_genes)
