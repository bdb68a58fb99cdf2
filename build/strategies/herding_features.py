"""Random Fourier features: vectors of length 1 whose inner products are about a kernel.

The mean of the features over some cells then stands for the means of all functions that are smooth at the
scale of the kernel, and the squared distance of two means is the squared maximum mean discrepancy (MMD²). The
kernel is a mean of Gaussians of several widths, so that neither the means of the dimensions themselves are
lost nor what is local.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.build.strategies.herding_kernels import add_groups, fourier_features
from curate.build.strategies.keys import smallest_keys
from curate.errors import SelectionError
from curate.threads import mapped

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTHS = (2.0, 1.0, 0.5)
"""Of the Gaussians, in bandwidths."""
N_SAMPLED = 1_000
_BLOCK = 4_096


@dataclass(frozen=True)
class FourierFeatures:
    """A feature map.

    Attributes
    ----------
    frequencies
        float32 [d, n_frequencies], in turns per unit of the embedding.
    centre
        float32 [d]; where it lies changes no inner product.

    References
    ----------
    Rahimi and Recht, Random features for large-scale kernel machines, NIPS 2007.
    """

    frequencies: NDArray[np.float32]
    centre: NDArray[np.float32]

    @property
    def n_features(self) -> int:
        """A cosine and a sine of each frequency."""
        return 2 * int(self.frequencies.shape[1])

    @classmethod
    def draw(
        cls, n_frequencies: int, bandwidth: float, centre: NDArray[np.float32], *, rng: np.random.Generator
    ) -> FourierFeatures:
        """Draw the features of the mean of exp(-|x - y|² / (2 w²)) over w = 2, 1 and 1/2 bandwidths."""
        drawn = rng.standard_normal((centre.size, n_frequencies))
        widths = bandwidth * np.array(WIDTHS)[np.arange(n_frequencies) % len(WIDTHS)]
        return cls((drawn / (2 * np.pi * widths)).astype(np.float32), centre)

    def of(self, points: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the features of some cells, float32 [m, n_features]."""
        features = np.empty((rows.size, self.n_features), dtype=np.float32)
        fourier_features(points, rows, self.centre, self.frequencies, features)
        return features

    def mean(self, points: NDArray[np.float32], rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Return the mean of the features over some cells, or over all; float64 [n_features]."""
        n = points.shape[0] if rows is None else rows.size

        def add(start: int) -> NDArray[np.float64]:
            own = np.arange(start, min(start + _BLOCK, n))
            features = self.of(points, own if rows is None else rows[own])
            part = np.empty((1, self.n_features))
            add_groups(features, np.array([own.size]), part)
            return part.ravel()

        total: NDArray[np.float64] = np.zeros(self.n_features)
        for part in mapped(add, range(0, n, _BLOCK)):
            total += part
        mean: NDArray[np.float64] = total / n
        return mean


def usual_bandwidth(points: NDArray[np.float32], keys: NDArray[np.uint64]) -> float:
    """Return the median distance between two cells of a sample of 1,000, in three digits.

    Raises
    ------
    SelectionError
        When more than half of the pairs are of equal cells.
    """
    from scipy.spatial.distance import pdist

    sample = smallest_keys(keys, np.array([min(N_SAMPLED, keys.size)]))
    median = float(np.median(pdist(points[sample].astype(np.float64)))) if sample.size > 1 else 1.0
    if median == 0:
        raise SelectionError(
            f"the median distance between {sample.size:,} cells is 0, which makes no bandwidth; give one"
        )
    # Three digits, so that no rounding of a library decides a choice.
    return float(f"{median:.3g}")


def sample_mean(points: NDArray[np.float32], keys: NDArray[np.uint64]) -> NDArray[np.float32]:
    """Return the mean of the sample that `usual_bandwidth` measures, float32 [d]."""
    sample = smallest_keys(keys, np.array([min(N_SAMPLED, keys.size)]))
    mean: NDArray[np.float32] = points[sample].mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean
