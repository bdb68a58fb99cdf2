"""Populations of cells, and how far predicted ones are from measured ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from curate.evaluate.metrics.perturbation import mean_within, squared_distances

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from curate.evaluate.perturb.predicted import Predicted


@dataclass(frozen=True, eq=False)
class Population:
    """Some cells of a group.

    Attributes
    ----------
    places
        int64 [n], their places among the rows that were drawn from.
    cells
        float64 [n, n_genes], log-normalised expression.
    """

    places: NDArray[np.int64]
    cells: NDArray[np.float64]

    @cached_property
    def within(self) -> NDArray[np.float64]:
        """Squared distances among them, [n, n]."""
        return squared_distances(self.cells, self.cells)


def drawn(logged: csr_array, rows: NDArray[np.int64], *, most: int, rng: np.random.Generator) -> Population:
    """Draw at most so many of the rows by lot."""
    places = np.arange(rows.size)
    if rows.size > most:
        places = np.sort(rng.choice(places, most, replace=False))
    return Population(places, logged[rows[places]].toarray().astype(np.float64))


def energy_to(truth: Population, other: Population) -> float:
    """Return the energy distance of two measured populations; see `metrics.perturbation.energy_distance`."""
    between = np.sqrt(squared_distances(other.cells, truth.cells)).mean()
    return float(2 * between) - mean_within(other.within) - mean_within(truth.within)


@dataclass(frozen=True, eq=False)
class Shifts:
    """Distances of control cells from the truth, from which those of shifted control cells follow.

    |x + s - y|² = |x - y|² + 2 s·x - 2 s·y + |s|² with s a mixture of few changes: a prediction costs
    products with these, not with all genes of all cells.
    """

    controls: Population
    truth: Population

    @cached_property
    def _between(self) -> NDArray[np.float64]:
        return squared_distances(self.controls.cells, self.truth.cells)

    def energy(self, predicted: Predicted) -> float:
        """Return the energy distance of control cells + predicted change from the truth."""
        if len(predicted.mixture) == 1:
            return self._energy_alike(predicted.mean)
        mixture, basis = predicted.mixture[self.controls.places], predicted.basis
        along_x = mixture @ (basis @ self.controls.cells.T)  # s_i · x_j
        along_y = mixture @ (basis @ self.truth.cells.T)
        products = mixture @ (basis @ basis.T) @ mixture.T
        own, sizes = np.diagonal(along_x), np.diagonal(products)
        between = self._between + 2 * (own[:, None] - along_y) + sizes[:, None]
        # (s_i - s_j)·(x_i - x_j), and |s_i - s_j|².
        crossed = own[:, None] + own - along_x - along_x.T
        apart = sizes[:, None] + sizes - 2 * products
        within = self.controls.within + 2 * crossed + apart
        return self._energy(between, mean_within(np.maximum(within, 0.0)))

    def _energy_alike(self, change: NDArray[np.float64]) -> float:
        """As `energy`; cells that change alike keep their distances among each other."""
        along_x, along_y = self.controls.cells @ change, self.truth.cells @ change
        between = self._between + 2 * (along_x[:, None] - along_y) + change @ change
        return self._energy(between, mean_within(self.controls.within))

    def _energy(self, between: NDArray[np.float64], within: float) -> float:
        return 2 * float(np.sqrt(np.maximum(between, 0.0)).mean()) - within - mean_within(self.truth.within)
