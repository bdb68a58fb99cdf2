"""A corpus cut into units of work, always the same: the order of all sums over its cells.

Cells lie in windows of WINDOW consecutive joinids, which are rows of tiles of the Census: a window is read as
a whole or not at all. Units are runs of whole windows with about UNIT_CELLS cells together. They depend on
the corpus alone, so that sums taken unit by unit have the same bits in one process, in many, after a break.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW = 2048
UNIT_CELLS = 4096
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Unit:
    """Cells that are worked on together: ranges of rows of the corpus, ascending, apart from each other."""

    runs: tuple[tuple[int, int], ...]

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return sum(stop - start for start, stop in self.runs)

    def take(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return the rows of the unit."""
        return np.concatenate([values[start:stop] for start, stop in self.runs])


@dataclass(frozen=True)
class Windows:
    """The windows that hold cells.

    Attributes
    ----------
    edges
        int64 [n_windows + 1], the row at which each begins, and at last the number of cells.
    numbers
        int64 [n_windows], joinid // WINDOW.
    """

    edges: NDArray[np.int64]
    numbers: NDArray[np.int64]

    @classmethod
    def of(cls, joinids: NDArray[np.int64]) -> Windows:
        """Find the windows of ascending joinids, which may be memory-mapped: few of them are looked at."""
        first, last = int(joinids[0]) // WINDOW, int(joinids[-1]) // WINDOW
        edges = np.searchsorted(joinids, np.arange(first, last + 2) * WINDOW)
        filled = np.flatnonzero(np.diff(edges))
        return cls(np.append(edges[filled], joinids.size), first + filled)

    @property
    def n_cells(self) -> NDArray[np.int64]:
        """int64 [n_windows]."""
        return np.diff(self.edges)

    def sample(self, n_cells: int, *, n_windows: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Choose so many windows or more, evenly spread over the corpus, that hold so many cells or more.

        Window k has the key frac(u + k φ), with φ the golden ratio and u drawn from `rng`; those with the
        smallest keys are taken. So they are nearly as far apart as those of a systematic sample, datasets
        get their share, and a sample holds the smaller ones of the same u.

        Returns
        -------
        bool [n_windows]
        """
        keys = (rng.random() + np.arange(self.numbers.size) * _GOLDEN) % 1
        order = np.argsort(keys, kind="stable")
        n = int(np.searchsorted(np.cumsum(self.n_cells[order]), min(n_cells, int(self.edges[-1])))) + 1
        chosen = np.zeros(self.numbers.size, np.bool_)
        chosen[order[: max(n, n_windows)]] = True
        return chosen

    def units(self, chosen: NDArray[np.bool_] | None = None) -> list[Unit]:
        """Cut the chosen windows, or all, into units; a unit ends with the window that fills it."""
        windows = np.arange(self.numbers.size) if chosen is None else np.flatnonzero(chosen)
        filled = np.cumsum(self.n_cells[windows]) - 1
        of_unit = filled // UNIT_CELLS
        ends = np.flatnonzero(np.diff(of_unit)) + 1
        return [self._unit(group) for group in np.split(windows, ends)]

    def _unit(self, windows: NDArray[np.int64]) -> Unit:
        apart = np.flatnonzero(np.diff(self.numbers[windows]) > 1) + 1
        bounds = [0, *apart.tolist(), windows.size]
        runs = (windows[first:last] for first, last in pairwise(bounds))
        return Unit(tuple((int(self.edges[run[0]]), int(self.edges[run[-1] + 1])) for run in runs))
