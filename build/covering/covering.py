"""The plaid covering of geometric sketching: boxes of one side length, about as many as asked for.

1. the range of every dimension, and one scale for all: the widest becomes 1;
2. a side length to try: each dimension is cut greedily into intervals no longer than it (`covering_cuts`);
3. cells in the same interval of every dimension share a box: the boxes are numbered and counted;
4. the side length is bisected until there are (1 ± alpha) k boxes.

The same arithmetic as geosketch's, float32 and in the same order: boxes and side length are identical to its.
Here the sides that will probably be tried next share a pass over the embedding, which may be memory-mapped:
a guess (`covering_bisection`) that costs time where it is wrong and never changes what is found.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from curate.build.covering.bisection import Bisection
from curate.build.covering.cuts import parts, read_dimensions
from curate.build.covering.draw_kernels import group_rows
from curate.build.covering.number_kernels import renumber_by_appearance
from curate.build.covering.plan import plan_of
from curate.build.covering.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    Memory beyond `points`: 4 bytes a cell (16 once its `rows` are asked for) and, while sides are tried, as
    much for each of at most 6; some 200 MB of sample, buckets and copies of them; for each thread and side a
    table of at most (1 + alpha) k boxes. `points` is read from front to back, twice and then some three
    times, at most once for each side length.

    References
    ----------
    Hie et al., Cell Systems 2019, doi 10.1016/j.cels.2019.05.003; bisection as in geosketch 1.3.
    """
    boxes = _Numbering(points, n_threads)
    high = boxes.dimensions.top.max()
    step = Bisection(k, alpha, max_iter, low=np.float32(0), high=high, unit=high / np.float32(4))
    most = int(k * (1 + alpha))
    while True:
        if float(step.unit) not in boxes.known:
            boxes.number(step.likely(boxes.known), at_most=most)
        then = step.after(boxes.known[float(step.unit)])
        if then is None:
            break
        step = then
    return boxes.covering(step.unit, n_tried=step.n_tried)


def partition(points: NDArray[np.float32], unit: float, *, n_threads: int | None = None) -> Covering:
    """Cover cells with the boxes of one side length, however many; otherwise as `cover`."""
    return _Numbering(points, n_threads).covering(np.float32(unit), n_tried=1)


class _Numbering:
    """The numbers of the boxes of the side lengths that were tried last.

    Attributes
    ----------
    known
        Side → number of boxes, or a smaller number above what was asked for at most.
    complete
        Side → int32 [n_cells], the boxes of those that were numbered to the end.
    """

    def __init__(self, points: NDArray[np.float32], n_threads: int | None) -> None:
        # A read-only view in C order: one compiled version serves arrays in memory and on disk.
        self.points = np.ascontiguousarray(points, dtype=np.float32).view(np.ndarray)[:]
        self.points.flags.writeable = False
        self.n_threads = n_threads or _n_processors()
        self.dimensions = read_dimensions(self.points, n_threads=self.n_threads)
        self.known: dict[float, int] = {}
        self.complete: dict[float, NDArray[np.int32]] = {}

    def number(self, units: Sequence[np.float32], *, at_most: int | None = None) -> None:
        """Number the boxes of some sides in one pass; leave a side at more than `at_most`.

        Every thread numbers the boxes of a part of the rows, and the parts are put together. Then come the
        cells inside windows, which have shown where the intervals begin.
        """
        n_cells = self.points.shape[0]
        room = n_cells if at_most is None else at_most
        windows = [self.dimensions.windows(unit) for unit in units]
        n_intervals = [[int(each.counts.sum()) + 1 for each in side] for side in windows]
        plan = plan_of(windows, n_intervals=n_intervals)
        bounds = parts(n_cells, self.n_threads)
        self.complete.clear()  # before there are others
        boxes = np.empty((len(units), n_cells), dtype=np.int32)

        def number_part(first: int, last: int) -> tuple[Tables, list[NDArray[np.int64]]]:
            tables = Tables(len(units), min(room, last - first), plan.n_words)
            return tables, tables.number(self.points, _ALL, first, last, plan, boxes)

        with ThreadPoolExecutor(self.n_threads) as pool:
            tables, in_doubt = zip(*pool.map(number_part, bounds[:-1], bounds[1:]), strict=True)
        for side, unit in enumerate(units):
            rows = np.concatenate([each[side] for each in in_doubt])
            n_keys = [int(each.n_keys[side]) for each in tables]
            merged = Tables(1, min(room, sum(n_keys) + rows.size), plan.n_words)
            for table, first, last in zip(tables, bounds[:-1], bounds[1:], strict=True):
                merged.add(table, side, boxes[side, first:last])
            if not merged.is_full and rows.size:
                settled = self.dimensions.settled(windows[side], rows, unit, n_threads=self.n_threads)
                last_plan = plan_of([settled], n_intervals=n_intervals[side : side + 1])
                merged.number(self.points, rows, 0, rows.size, last_plan, boxes[side : side + 1])
            self.known[float(unit)] = int(merged.n_keys[0])
            if not merged.is_full:
                self.complete[float(unit)] = boxes[side]

    def covering(self, unit: np.float32, *, n_tried: int) -> Covering:
        """Return the boxes of a side, numbered by their first cells whatever the threads were."""
        if float(unit) not in self.complete:
            self.number([unit])
        boxes, n_boxes = self.complete[float(unit)].copy(), self.known[float(unit)]
        renumber_by_appearance(boxes, np.full(n_boxes, -1, dtype=np.int32))
        n_constant = int(np.count_nonzero(self.dimensions.top == 0))
        return Covering(boxes, n_boxes, unit=float(unit), n_constant=n_constant, n_tried=n_tried)


_ALL = np.empty(0, dtype=np.int64)


def _n_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
