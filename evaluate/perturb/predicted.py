"""Predicted responses: a change for each control cell, or one for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.evaluate.perturb.folds import Asked, Known

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Predicted:
    """Changes of cells, as mixtures of a few changes.

    A change of a cell is a row of ``mixture @ basis``; that of the population is their mean.

    Attributes
    ----------
    mixture
        float64 [n_cells, r], or [1, r] where all cells change alike.
    basis
        float64 [r, n_genes].
    """

    mixture: NDArray[np.float64]
    basis: NDArray[np.float64]

    @classmethod
    def alike(cls, change: NDArray[np.float64]) -> Predicted:
        """All cells change alike; [n_genes]."""
        return cls(np.ones((1, 1)), change[None])

    @property
    def mean(self) -> NDArray[np.float64]:
        """[n_genes], the predicted change of the population."""
        return np.asarray(self.mixture.mean(axis=0) @ self.basis)


Predictor = Callable[[Asked], Predicted]
Method = Callable[[Known], Predictor]
"""Learns from what is known, and predicts what is asked."""
