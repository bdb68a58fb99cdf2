"""Where a covering cuts each dimension, exactly, without a sort of all cells.

A greedy interval begins at the smallest value above the end of the one before, so that all beginnings follow
from the ascending values of a dimension. Of many cells only a sample is sorted. It and the extremes of equal
buckets over all cells bound where each interval begins; the values that turn up inside these bounds, a few in
ten thousand, decide.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.build.covering.kernels import add_extremes, add_range, find_cuts, find_windows
from curate.build.covering.plan import NO_WINDOWS, Windows
from curate.errors import SelectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FEW_CELLS = 1 << 14
_SAMPLE_VALUES = 1 << 24
_BUCKETS = 1 << 10


@dataclass(frozen=True)
class Dimensions:
    """The dimensions of an embedding, each from 0 to `top`, the widest to 1.

    Attributes
    ----------
    points
        float32 [n_cells, d].
    low
        float32 [d]: the smallest value.
    scale
        The range of the widest dimension: a value counts as (x - low) / scale.
    top
        float32 [d]: the largest value, scaled.
    sample
        float32 [d, m]: ascending values of a sample of the cells, the smallest and the largest among them.
    is_whole
        Whether the sample is all cells.
    per_width
        float32 [d]: buckets to one.
    lowest, highest
        float32 [d, n_buckets]: the extremes of the cells of each bucket; inf and -inf in an empty one.
    """

    points: NDArray[np.float32]
    low: NDArray[np.float32]
    scale: np.float32
    top: NDArray[np.float32]
    sample: NDArray[np.float32]
    is_whole: bool
    per_width: NDArray[np.float32]
    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]

    def windows(self, unit: np.float32) -> list[Windows]:
        """Return where intervals no longer than `unit` may begin, for each dimension."""
        find = self._cuts if self.is_whole else self._windows
        return [find(d, unit) if self.top[d] > unit else NO_WINDOWS for d in range(self.top.size)]

    def settled(
        self, windows: list[Windows], rows: NDArray[np.int64], unit: np.float32, *, n_threads: int
    ) -> list[Windows]:
        """Return where the intervals do begin; `rows` are all cells inside windows."""

        def settle(d: int) -> Windows:
            closes = windows[d].closes
            if not closes.size:
                return NO_WINDOWS
            values = np.concatenate([self.low[d : d + 1], closes[np.isfinite(closes)], self.points[rows, d]])
            values.sort()
            return windows[d].settled(self._beginnings(d, values, unit))

        with ThreadPoolExecutor(n_threads) as pool:
            return list(pool.map(settle, range(self.top.size)))

    def _cuts(self, d: int, unit: np.float32) -> Windows:
        return Windows.at(self._beginnings(d, self.sample[d], unit))

    def _beginnings(self, d: int, ascending: NDArray[np.float32], unit: np.float32) -> NDArray[np.float32]:
        room = 64
        while True:
            cuts = np.empty(room, dtype=np.float32)
            n_cuts = find_cuts(ascending, self.low[d], self.scale, unit, cuts)
            if n_cuts <= room:
                return cuts[:n_cuts]
            room = n_cuts

    def _windows(self, d: int, unit: np.float32) -> Windows:
        room = 64
        while True:
            opens, closes = np.empty((2, room), dtype=np.float32)
            counts = np.empty(room, dtype=np.int64)
            n_windows = find_windows(
                self.sample[d], self.low[d], self.scale, unit, self.per_width[d],
                self.lowest[d], self.highest[d], self.points.shape[0], opens, closes, counts,
            )  # fmt: skip
            if n_windows <= room:
                return Windows(opens[:n_windows], closes[:n_windows], counts[:n_windows])
            room = n_windows


def read_dimensions(points: NDArray[np.float32], *, n_threads: int) -> Dimensions:
    """Read the range and the buckets of every dimension, in two passes, and a sample.

    Raises
    ------
    SelectionError
        When a value is NaN or infinite, all cells are equal, or the range is beyond float32.
    """
    n_cells, n_dims = points.shape
    bounds = parts(n_cells, n_threads)

    def ranged(first: int, last: int) -> tuple[bool, NDArray[np.float32], NDArray[np.float32]]:
        low = np.full(n_dims, np.inf, dtype=np.float32)
        high = -low
        return add_range(points, first, last, low, high), low, high

    with ThreadPoolExecutor(n_threads) as pool:
        finite, lows, highs = zip(*pool.map(ranged, bounds[:-1], bounds[1:]), strict=True)
    if not all(finite):
        _refuse_not_finite(points)
    low, high = np.min(lows, axis=0), np.max(highs, axis=0)
    scale = _scale(low, high, n_cells)
    with np.errstate(divide="ignore", over="ignore"):
        per_width = np.float32(_BUCKETS) / (high - low)

    def extremes(first: int, last: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        lowest = np.full((n_dims, _BUCKETS), np.inf, dtype=np.float32)
        highest = -lowest
        add_extremes(points, first, last, low, per_width, lowest, highest)
        return lowest, highest

    with ThreadPoolExecutor(n_threads) as pool:
        lows, highs = zip(*pool.map(extremes, bounds[:-1], bounds[1:]), strict=True)
    step = max(1, n_cells // max(_FEW_CELLS, min(n_cells // 8, _SAMPLE_VALUES // n_dims)))
    sample = np.array(points[::step].T, order="C")
    return Dimensions(
        points=points,
        low=low,
        scale=scale,
        top=(high - low) / scale,
        sample=np.sort(sample if step == 1 else np.column_stack([low, sample, high]), axis=1),
        is_whole=step == 1,
        per_width=per_width,
        lowest=np.min(lows, axis=0),
        highest=np.max(highs, axis=0),
    )


def _scale(low: NDArray[np.float32], high: NDArray[np.float32], n_cells: int) -> np.float32:
    with np.errstate(over="ignore"):
        spans = high - low
    d = int(spans.argmax())
    if np.isinf(spans[d]):
        raise SelectionError(
            f"dimension {d} of the embedding goes from {low[d]:g} to {high[d]:g}, "
            "wider than float32 can hold; divide the embedding by a number"
        )
    # One constant dimension separates nothing and is harmless; when all are, there is no space to cover.
    if spans[d] == 0:
        raise SelectionError(f"all {n_cells:,} cells lie at one point of the embedding; use random instead")
    scale: np.float32 = spans[d]
    return scale


def _refuse_not_finite(points: NDArray[np.float32]) -> None:
    block = 1 << 16
    for start in range(0, points.shape[0], block):
        finite = np.isfinite(points[start : start + block])
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise SelectionError(
                f"the embedding holds {points[start + row, column]} at row {start + row}, "
                f"dimension {column}; sketch needs finite numbers"
            )


def parts(n_rows: int, n_parts: int) -> list[int]:
    """Return the bounds of parts of about equal size."""
    bounds: list[int] = np.linspace(0, n_rows, max(1, min(n_parts, n_rows)) + 1).astype(np.int64).tolist()
    return bounds
