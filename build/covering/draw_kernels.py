"""Cells of the boxes of a covering, compiled."""

from __future__ import annotations

import numpy as np

from curate.build.covering.kernels import compiled


@compiled
def group_rows(boxes, ends, rows):  # type: ignore[no-untyped-def]
    """Write the rows box by box, ascending within; `ends` comes in as where each begins, and ends up so."""
    for i in range(boxes.size):
        rows[ends[boxes[i]]] = i
        ends[boxes[i]] += 1


@compiled
def take_many(rows, starts, keys, depth, taken, marginal):  # type: ignore[no-untyped-def]
    """Write the cells of the `depth` smallest keys of each box, and the next one of boxes that have more.

    Equal keys are ordered by row.
    """
    n_taken = n_marginal = 0
    for box in range(starts.size - 1):
        begin, end = starts[box], starts[box + 1]
        if end - begin <= depth:
            for at in range(begin, end):
                taken[n_taken] = rows[at]
                n_taken += 1
        else:
            order = np.argsort(keys[rows[begin:end]], kind="mergesort")
            for at in range(depth):
                taken[n_taken] = rows[begin + order[at]]
                n_taken += 1
            marginal[n_marginal] = rows[begin + order[depth]]
            n_marginal += 1


@compiled
def take_smallest(boxes, keys, least):  # type: ignore[no-untyped-def]
    """Write the cell of the smallest key of each box, the first of equal ones; `least` comes in as -1."""
    for i in range(boxes.size):
        box = boxes[i]
        if least[box] < 0 or keys[i] < keys[least[box]]:
            least[box] = i
