"""The plaid covering of geometric sketching: boxes of one side length, about as many as asked for.

1. the range of every dimension, and one scale for all: the widest becomes 1;
2. a side length to try: each dimension is cut greedily into intervals no longer than it (`covering_cuts`);
3. cells in the same interval of every dimension share a box: the boxes are numbered and counted;
4. the side length is bisected until there are (1 ± alpha) k boxes.

The same arithmetic as geosketch's, float32 and in the same order: boxes and side length are identical to its.
Here a step costs one or two passes over the embedding, which may be memory-mapped, and a count that is
already too high ends its pass.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from curate.build.covering_cuts import parts, read_dimensions
from curate.build.covering_draw_kernels import group_rows
from curate.build.covering_kernels import (
    number_boxes,
    number_keys,
    renumber,
    renumber_by_appearance,
)
from curate.build.covering_plan import Plan, plan_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Covering:
    """Boxes that hold all cells.

    Attributes
    ----------
    boxes
        int32 [n_cells]: the box of each cell; boxes are numbered by their first cell.
    unit
        Side length, where the widest dimension of the embedding is 1.
    n_constant
        Dimensions in which all cells are equal; they separate nothing.
    n_tried
        Side lengths that were tried.
    """

    boxes: NDArray[np.int32]
    n_boxes: int
    unit: float
    n_constant: int
    n_tried: int

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """int64 [n_boxes]: the number of cells of each box."""
        return np.bincount(self.boxes, minlength=self.n_boxes)

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """int64 [n_cells]: the cells of box 0, then those of box 1, …, ascending in each."""
        rows = np.empty(self.boxes.size, dtype=np.int64)
        group_rows(self.boxes, self.starts[:-1].copy(), rows)
        return rows

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """int64 [n_boxes + 1]: where each box begins in `rows`."""
        return np.concatenate([[0], np.cumsum(self.counts)])


def cover(
    points: NDArray[np.float32],
    k: int,
    *,
    alpha: float = 0.1,
    max_iter: int = 200,
    n_threads: int | None = None,
) -> Covering:
    """Cover cells with about `k` boxes of equal side.

    Parameters
    ----------
    points
        float32 [n_cells, d], finite; may be memory-mapped.
    alpha, max_iter
        The first side length of the bisection that gives (1 ± alpha) k boxes is taken, or the last of
        `max_iter`; where equal cells allow no such number, the one that the bisection ends at.
    n_threads
        By default as many as there are processors. No result depends on it.

    Raises
    ------
    SelectionError
        When a value is NaN or infinite, or all cells are equal.

    Notes
    -----
    Memory beyond `points`: 4 bytes a cell (16 once its `rows` are asked for), some 200 MB of sample, buckets
    and copies of them, and for each thread a table of at most (1 + alpha) k boxes. `points` is read from
    front to back, twice and then at most once for each side length.

    References
    ----------
    Hie et al., Cell Systems 2019, doi 10.1016/j.cels.2019.05.003; bisection as in geosketch 1.3.
    """
    boxes = _Numbering(points, n_threads)
    most = int(k * (1 + alpha))
    low, high = np.float32(0), boxes.dimensions.top.max()
    unit = (low + high) / np.float32(4)
    n_tried = 0
    while True:
        tried = unit
        n_boxes = boxes.number(tried, at_most=most)
        n_tried += 1
        if n_boxes > k * (1 + alpha):
            unit, low = (tried + high) / np.float32(2), tried
        elif n_boxes < k * (1 - alpha):
            unit, high = (tried + low) / np.float32(2), tried
        else:
            break
        # Where no number lies between, all further iterations would try this one again.
        if high - low < 1e-20 or n_tried >= max_iter or unit == tried:
            break
    if n_boxes > most:
        n_boxes = boxes.number(tried)
    return boxes.covering(n_boxes, tried, n_tried=n_tried)


def partition(points: NDArray[np.float32], unit: float, *, n_threads: int | None = None) -> Covering:
    """Cover cells with the boxes of one side length, however many; otherwise as `cover`."""
    boxes = _Numbering(points, n_threads)
    return boxes.covering(boxes.number(np.float32(unit)), np.float32(unit), n_tried=1)


class _Numbering:
    """The numbers of the boxes of the side length that was tried last."""

    def __init__(self, points: NDArray[np.float32], n_threads: int | None) -> None:
        # A read-only view in C order: one compiled version serves arrays in memory and on disk.
        self.points = np.ascontiguousarray(points, dtype=np.float32).view(np.ndarray)[:]
        self.points.flags.writeable = False
        self.n_threads = n_threads or _n_processors()
        self.dimensions = read_dimensions(self.points, n_threads=self.n_threads)
        self.boxes = np.empty(points.shape[0], dtype=np.int32)

    def number(self, unit: np.float32, *, at_most: int | None = None) -> int:
        """Number the boxes and return how many there are; stop early at more than `at_most`.

        Every thread numbers the boxes of a part of the rows, and the parts are put together. Then come the
        cells inside windows, which have shown where the intervals begin.
        """
        room = self.boxes.size if at_most is None else at_most
        windows = self.dimensions.windows(unit)
        n_intervals = [int(each.counts.sum()) + 1 for each in windows]
        plan = plan_of(windows, n_intervals=n_intervals)
        bounds = parts(self.boxes.size, self.n_threads)

        def number_part(first: int, last: int) -> tuple[_Table, NDArray[np.int64]]:
            table = _Table(min(room, last - first), plan)
            return table, table.number(self.points, _ALL, first, last, self.boxes)

        with ThreadPoolExecutor(self.n_threads) as pool:
            tables, in_doubt = zip(*pool.map(number_part, bounds[:-1], bounds[1:]), strict=True)
        if any(table.n_keys > room for table in tables):
            return room + 1
        rows = np.concatenate(in_doubt)
        merged = _Table(min(room, sum(table.n_keys for table in tables) + rows.size), plan)
        for table, first, last in zip(tables, bounds[:-1], bounds[1:], strict=True):
            merged.add(table, self.boxes[first:last])
            if merged.n_keys > room:
                return room + 1
        if rows.size:
            settled = self.dimensions.settled(windows, rows, unit, n_threads=self.n_threads)
            merged.plan = plan_of(settled, n_intervals=n_intervals)
            merged.number(self.points, rows, 0, rows.size, self.boxes)
        return merged.n_keys

    def covering(self, n_boxes: int, unit: np.float32, *, n_tried: int) -> Covering:
        """Return the boxes, numbered by their first cells whatever the threads were."""
        renumber_by_appearance(self.boxes, np.full(n_boxes, -1, dtype=np.int32))
        n_constant = int(np.count_nonzero(self.dimensions.top == 0))
        return Covering(self.boxes, n_boxes, unit=float(unit), n_constant=n_constant, n_tried=n_tried)


_ALL = np.empty(0, dtype=np.int64)


class _Table:
    """The boxes that were seen, to be found by hash: see `number_keys`."""

    def __init__(self, room: int, plan: Plan) -> None:
        self.plan = plan
        self.n_keys = 0
        self.slots = np.zeros(1 << (2 * room).bit_length(), dtype=np.int32)
        self.keys = np.empty((room, plan.words.size - 1), dtype=np.uint64)

    def number(
        self,
        points: NDArray[np.float32],
        rows: NDArray[np.int64],
        first: int,
        last: int,
        boxes: NDArray[np.int32],
    ) -> NDArray[np.int64]:
        """Number the boxes of some rows and return those in doubt."""
        in_doubt = np.empty(last - first, dtype=np.int64)  # of which only what is written takes memory
        self.n_keys, n_in_doubt = number_boxes(
            points, rows, first, last, self.plan, self.slots, self.keys, self.n_keys, boxes, in_doubt
        )
        return in_doubt[:n_in_doubt].copy()

    def add(self, other: _Table, boxes: NDArray[np.int32]) -> None:
        """Enter the boxes of another table and give `boxes` their numbers here."""
        numbers = np.empty(other.n_keys, dtype=np.int32)
        self.n_keys = number_keys(other.keys, other.n_keys, self.slots, self.keys, self.n_keys, numbers)
        if self.n_keys <= self.keys.shape[0]:
            renumber(boxes, numbers)


def _n_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
