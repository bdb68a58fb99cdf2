"""What the classifier sees of a cell: its vector, and how near it is to some landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_LANDMARKS = 64
_HEIGHT = 5.0
_N_LOOKED_AT = 512
_NEAR = 4


@dataclass(frozen=True)
class Features:
    """A map from vectors to features: standardised dimensions, and Gaussian bumps around landmarks.

    A reference is seldom one side of a plane: what is likelier under it lies in lumps of the space, which a
    linear score of the dimensions alone cannot follow.

    Attributes
    ----------
    mean, scale
        float64 [d], of the sampled cells of the corpus.
    landmarks
        float64 [n_landmarks, d], less `mean`: cells of the reference and of the corpus, half and half.
    width
        Standard deviation of the bumps.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    width: float

    @classmethod
    def of(cls, reference: NDArray[np.float32], sample: NDArray[np.float32]) -> Features:
        """Take the first cells of each, which are in random order, as landmarks.

        The bumps are as wide as the median distance from a cell to the fourth nearest landmark.
        """
        mean = sample.mean(axis=0, dtype=np.float64)
        scale = sample.std(axis=0, dtype=np.float64)
        scale[scale == 0] = 1
        halves = [each[: N_LANDMARKS // 2].astype(np.float64) - mean for each in (reference, sample)]
        landmarks = np.concatenate(halves)
        looked_at = np.concatenate([each[:_N_LOOKED_AT] for each in (reference, sample)]) - mean
        distances = np.sort(_squared(looked_at, landmarks), axis=1)
        # A landmark among them is at distance 0 from itself.
        near = float(np.median(distances[:, min(_NEAR, len(landmarks) - 1)]))
        return cls(mean, scale, landmarks, np.sqrt(near) if near > 0 else 1.0)

    def __call__(self, cells: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the features of cells, float64 [n, d + n_landmarks]."""
        n, d = cells.shape
        found = np.empty((n, d + len(self.landmarks)))
        centred = cells - self.mean
        bumps = _squared(centred, self.landmarks)
        bumps *= -0.5 / self.width**2
        np.exp(bumps, out=bumps)
        np.multiply(bumps, _HEIGHT, out=found[:, d:])
        np.divide(centred, self.scale, out=found[:, :d])
        return found


def _squared(cells: NDArray[np.float64], landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return squared distances [n_cells, n_landmarks]."""
    found: NDArray[np.float64] = cells @ landmarks.T
    found *= -2
    found += (cells**2).sum(axis=1)[:, None]
    found += (landmarks**2).sum(axis=1)
    return np.maximum(found, 0, out=found)
