"""What decides the box of a cell: windows that hold where intervals begin, as `number_boxes` reads them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_FEW = 16


@dataclass(frozen=True)
class Windows:
    """Of one dimension: disjoint, ascending; intervals begin at values open < x <= close only.

    Attributes
    ----------
    opens, closes
        float32 [n]. No cell lies in doubt where no number lies between them.
    counts
        int64 [n]: at most so many intervals begin in the window.
    """

    opens: NDArray[np.float32]
    closes: NDArray[np.float32]
    counts: NDArray[np.int64]

    def settled(self, cuts: NDArray[np.float32]) -> Windows:
        """Return the windows shrunk to the values where the intervals do begin.

        A cell keeps the number that it has where no window is in doubt: intervals are numbered as if every
        window held as many beginnings as it may, those that it lacks counted with its last.
        """
        window = np.searchsorted(self.closes, cuts)
        counts = np.ones(cuts.size, dtype=np.int64)
        last = np.flatnonzero(np.diff(window, append=self.closes.size))
        counts[last] += self.counts[window[last]] - np.bincount(window)[window[last]]
        return Windows.at(cuts, counts)

    @classmethod
    def at(cls, cuts: NDArray[np.float32], counts: NDArray[np.int64] | None = None) -> Windows:
        """Return windows of one value each: intervals begin right there."""
        opens = np.nextafter(cuts, np.float32(-np.inf))
        return cls(
            opens=opens, closes=cuts, counts=np.ones(cuts.size, np.int64) if counts is None else counts
        )


NO_WINDOWS = Windows.at(np.empty(0, np.float32))


class Plan(NamedTuple):
    """Windows of all dimensions, laid out for `number_boxes`.

    The key of a box is the mixed-radix number of its intervals, exact, in as many words of 64 bits as it
    takes. A cell's is the sum of the weights of the windows that it lies beyond; the cell is in doubt when
    it lies inside one. Where a dimension has few windows the cell is compared with each, else it is searched.

    Attributes
    ----------
    few
        Whether to compare; the arrays of the other way are empty.
    words
        int64 [n_words + 1]: dimensions words[w] … words[w + 1] - 1 make word w.
    opens, closes, weights
        float32, float32, uint64 [most windows, d]; +inf where a dimension has fewer.
    reach
        int64 [n_words, most windows]: the end of the dimensions of word w that have more than j windows.
    starts
        int64 [d + 1]: where the windows of each dimension begin in `flat_opens` and `flat_closes`.
    flat_weights
        uint64 [n_windows + d]: from starts[d] + d, the sum of the weights of the first 0, 1, … windows.
    """

    few: bool
    words: NDArray[np.int64]
    opens: NDArray[np.float32]
    closes: NDArray[np.float32]
    weights: NDArray[np.uint64]
    reach: NDArray[np.int64]
    starts: NDArray[np.int64]
    flat_opens: NDArray[np.float32]
    flat_closes: NDArray[np.float32]
    flat_weights: NDArray[np.uint64]


def plan_of(windows: Sequence[Windows], *, n_intervals: Sequence[int]) -> Plan:
    """Lay out the windows of each dimension, to number as many intervals."""
    words, strides, room = [0], [], 1
    for d, n in enumerate(n_intervals):
        if room * n >= 1 << 64:
            words.append(d)
            room = 1
        strides.append(room)
        room *= n
    words.append(len(windows))
    weights = [
        np.uint64(stride) * each.counts.astype(np.uint64)
        for stride, each in zip(strides, windows, strict=True)
    ]
    sizes = [each.opens.size for each in windows]
    few = max(sizes) <= _FEW
    rounds = range(max(sizes) if few else 0)
    reach = [
        [max([first, *(d + 1 for d in range(first, end) if sizes[d] > j)]) for j in rounds]
        for first, end in pairwise(words)
    ]
    sums = [np.concatenate([np.zeros(1, np.uint64), np.cumsum(each, dtype=np.uint64)]) for each in weights]
    return Plan(
        few=few,
        words=np.array(words),
        opens=_table([each.opens for each in windows], len(rounds), np.float32(np.inf)),
        closes=_table([each.closes for each in windows], len(rounds), np.float32(np.inf)),
        weights=_table(weights, len(rounds), np.uint64(0)),
        reach=np.array(reach, dtype=np.int64).reshape(len(words) - 1, len(rounds)),
        starts=np.cumsum([0, *sizes]),
        flat_opens=np.concatenate([each.opens for each in windows]),
        flat_closes=np.concatenate([each.closes for each in windows]),
        flat_weights=np.concatenate(sums),
    )


def _table(columns: Sequence[NDArray[Any]], n_rows: int, filler: np.generic) -> NDArray[Any]:
    table = np.full((n_rows, len(columns)), filler)
    if n_rows:
        for d, column in enumerate(columns):
            table[: column.size, d] = column
    return table
