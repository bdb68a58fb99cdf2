"""Iris: vectors, species as labels, and two batches that shift them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.datasets import load_iris

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Iris:
    vectors: NDArray[np.float32]
    before: NDArray[np.float32]
    labels: NDArray[np.int64]
    batches: NDArray[np.int64]


@pytest.fixture(scope="session")
def iris() -> Iris:
    """150 cells of 3 labels of 50, of which 33, 33 and 27 are in the first batch."""
    x, labels = load_iris(return_X_y=True)
    row = np.arange(150)
    batches = ((row % 3 == 0) | ((labels == 2) & (row % 5 == 0))).astype(np.int64)
    vectors = (x + 0.25 * batches[:, None] * np.array([1.0, 0, 1, 0])).astype(np.float32)
    return Iris(vectors, vectors + np.float32(1) * batches[:, None], labels.astype(np.int64), batches)
