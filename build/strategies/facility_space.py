"""How similar cells are: vectors made ready so that a product of matrices says it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from curate.errors import SelectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Measure = Literal["cosine", "rbf"]
_CHUNK = 4096
_STEPS = np.float32(2**20)


@dataclass(frozen=True)
class Space:
    """Some cells, and a similarity between 0 and 1.

    Attributes
    ----------
    points
        float32 [n, d]: for the cosine of unit length, else about their centre.
    centre
        float32 [d], what was taken off; zeros for the cosine.
    scale
        The distance s of exp(-d² / 2 s²); None for the cosine.
    """

    points: NDArray[np.float32]
    centre: NDArray[np.float32]
    scale: float | None

    @classmethod
    def of(cls, vectors: NDArray[np.float32], measure: Measure) -> Space:
        """Make vectors [n, d] ready, in the order of their keys.

        Raises
        ------
        SelectionError
            When all are equal.
        """
        if (vectors == vectors[0]).all() and len(vectors) > 1:
            raise SelectionError(
                f"all {len(vectors):,} vectors are equal, and no cell stands for others better than the "
                "next; use another embedding, or `--strategy random`"
            )
        if measure == "cosine":
            unplaced = cls(vectors, np.zeros(vectors.shape[1], dtype=np.float32), None)
            return replace(unplaced, points=unplaced.place(vectors))
        centre = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        points = vectors - centre
        # Neighbours in the order of the keys are random pairs.
        pairs = points[: 2 * _CHUNK]
        between = np.linalg.norm(pairs[1:] - pairs[:-1], axis=1) if len(points) > 1 else np.ones(1)
        scale = float(np.median(between)) or float(between.mean())
        return cls(points, centre, scale or 1.0)

    def place(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return other vectors made ready in the same way."""
        if self.scale is not None:
            return vectors - self.centre
        placed = np.empty(vectors.shape, dtype=np.float32)
        for start in range(0, len(vectors), _CHUNK):
            wide = vectors[start : start + _CHUNK].astype(np.float64)
            norms = np.sqrt((wide**2).sum(axis=1, keepdims=True))
            placed[start : start + _CHUNK] = wide / np.where(norms > 0, norms, 1)
        return placed

    def similarities(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the similarities of placed vectors, float32 [len(a), len(b)], rounded to 2^-20.

        Sums of such numbers are exact, in any order, so that equal gains are found equal. A vector of length
        0 has no direction: its cosine to all, and to itself, is 0.
        """
        out = a @ b.T
        if self.scale is not None:
            out *= 2
            out -= (a * a).sum(axis=1)[:, None]
            out -= (b * b).sum(axis=1)
            out /= np.float32(2 * self.scale**2)
            np.exp(np.clip(out, None, 0, out=out), out=out)
        out *= _STEPS
        np.rint(np.clip(out, 0, None, out=out), out=out)
        out /= _STEPS
        return out

    def raise_to(
        self, best: NDArray[np.float32], points: NDArray[np.float32], others: NDArray[np.float32]
    ) -> None:
        """Raise `best` [len(points)] in place to the similarity to the most similar of others."""
        for start in range(0, len(points), _CHUNK):
            own = best[start : start + _CHUNK]
            for first in range(0, len(others), _CHUNK):
                found = self.similarities(points[start : start + _CHUNK], others[first : first + _CHUNK])
                np.maximum(own, found.max(axis=1), out=own)
