"""Which split each of few units goes to: the best of all assignments there are, or of many that were tried.

1. how near the shares of cells can come to the ratios at all;
2. of the assignments that come nearly as near, those that keep the most labels in train;
3. of these the one whose cells and labels are nearest to the ratios.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.build.splits.kernels import (
    LEAST_GAIN,
    NOWHERE,
    TRAIN,
    assign,
    bring_labels,
    compiled,
    empty_state,
    put,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from curate.build.splits.kernels import Table

FEW = 20
"""Units; of more, placing them one by one comes near."""
ALL_TRIED = 12
"""Units all of whose assignments are tried: 3^12 are half a million."""
TRIES = 200
"""Orders in which more units are placed one by one, the best of which is taken."""
NEAR = 0.2
"""How much further than the nearest an assignment may be to keep a label in train: 90/5/5 is 0.06 from
80/10/10, 65/20/15 is 0.15, as the sum of (share - ratio)² / ratio."""


def assign_few(
    table: Table, order: NDArray[np.int64], exclusive: NDArray[np.int64], *, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Assign few units to splits.

    Parameters
    ----------
    table, order, exclusive
        As of `assign`.
    rng
        Of the orders that are tried.

    Returns
    -------
    uint8 [n_units]
    """
    if order.size <= ALL_TRIED:
        splits = _best_of_all(table, order, NEAR)
    else:
        tried = np.array(list(_tries(table, order, exclusive, rng)))
        splits = tried[_best_of(table, tried, NEAR)]
    state = empty_state(table)
    for unit, split in enumerate(splits):
        put(table, state, unit, split)
    if table.ratios[TRAIN] > 0:
        bring_labels(table, state, order)
    return state.split.astype(np.uint8)


def _tries(
    table: Table, order: NDArray[np.int64], exclusive: NDArray[np.int64], rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    yield assign(table, order, exclusive).astype(np.int64)
    for _ in range(TRIES):
        yield assign(table, rng.permutation(order), rng.permutation(exclusive)).astype(np.int64)


@compiled
def _distance(table, n_cells):  # type: ignore[no-untyped-def]
    """Return how far the shares of cells are from the ratios; infinite where a split lacks its own."""
    total = 0.0
    for to in range(table.ratios.size):
        if table.ratios[to] > 0:
            if n_cells[to] == 0:
                return np.inf
            total += (n_cells[to] / table.n_cells - table.ratios[to]) ** 2 / table.ratios[to]
        elif n_cells[to] > 0:
            return np.inf
    return total


@compiled
def _cells(table, splits):  # type: ignore[no-untyped-def]
    n_cells = np.zeros(table.ratios.size, np.int64)
    for unit in range(splits.size):
        n_cells[splits[unit]] += table.sizes[unit]
    return n_cells


@compiled
def _quality(table, splits, by_label):  # type: ignore[no-untyped-def]
    """Return the labels that train lacks, and how far cells and, in the mean, labels are from the ratios."""
    by_label[:] = 0
    for unit in range(splits.size):
        for k in range(table.starts[unit], table.starts[unit + 1]):
            by_label[splits[unit], table.pair_label[k]] += table.pair_cells[k]
    n_lost, off = 0, 0.0
    for label in range(table.label_sizes.size):
        if table.ratios[TRAIN] > 0 and by_label[TRAIN, label] == 0:
            n_lost += 1
        for to in range(table.ratios.size):
            if table.ratios[to] > 0:
                share = by_label[to, label] / table.label_sizes[label]
                off += (share - table.ratios[to]) ** 2 / table.ratios[to]
    return n_lost, _distance(table, _cells(table, splits)) + off / table.label_sizes.size


@compiled
def _decode(code, order, n_splits, splits):  # type: ignore[no-untyped-def]
    for unit in order:
        splits[unit] = code % n_splits
        code //= n_splits


@compiled
def _best_of_all(table, order, near):  # type: ignore[no-untyped-def]
    n_splits = table.ratios.size
    n_all = n_splits**order.size
    splits = np.zeros(order.size, np.int64)
    distances = np.empty(n_all)
    for code in range(n_all):
        _decode(code, order, n_splits, splits)
        distances[code] = _distance(table, _cells(table, splits))
    most = distances.min() + near
    by_label = np.zeros((n_splits, table.label_sizes.size), np.int64)
    best, least_lost, least = NOWHERE, table.label_sizes.size + 1, np.inf
    for code in range(n_all):
        if distances[code] <= most:
            _decode(code, order, n_splits, splits)
            n_lost, off = _quality(table, splits, by_label)
            if n_lost < least_lost or (n_lost == least_lost and off < least - LEAST_GAIN):
                best, least_lost, least = code, n_lost, off
    _decode(best, order, n_splits, splits)
    return splits


@compiled
def _best_of(table, tried, near):  # type: ignore[no-untyped-def]
    distances = np.empty(tried.shape[0])
    for at in range(tried.shape[0]):
        distances[at] = _distance(table, _cells(table, tried[at]))
    most = distances.min() + near
    by_label = np.zeros((table.ratios.size, table.label_sizes.size), np.int64)
    best, least_lost, least = NOWHERE, table.label_sizes.size + 1, np.inf
    for at in range(tried.shape[0]):
        if distances[at] <= most:
            n_lost, off = _quality(table, tried[at], by_label)
            if n_lost < least_lost or (n_lost == least_lost and off < least - LEAST_GAIN):
                best, least_lost, least = at, n_lost, off
    return best
