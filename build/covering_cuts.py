"""Where a covering cuts each dimension, exactly, without a sort of all cells.

A greedy interval begins at the smallest value above the end of the one before, so that cuts follow from the
ascending values of a dimension. Up to two million cells these are sorted, once. With more, a sorted
sample and the extremes of equal buckets bound where each interval begins; one pass gathers the values inside
these bounds, and they alone decide.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.build.covering_kernels import add_extremes, add_range, collect, find_cuts, find_windows
from curate.errors import SelectionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SAMPLE = 1 << 20
_BUCKETS = 1 << 10
_ROOM = 1 << 20
_FEW = 24


@dataclass(frozen=True)
class Cuts:
    """Cuts of every dimension, laid out for `number_boxes`.

    Attributes
    ----------
    edges
        float32 [most cuts, d], +inf where a dimension has fewer; empty when there are too many to compare.
    reach
        int64 [n_words, most cuts]: see `number_boxes`.
    starts, flat
        The cuts of dimension d are flat[starts[d]:starts[d + 1]], ascending.
    words
        int64 [n_words + 1]: the first dimension of each word of a key.
    strides
        uint64 [d]: what an interval further in a dimension adds to its word.
    """

    edges: NDArray[np.float32]
    reach: NDArray[np.int64]
    starts: NDArray[np.int64]
    flat: NDArray[np.float32]
    words: NDArray[np.int64]
    strides: NDArray[np.uint64]

    @classmethod
    def of(cls, cuts: Sequence[NDArray[np.float32]]) -> Cuts:
        """Lay out the cuts of each dimension."""
        counts = np.array([each.size for each in cuts])
        words, strides, room = [0], [], 1
        for d, count in enumerate(counts.tolist()):
            if room * (count + 1) > 1 << 64:
                words.append(d)
                room = 1
            strides.append(room)
            room *= count + 1
        words.append(len(cuts))
        compared = range(counts.max() if counts.max() <= _FEW else 0)
        edges = np.full((len(compared), len(cuts)), np.inf, dtype=np.float32)
        for d, each in enumerate(cuts):
            edges[: min(each.size, len(compared)), d] = each[: len(compared)]
        reach = [
            [max([first, *(d + 1 for d in range(first, end) if counts[d] > j)]) for j in compared]
            for first, end in zip(words[:-1], words[1:], strict=True)
        ]
        return cls(
            edges=edges,
            reach=np.array(reach, dtype=np.int64).reshape(len(words) - 1, len(compared)),
            starts=np.concatenate([[0], np.cumsum(counts)]),
            flat=np.concatenate(cuts),
            words=np.array(words),
            strides=np.array(strides, dtype=np.uint64),
        )

    @property
    def n_words(self) -> int:
        """Words of a key."""
        return self.words.size - 1

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """What `number_boxes` takes, in its order."""
        return self.edges, self.reach, self.starts, self.flat, self.words, self.strides


@dataclass(frozen=True)
class Dimensions:
    """The dimensions of an embedding, each from 0 to `top`, the widest to 1.

    Attributes
    ----------
    low
        float32 [d]: the smallest value.
    scale
        The range of the widest dimension: a value counts as (x - low) / scale.
    top
        float32 [d]: the largest value, scaled.
    """

    points: NDArray[np.float32]
    low: NDArray[np.float32]
    scale: np.float32
    top: NDArray[np.float32]
    n_threads: int
    _ascending: dict[int, NDArray[np.float32]] = field(default_factory=dict)

    def cuts(self, unit: np.float32) -> Cuts:
        """Return the first value of every interval but the first, for intervals no longer than `unit`."""
        wide = np.flatnonzero(self.top > unit).tolist()
        with ThreadPoolExecutor(self.n_threads) as pool:
            ascending = pool.map(self._sorted, wide)
            found = dict(zip(wide, ascending, strict=True))
        return Cuts.of([self._cuts_of(d, found[d], unit) if d in found else _NONE for d in range(self.low.size)])

    def _sorted(self, d: int) -> NDArray[np.float32]:
        if d not in self._ascending:
            self._ascending[d] = np.sort(self.points[:, d])
        return self._ascending[d]

    def _cuts_of(self, d: int, ascending: NDArray[np.float32], unit: np.float32) -> NDArray[np.float32]:
        cuts = np.empty(64, dtype=np.float32)
        n_cuts = find_cuts(ascending, self.low[d], self.scale, unit, cuts)
        if n_cuts > cuts.size:
            cuts = np.empty(n_cuts, dtype=np.float32)
            find_cuts(ascending, self.low[d], self.scale, unit, cuts)
        return cuts[:n_cuts]


_NONE = np.empty(0, dtype=np.float32)


def read_dimensions(points: NDArray[np.float32], *, n_threads: int) -> Dimensions:
    """Read the range of every dimension, in one pass.

    Raises
    ------
    SelectionError
        When a value is NaN or infinite, all cells are equal, or the range is beyond float32.
    """
    n_cells, n_dims = points.shape

    def ranged(first: int, last: int) -> tuple[bool, NDArray[np.float32], NDArray[np.float32]]:
        low = np.full(n_dims, np.inf, dtype=np.float32)
        high = -low
        return add_range(points, first, last, low, high), low, high

    bounds = parts(n_cells, n_threads)
    with ThreadPoolExecutor(n_threads) as pool:
        finite, lows, highs = zip(*pool.map(ranged, bounds[:-1], bounds[1:]), strict=True)
    if not all(finite):
        _refuse_not_finite(points)
    low, high = np.min(lows, axis=0), np.max(highs, axis=0)
    with np.errstate(over="ignore"):
        spans = high - low
    scale = spans.max(initial=0)
    if not np.isfinite(scale):
        d = int(spans.argmax())
        raise SelectionError(
            f"dimension {d} of the embedding goes from {low[d]} to {high[d]}, which is more than float32 "
            "can tell apart; sketch needs a smaller range"
        )
    # One constant dimension separates nothing and is harmless; when all are, there is no space to cover.
    if scale == 0:
        raise SelectionError(f"all {n_cells:,} cells lie at one point of the embedding; use random instead")
    return Dimensions(points=points, low=low, scale=scale, top=spans / scale, n_threads=n_threads)


def _refuse_not_finite(points: NDArray[np.float32]) -> None:
    block = 1 << 16
    for start in range(0, points.shape[0], block):
        finite = np.isfinite(points[start : start + block])
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise SelectionError(
                f"the embedding holds {points[start + row, column]} at row {start + row}, dimension {column}; "
                "sketch needs finite numbers"
            )


def parts(n_rows: int, n_parts: int) -> list[int]:
    """Return the bounds of parts of about equal size."""
    return np.linspace(0, n_rows, max(1, min(n_parts, n_rows)) + 1).astype(np.int64).tolist()
