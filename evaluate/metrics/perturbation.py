"""How well changes of expression were predicted.

A change is the mean of the perturbed cells minus the mean of the control cells, per gene, of log-normalised
expression. Every function has an answer for a prediction that says nothing (a change of zero): its docstring
says which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.stats import rankdata

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION: Final = 1


def mse(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """Return the mean over genes of the squared error of the change; float64 [n_genes] each."""
    return float(np.mean((truth - predicted) ** 2))


def weighted_mse(
    truth: NDArray[np.float64], predicted: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    """Return the squared error of the change, its genes weighted by how much they change.

    Mejia et al. 2025, arXiv 2506.22641.

    Parameters
    ----------
    truth, predicted, weights
        [n_genes]; the weights sum to 1.
    """
    return float(weights @ (truth - predicted) ** 2)


def weighted_r2(
    truth: NDArray[np.float64], predicted: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    """Return the weighted share of the variance of the change over genes that was predicted.

    1 at best, without bound below; 0 where the true change is the same in all weighted genes. As
    `sklearn.metrics.r2_score` with weights (Mejia et al. 2025, arXiv 2506.22641).

    Parameters
    ----------
    truth, predicted, weights
        [n_genes]; the weights sum to 1.
    """
    spread = float(weights @ (truth - weights @ truth) ** 2)
    return 1.0 - float(weights @ (truth - predicted) ** 2) / spread if spread > 0 else 0.0


def pearson(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """Return the correlation over genes of the true and the predicted change; 0 where one is constant."""
    # Asked of the values: a constant less its own mean is not exactly 0 in floating point.
    if np.ptp(truth) == 0 or np.ptp(predicted) == 0:
        return 0.0
    a, b = truth - truth.mean(), predicted - predicted.mean()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def direction_accuracy(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """Return the share of genes whose predicted change has the sign of the true one.

    A gene predicted not to change is half right, as a coin would be: no change at all scores 0.5.

    Parameters
    ----------
    truth, predicted
        [n_genes], of genes that do change.
    """
    agree = np.sign(truth) * np.sign(predicted)
    return float(np.mean((agree + 1.0) / 2.0))


def top_overlap(truth: NDArray[np.float64], predicted: NDArray[np.float64], k: int) -> float:
    """Return the share of the `k` genes that change most which are among the `k` predicted to.

    Genes that tie for the last places share them: the overlap is what one would find on average with ties
    broken by lot, so that no change at all scores k / n_genes.

    Parameters
    ----------
    truth, predicted
        [n_genes], how strongly each gene changes (signs do not matter).
    k
        At most n_genes.
    """
    return float(_chance_of_top(truth, k) @ _chance_of_top(predicted, k)) / k


def discrimination(truths: NDArray[np.float64], predicted: NDArray[np.float64], right: int) -> float:
    """Return how high the right perturbation ranks among all by its likeness to the predicted change.

    1 when no other is nearer, 0 when all are, 0.5 by chance: 1 - rank / (n - 1), the rank counted from 0, in
    the middle of ties. Likeness is the cosine; a change of zero is equally far from all and scores 0.5. The
    perturbation discrimination score of the Virtual Cell Challenge (Roohani et al., Cell 2025, doi
    10.1016/j.cell.2025.06.008) in a form that does not reward the size of the prediction.

    Parameters
    ----------
    truths
        [n_perturbations, n_genes], at least two.
    predicted
        [n_genes].
    right
        Row of the perturbation that was to be predicted.
    """
    lengths = np.linalg.norm(truths, axis=1) * np.linalg.norm(predicted)
    likeness = np.divide(truths @ predicted, lengths, out=np.zeros(len(truths)), where=lengths > 0)
    # Rounded, so that what is equal on paper ties.
    rank = rankdata(-np.round(likeness, 12), method="average")[right] - 1.0
    return float(1.0 - rank / (len(truths) - 1))


def energy_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Return the energy distance of two populations: 2 E|a - b| - E|a - a'| - E|b - b'|.

    Euclidean distances of cells, each pair of different cells once (the unbiased form, which falls under 0
    at times where the two are alike). Székely & Rizzo 2013, doi 10.1016/j.jspi.2013.03.018; Peidli et al.,
    Nature Methods 2024, doi 10.1038/s41592-023-02144-y use it on squared distances.

    Parameters
    ----------
    a, b
        [n_cells, n_genes] each, at least two cells.
    """
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    between = float(np.sqrt(squared_distances(x, y)).mean())
    return 2 * between - mean_within(squared_distances(x, x)) - mean_within(squared_distances(y, y))


def squared_distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared Euclidean distance of each row of `a` from each of `b`, [n_a, n_b]."""
    found: NDArray[np.float64] = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * (a @ b.T)
    return np.maximum(found, 0.0)


def mean_within(squared: NDArray[np.float64]) -> float:
    """Return the mean distance of different cells of one population, from their squared distances [n, n]."""
    n = len(squared)
    distances = np.sqrt(squared)
    return float((distances.sum() - np.trace(distances)) / (n * (n - 1)))


def _chance_of_top(scores: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Return the probability of each gene to be among the top `k`, ties broken by lot; it sums to k."""
    sizes = np.abs(scores)
    last = np.partition(sizes, sizes.size - k)[sizes.size - k]
    above, level = sizes > last, sizes == last
    return np.asarray(above + level * ((k - above.sum()) / level.sum()))
