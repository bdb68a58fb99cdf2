"""What decides the box of a cell: windows that hold where intervals begin, as `number_boxes` reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

_FEW = 128  # a search for one cell costs as much as so many comparisons, made side by side


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
    """Windows of all dimensions for several side lengths, laid out for `number_boxes`.

    The key of a box is the mixed-radix number of its intervals, exact, in as many words of 64 bits as it
    takes. A cell's is the sum of the weights of the windows that it lies beyond; the cell is in doubt when
    it lies inside one. Cells are compared with each window of a dimension, and searched for where it has
    many.

    Attributes
    ----------
    n_words
        Words of the longest key; shorter ones end with zeros.
    used
        int64 [n_used]: dimensions that have a window at any side.
    window_starts
        int64 [n_sides + 1]: where the windows of each side begin in the next five.
    dims, words, opens, closes, weights
        int64, int64, float32, float32, uint64 [n_windows]: of each window its dimension, the word that this
        counts in, its bounds, and what a cell beyond it adds to the word.
    search_starts
        int64 [n_sides + 1]: where the searched dimensions of each side begin in the next three.
    searched_dims, searched_words
        int64 [n_searched].
    starts
        int64 [n_searched + 1]: where the windows of each begin in the next two.
    searched_opens, searched_closes
        float32.
    searched_sums
        uint64: from starts[j] + j, the sum of the weights of the first 0, 1, … windows.
    """

    n_words: int
    used: NDArray[np.int64]
    window_starts: NDArray[np.int64]
    dims: NDArray[np.int64]
    words: NDArray[np.int64]
    opens: NDArray[np.float32]
    closes: NDArray[np.float32]
    weights: NDArray[np.uint64]
    search_starts: NDArray[np.int64]
    searched_dims: NDArray[np.int64]
    searched_words: NDArray[np.int64]
    starts: NDArray[np.int64]
    searched_opens: NDArray[np.float32]
    searched_closes: NDArray[np.float32]
    searched_sums: NDArray[np.uint64]


def plan_of(sides: Sequence[Sequence[Windows]], *, n_intervals: Sequence[Sequence[int]]) -> Plan:
    """Lay out the windows of each dimension of each side, to number as many intervals."""
    compared: list[_Weighed] = []
    searched: list[_Weighed] = []
    window_starts, search_starts, n_words = [0], [0], 1
    for windows, n in zip(sides, n_intervals, strict=True):
        words, strides = _places(n)
        n_words = max(n_words, words[-1] + 1)
        for d, each in enumerate(windows):
            if each.opens.size:
                weights = np.uint64(strides[d]) * each.counts.astype(np.uint64)
                kind = compared if each.opens.size <= _FEW else searched
                kind.append(_Weighed(d, words[d], each, weights))
        window_starts.append(sum(each.weights.size for each in compared))
        search_starts.append(len(searched))
    sizes = [each.weights.size for each in compared]
    sums = [np.cumsum(np.insert(each.weights, 0, 0), dtype=np.uint64) for each in searched]
    return Plan(
        n_words=n_words,
        used=np.unique([each.d for each in compared + searched]).astype(np.int64),
        window_starts=np.array(window_starts),
        dims=np.repeat(_integers(each.d for each in compared), sizes),
        words=np.repeat(_integers(each.word for each in compared), sizes),
        opens=_joined([each.windows.opens for each in compared], np.float32),
        closes=_joined([each.windows.closes for each in compared], np.float32),
        weights=_joined([each.weights for each in compared], np.uint64),
        search_starts=np.array(search_starts),
        searched_dims=_integers(each.d for each in searched),
        searched_words=_integers(each.word for each in searched),
        starts=np.cumsum([0, *(each.weights.size for each in searched)]),
        searched_opens=_joined([each.windows.opens for each in searched], np.float32),
        searched_closes=_joined([each.windows.closes for each in searched], np.float32),
        searched_sums=_joined(sums, np.uint64),
    )


class _Weighed(NamedTuple):
    d: int
    word: int
    windows: Windows
    weights: NDArray[np.uint64]


def _places(n_intervals: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return for each dimension its word of the key, and what one interval counts in it."""
    words, strides, word, room = [], [], 0, 1
    for n in n_intervals:
        if room * n >= 1 << 64:
            word, room = word + 1, 1
        words.append(word)
        strides.append(room)
        room *= n
    return words, strides


def _integers(values: Iterable[int]) -> NDArray[np.int64]:
    return np.fromiter(values, np.int64)


def _joined(parts: Sequence[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype), *parts])
