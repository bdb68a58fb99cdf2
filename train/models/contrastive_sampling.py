"""How often training cells are drawn: types and datasets balanced, a task's at a share of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TYPE_CELLS, DATASET_CELLS = 1e4, 1e6


def balanced_weights(*codes: tuple[NDArray[np.integer], float]) -> NDArray[np.float64]:
    """Return weights that fall with the number of cells of the same type, and of the same dataset.

    1 / log(1 + n / scale) for each: in proportion to 1 / n where n is much less than the scale, gentler
    beyond, and capped at twice the quantile 0.999.

    Parameters
    ----------
    codes
        int [n_cells] each, -1 for a value of its own, and the scale: SCimilarity's 10,000 cells of a type
        and 1,000,000 of a study.

    Returns
    -------
    float64 [n_cells], summing to 1.

    References
    ----------
    Heimberg et al., A cell atlas foundation model for scalable search of similar human cells, Nature 2024,
    doi 10.1038/s41586-024-08411-y, and its code.
    """
    weights = np.ones(codes[0][0].size)
    for values, scale in codes:
        counts = np.bincount(values + 1)
        per_value = np.zeros(counts.size)
        per_value[counts > 0] = 1 / np.log1p(counts[counts > 0] / scale)
        weights *= per_value[values + 1]
    np.minimum(weights, 2 * np.quantile(weights, 0.999), out=weights)
    weights /= weights.sum()
    return weights


def with_share(
    weights: NDArray[np.float64], is_wanted: NDArray[np.bool_], share: float
) -> NDArray[np.float64]:
    """Return weights of which at least `share` is of the wanted cells; in proportion within both groups."""
    held = float(weights[is_wanted].sum() / weights.sum())
    if not 0 < held < share:
        return weights
    return weights * np.where(is_wanted, share / held, (1 - share) / (1 - held))
