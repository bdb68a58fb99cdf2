"""Simulated learning curves whose truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import pytest

from curate.evaluate.saturation.curve import Curve

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SIZES = np.array([200.0, 600, 2_000, 6_000, 20_000, 60_000, 200_000])


class Simulate(Protocol):
    """Makes a curve of 5 seeds about a truth."""

    def __call__(
        self,
        truth: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        *,
        seed: int = 0,
        sd: float = 0.01,
        seed_sd: float = 0.01,
    ) -> Curve: ...


@pytest.fixture
def simulate() -> Simulate:
    def make(
        truth: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        *,
        seed: int = 0,
        sd: float = 0.01,
        seed_sd: float = 0.01,
    ) -> Curve:
        rng = np.random.default_rng(seed)
        n_cells, seeds = np.tile(SIZES, 5), np.repeat(np.arange(5), SIZES.size)
        scores = truth(n_cells) + rng.normal(0, sd, n_cells.size) + rng.normal(0, seed_sd, 5)[seeds]
        return Curve.of(n_cells, scores, seeds)

    return make
