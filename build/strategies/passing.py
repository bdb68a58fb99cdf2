"""The next cells of a strategy's list, those passed over that are taken already."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from curate.errors import SelectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from curate.build.selection import Selection


@dataclass(frozen=True)
class Taken:
    """What a strategy gave.

    Attributes
    ----------
    rows
        int64 [quota], ascending.
    n_passed_over
        Cells of its list that were taken already.
    """

    rows: NDArray[np.int64]
    n_passed_over: int
    notes: Mapping[str, int | float | str] = field(default_factory=dict)


def take_in_passing(
    choose: Callable[[int], Selection], quota: int, taken: NDArray[np.bool_], *, keys: NDArray[np.uint64]
) -> Taken:
    """Return the first `quota` cells of a strategy's list that are not taken.

    The list of a strategy that nests is the order in which cells join its choice as n grows. How long a piece
    of it holds `quota` free cells is searched for: with each cell asked for, none or one free cell more
    comes, which bounds the length from both sides. Of a strategy that does not nest the smallest choice found
    with enough free cells is taken, and those of the largest keys left out.

    Parameters
    ----------
    choose
        The strategy, by the number of cells asked for.
    quota
        At least 1, at most the free cells.
    taken
        bool [n_cells].
    keys
        uint64 [n_cells].

    Raises
    ------
    SelectionError
        When the strategy refuses to choose as many as it would have to.
    """
    n_free = int(taken.size - np.count_nonzero(taken))
    if quota == n_free:
        return Taken(np.flatnonzero(~taken), taken.size - n_free)
    # (asked for, free ones among them); of all cells it is known without asking.
    low, high = (0, 0), (taken.size, n_free)
    enough: Selection | None = None
    most_able = taken.size
    asked = quota
    n_calls = 0
    while True:
        n_calls += 1
        least = low[0] + quota - low[1]
        try:
            selection = _exactly(asked, choose(asked))
        except SelectionError:
            if asked <= least:
                raise
            most_able, asked = asked - 1, least
            continue
        free = selection.rows[~taken[selection.rows]]
        if free.size == quota:
            return Taken(free, selection.rows.size - quota, selection.notes)
        if free.size > quota and selection.rank is not None:
            in_order = selection.rows[np.argsort(selection.rank, kind="stable")]
            first = np.flatnonzero(~taken[in_order])[:quota]
            return Taken(np.sort(in_order[first]), int(first[-1]) + 1 - quota, selection.notes)
        if free.size < quota:
            low = (asked, free.size)
        else:
            high, enough = (asked, free.size), selection
        asked = _next(low, high, quota, most_able, halve=n_calls % 2 == 0)
        if asked >= high[0]:
            # No strategy that nests comes here; and of `quota` and all that are taken, enough are free.
            assert enough is not None
            return _without_surplus(enough, quota, taken, keys)


def _exactly(n: int, selection: Selection) -> Selection:
    if selection.rows.size != n:
        raise SelectionError(
            f"it chose {selection.rows.size:,} distinct cells, not {n:,}; draw without replacement"
        )
    return selection


def _next(low: tuple[int, int], high: tuple[int, int], quota: int, most_able: int, *, halve: bool) -> int:
    """Return how many to ask for, within what nesting leaves possible: by interpolation, or half way."""
    least = low[0] + quota - low[1]
    most = min(high[0] - (high[1] - quota), most_able)
    slope = (high[0] - low[0]) / max(1, high[1] - low[1])
    guess = (least + most) // 2 if halve else low[0] + round((quota - low[1]) * slope)
    return max(least, min(most, guess))


def _without_surplus(
    enough: Selection, quota: int, taken: NDArray[np.bool_], keys: NDArray[np.uint64]
) -> Taken:
    free = enough.rows[~taken[enough.rows]]
    first = np.lexsort((free, keys[free]))[:quota]
    return Taken(np.sort(free[first]), enough.rows.size - free.size, enough.notes)
