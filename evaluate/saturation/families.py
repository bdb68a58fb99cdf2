"""Families of learning curves: shapes that fall from 1 at the smallest size to 0 at the largest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_EXPONENTS = np.concatenate([[0.0], np.geomspace(0.01, 5, 240)])


@dataclass(frozen=True)
class Family:
    """A shape of learning curves.

    Attributes
    ----------
    formula
        As people write it.
    thetas
        The grid of its parameter, float64 [g].
    falling
        (n [k], thetas [g], smallest size, largest size) -> float64 [g, k], falling in n, of any scale.
    n_parameters
        Of the shape: 0 when the grid has one point.
    """

    name: str
    formula: str
    thetas: Floats
    falling: Callable[[Floats, Floats, float, float], Floats]

    @property
    def n_parameters(self) -> int:
        """1, or 0 where the shape is fixed."""
        return int(self.thetas.size > 1)

    @property
    def masses(self) -> Floats:
        """What each point of the grid stands for, float64 [g], adding to 1; equal on the grid of FAMILIES."""
        if not self.n_parameters:
            return np.ones(1)
        first = FAMILIES[self.name].thetas
        widths = np.gradient(np.interp(self.thetas, first, np.arange(first.size)))
        masses: Floats = widths / widths.sum()
        return masses

    def finer(self, is_split: NDArray[np.bool_], n: int) -> Family:
        """Return the family with some gaps of its grid, bool [g - 1], each split into n."""
        lefts, widths = self.thetas[:-1][is_split], np.diff(self.thetas)[is_split]
        between = lefts[:, None] + widths[:, None] * (np.arange(1, n) / n)
        return replace(self, thetas=np.sort(np.concatenate([self.thetas, between.ravel()])))

    def values(self, thetas: Floats, low: float, high: float) -> Floats:
        """Return the parameter as people write it, float64 [g]: c of the formula."""
        return thetas if self.name == "power" else _scales(thetas, low, high)[:, 0]

    def shape(self, n_cells: Floats, low: float, high: float) -> Floats:
        """Return φ, float64 [g, k], 1 at `low` and 0 at `high` cells; `n_cells` may be infinite."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            raw = self.falling(n_cells, self.thetas, low, high)
            first = self.falling(np.array([low]), self.thetas, low, high)
            last = self.falling(np.array([high]), self.thetas, low, high)
            shape: Floats = (raw - last) / (first - last)
        return shape


def _power(n_cells: Floats, thetas: Floats, low: float, high: float) -> Floats:
    del high
    logs = np.log(n_cells / low)[None]
    exponents = thetas[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        # (x^-c - 1)/c, whose limit at c = 0 is -log x.
        return np.where(
            exponents > 0, np.expm1(-exponents * logs) / np.where(exponents > 0, exponents, 1), -logs
        )


def _log(n_cells: Floats, thetas: Floats, low: float, high: float) -> Floats:
    del high
    return np.repeat(-np.log(n_cells / low)[None], thetas.size, axis=0)


def _exponential(n_cells: Floats, thetas: Floats, low: float, high: float) -> Floats:
    # θ in units of the range, on a log scale between the smallest and ten times the largest size.
    return np.exp(-(n_cells - low)[None] / _scales(thetas, low, high))


def _rational(n_cells: Floats, thetas: Floats, low: float, high: float) -> Floats:
    return 1 / (1 + n_cells[None] / _scales(thetas, low, high))


def _scales(thetas: Floats, low: float, high: float) -> Floats:
    scales: Floats = (low * (10 * high / low) ** thetas)[:, None]
    return scales


FAMILIES: Final[dict[str, Family]] = {
    family.name: family
    for family in (
        Family("log", "a + b log n", np.zeros(1), _log),
        Family("power", "a - b n^-c", _EXPONENTS, _power),
        Family("exponential", "a - b exp(-n/c)", np.linspace(-0.5, 1, 200), _exponential),
        Family("rational", "a - b / (1 + n/c)", np.linspace(-0.5, 1, 200), _rational),
    )
}
