"""A learning curve: the scores of runs on subsets of growing size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from curate.errors import SaturationError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Curve:
    """Scores of runs, higher is better; one model, strategy, task, data set and metric.

    Attributes
    ----------
    n_cells
        float64 [n_runs], cells that each run was trained on.
    scores
        float64 [n_runs].
    seeds
        int64 [n_runs].
    """

    n_cells: NDArray[np.float64]
    scores: NDArray[np.float64]
    seeds: NDArray[np.int64]

    @classmethod
    def of(cls, n_cells: ArrayLike, scores: ArrayLike, seeds: ArrayLike) -> Curve:
        """Make a curve of runs in any order.

        Raises
        ------
        SaturationError
            When there is no run, the lengths differ, a size is not positive, a score is not finite, or a
            seed has two runs of one size.
        """
        sizes = np.asarray(n_cells, np.float64)
        values = np.asarray(scores, np.float64)
        numbers = np.asarray(seeds, np.int64)
        if not sizes.size or not sizes.shape == values.shape == numbers.shape or sizes.ndim != 1:
            raise SaturationError(
                f"{sizes.size} sizes, {values.size} scores and {numbers.size} seeds; give one of each a run"
            )
        if not np.isfinite(sizes).all() or (sizes <= 0).any():
            raise SaturationError(f"a run on {sizes[~(sizes > 0)][0]} cells; sizes are positive")
        if not np.isfinite(values).all():
            n_bad = int((~np.isfinite(values)).sum())
            raise SaturationError(f"{n_bad} of {values.size} scores are no numbers; leave those runs out")
        order = np.lexsort((numbers, sizes))
        curve = cls(sizes[order], values[order], numbers[order])
        same = (np.diff(curve.n_cells) == 0) & (np.diff(curve.seeds) == 0)
        if same.any():
            at = int(np.flatnonzero(same)[0])
            raise SaturationError(
                f"two runs of seed {curve.seeds[at]} on {curve.n_cells[at]:,.0f} cells; give one"
            )
        return curve

    @cached_property
    def steps(self) -> NDArray[np.float64]:
        """The distinct sizes, float64 [n_steps], ascending."""
        return np.unique(self.n_cells)

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The row of `table` of each run, int64 [n_runs]."""
        rows: NDArray[np.int64] = np.unique(self.seeds, return_inverse=True)[1]
        return rows

    @cached_property
    def table(self) -> NDArray[np.float64]:
        """Scores, float64 [n_seeds, n_steps]; NaN where a seed has no run of the size."""
        columns = np.searchsorted(self.steps, self.n_cells)
        table = np.full((int(self.rows.max()) + 1, self.steps.size), np.nan)
        table[self.rows, columns] = self.scores
        return table

    @property
    def n_runs(self) -> int:
        """Number of runs."""
        return self.scores.size

    @property
    def n_seeds(self) -> int:
        """Number of seeds."""
        return len(self.table)

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """Mean over seeds, float64 [n_steps]."""
        means: NDArray[np.float64] = np.nanmean(self.table, axis=0)
        return means

    def seed_means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return means of values of runs, float64 [m, n_runs], over those of a seed, [m, n_seeds]."""
        is_of = (self.rows[:, None] == np.arange(self.n_seeds)).astype(np.float64)
        means: NDArray[np.float64] = values @ is_of / is_of.sum(axis=0)
        return means

    def centred(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values of runs, float64 [m, n_runs], less their mean over the runs of a seed."""
        centred: NDArray[np.float64] = values - self.seed_means(values)[:, self.rows]
        return centred
