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
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from curate.build.covering_cuts import Cuts, parts, read_dimensions
from curate.build.covering_kernels import group_rows, merge_boxes, number_boxes, renumber

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
    n_tried
        Side lengths that were tried.
    """

    boxes: NDArray[np.int32]
    n_boxes: int
    unit: float
    n_tried: int = 1

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
    Memory beyond `points`: 12 bytes a cell, 4 bytes a dimension of at most 2 million cells, and the table of
    boxes on each thread.

    References
    ----------
    Hie et al., Cell Systems 2019, doi 10.1016/j.cels.2019.05.003; bisection as in geosketch 1.3.
    """
    points, n_threads = _readable(points), n_threads or _n_processors()
    dimensions = read_dimensions(points, n_threads=n_threads)
    most = int(k * (1 + alpha))
    boxes = np.empty(points.shape[0], dtype=np.int32)
    low, high = np.float32(0), dimensions.top.max()
    unit = (low + high) / np.float32(4)
    n_tried = 0
    while True:
        tried = unit
        n_boxes = _number(points, dimensions.cuts(tried), boxes, at_most=most, n_threads=n_threads)
        n_tried += 1
        if n_boxes > k * (1 + alpha):
            unit, low = (tried + high) / np.float32(2), tried
        elif n_boxes < k * (1 - alpha):
            unit, high = (tried + low) / np.float32(2), tried
        else:
            break
        # The last: no number lies between, so that the rest of the iterations would all try this one again.
        if high - low < 1e-20 or n_tried >= max_iter or unit == tried:
            break
    if n_boxes > most:
        n_boxes = _number(points, dimensions.cuts(tried), boxes, at_most=boxes.size, n_threads=n_threads)
    return Covering(boxes=boxes, n_boxes=n_boxes, unit=float(tried), n_tried=n_tried)


def partition(points: NDArray[np.float32], unit: float, *, n_threads: int | None = None) -> Covering:
    """Cover cells with the boxes of one side length, however many; as in `cover`."""
    points, n_threads = _readable(points), n_threads or _n_processors()
    dimensions = read_dimensions(points, n_threads=n_threads)
    boxes = np.empty(points.shape[0], dtype=np.int32)
    cuts = dimensions.cuts(np.float32(unit))
    n_boxes = _number(points, cuts, boxes, at_most=boxes.size, n_threads=n_threads)
    return Covering(boxes=boxes, n_boxes=n_boxes, unit=unit)



def _number(
    points: NDArray[np.float32], cuts: Cuts, boxes: NDArray[np.int32], *, at_most: int, n_threads: int
) -> int:
    """Write the box of each cell and return how many there are; stop early at more than `at_most`.

    Every thread numbers the boxes of a part of the rows. Then the parts are put together in order, so that
    the numbers come out as on one thread.
    """
    bounds = parts(boxes.size, n_threads)

    def numbered(first: int, last: int) -> Table:
        table = Table.of(min(at_most, last - first), cuts.n_words)
        n_keys = number_boxes(points, first, last, *cuts.arrays, table.slots, table.keys, boxes)
        return replace(table, n_keys=n_keys)

    with ThreadPoolExecutor(n_threads) as pool:
        tables = list(pool.map(numbered, bounds[:-1], bounds[1:]))
    if any(table.n_keys > at_most for table in tables):
        return at_most + 1
    if len(tables) == 1:
        return tables[0].n_keys
    merged = Table.of(min(at_most, sum(table.n_keys for table in tables)), cuts.n_words)
    n_boxes = 0
    for table, first, last in zip(tables, bounds[:-1], bounds[1:], strict=True):
        numbers = np.empty(table.n_keys, dtype=np.int32)
        n_boxes = merge_boxes(table.keys, table.n_keys, merged.slots, merged.keys, n_boxes, numbers)
        if n_boxes > at_most:
            return n_boxes
        renumber(boxes, first, last, numbers)
    return n_boxes


@dataclass(frozen=True)
class Table:
    """Keys of boxes, to be found by hash: see `number_of`."""

    slots: NDArray[np.int32]
    keys: NDArray[np.uint64]
    n_keys: int = 0

    @classmethod
    def of(cls, capacity: int, n_words: int) -> Table:
        """Return an empty table for so many keys of so many words."""
        slots = np.zeros(1 << (2 * capacity).bit_length(), dtype=np.int32)
        return cls(slots=slots, keys=np.empty((capacity, n_words), dtype=np.uint64))


def _readable(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a read-only view in C order: one compiled version serves arrays in memory and on disk."""
    view = np.ascontiguousarray(points, dtype=np.float32).view(np.ndarray)[:]
    view.flags.writeable = False
    return view


def _n_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
