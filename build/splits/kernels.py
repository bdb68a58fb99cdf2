"""The loops of `curate.build.splits.groups`: one unit at a time, in a fixed order."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRAIN = 0
NOWHERE = -1
MAX_PASSES = 20
#: What a move must gain at least: less than any difference that matters, more than rounding.
LEAST_GAIN = 1e-9

compiled = numba.njit(cache=True)


class Table(NamedTuple):
    """What is to be divided.

    Attributes
    ----------
    starts
        int64 [n_units + 1], where the labels of each unit begin in `pair_label` and `pair_cells`.
    pair_label, pair_cells
        int64 [n_pairs], the labels of each unit and the cells of each.
    sizes
        int64 [n_units], cells.
    label_sizes, label_units
        int64 [n_labels], cells and units.
    ratios
        float64 [n_splits].
    n_cells
        Of all units.
    """

    starts: NDArray[np.int64]
    pair_label: NDArray[np.int64]
    pair_cells: NDArray[np.int64]
    sizes: NDArray[np.int64]
    label_sizes: NDArray[np.int64]
    label_units: NDArray[np.int64]
    ratios: NDArray[np.float64]
    n_cells: int


class State(NamedTuple):
    """Where the units are.

    Attributes
    ----------
    split
        int64 [n_units], NOWHERE for those that are not placed.
    n_cells, n_by_label, n_units
        int64 [n_splits], [n_splits, n_labels], [n_splits].
    in_train
        int64 [n_labels], the units of train that have the label.
    """

    split: NDArray[np.int64]
    n_cells: NDArray[np.int64]
    n_by_label: NDArray[np.int64]
    n_units: NDArray[np.int64]
    in_train: NDArray[np.int64]


def assign(table: Table, order: NDArray[np.int64], exclusive: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Assign units to splits, by the steps of `curate.build.splits.groups`.

    Parameters
    ----------
    order
        The units, in the order in which they are placed.
    exclusive
        Units that are the only home of a label, in the order in which they go to train.
    """
    state = empty_state(table)
    if table.ratios[TRAIN] > 0:
        _place_exclusive(table, state, exclusive)
    _place_others(table, state, order)
    if table.ratios[TRAIN] > 0:
        bring_labels(table, state, order)
    _fill_empty(table, state, order)
    _improve(table, state, order)
    return state.split.astype(np.uint8)


def empty_state(table: Table) -> State:
    """Return the state of units that are nowhere."""
    n_splits, n_labels = table.ratios.size, table.label_sizes.size
    return State(
        split=np.full(table.sizes.size, NOWHERE),
        n_cells=np.zeros(n_splits, np.int64),
        n_by_label=np.zeros((n_splits, n_labels), np.int64),
        n_units=np.zeros(n_splits, np.int64),
        in_train=np.zeros(n_labels, np.int64),
    )


@compiled
def put(table, state, unit, to):  # type: ignore[no-untyped-def]
    """Move a unit to a split, or out of it to NOWHERE."""
    sign = 1 if to != NOWHERE else -1
    at = to if to != NOWHERE else state.split[unit]
    state.n_cells[at] += sign * table.sizes[unit]
    state.n_units[at] += sign
    for k in range(table.starts[unit], table.starts[unit + 1]):
        state.n_by_label[at, table.pair_label[k]] += sign * table.pair_cells[k]
        if at == TRAIN:
            state.in_train[table.pair_label[k]] += sign
    state.split[unit] = to


@compiled
def _cost(table, state, unit, to):  # type: ignore[no-untyped-def]
    """Return what a unit that is nowhere adds to the measure in a split."""
    ratio, n_all, n = table.ratios[to], float(table.n_cells), float(table.sizes[unit])
    by_label = 0.0
    for k in range(table.starts[unit], table.starts[unit + 1]):
        c, of = float(table.pair_cells[k]), float(table.label_sizes[table.pair_label[k]])
        held = float(state.n_by_label[to, table.pair_label[k]])
        by_label += c * (2.0 * (held - ratio * of) + c) / (ratio * of * of)
    overall = n * (2.0 * (float(state.n_cells[to]) - ratio * n_all) + n) / (ratio * n_all * n_all)
    return overall + by_label / table.label_sizes.size


@compiled
def _best(table, state, unit):  # type: ignore[no-untyped-def]
    """Return the split where a unit that is nowhere adds the least."""
    found, least = NOWHERE, np.inf
    for to in range(table.ratios.size):
        if table.ratios[to] > 0:
            added = _cost(table, state, unit, to)
            if added < least - LEAST_GAIN:
                found, least = to, added
    return found


@compiled
def _cost_of_moving(table, state, unit, to):  # type: ignore[no-untyped-def]
    here = state.split[unit]
    put(table, state, unit, NOWHERE)
    added = _cost(table, state, unit, to) - _cost(table, state, unit, here)
    put(table, state, unit, here)
    return added


@compiled
def _fits_train(table, state, unit):  # type: ignore[no-untyped-def]
    """Whether train may take a unit beyond its share: half of what the others are to have, no more."""
    most = (table.ratios[TRAIN] + (1.0 - table.ratios[TRAIN]) / 2) * table.n_cells
    return state.n_cells[TRAIN] + table.sizes[unit] <= most


@compiled
def _keeps_labels(table, state, unit):  # type: ignore[no-untyped-def]
    """Whether train has every label of a unit without it as well."""
    if state.split[unit] == TRAIN:
        for k in range(table.starts[unit], table.starts[unit + 1]):
            if state.in_train[table.pair_label[k]] < 2:
                return False
    return True


@compiled
def _has(table, unit, label):  # type: ignore[no-untyped-def]
    labels = table.pair_label[table.starts[unit] : table.starts[unit + 1]]
    at = np.searchsorted(labels, label)
    return at < labels.size and labels[at] == label


@compiled
def _place_exclusive(table, state, exclusive):  # type: ignore[no-untyped-def]
    n_others = (table.ratios > 0).sum() - 1
    for unit in exclusive:
        if state.n_units[TRAIN] < table.sizes.size - n_others and _fits_train(table, state, unit):
            put(table, state, unit, TRAIN)


@compiled
def _place_others(table, state, order):  # type: ignore[no-untyped-def]
    for unit in order:
        if state.split[unit] == NOWHERE:
            put(table, state, unit, _best(table, state, unit))


@compiled
def bring_labels(table, state, order):  # type: ignore[no-untyped-def]
    """Bring a unit of each label that train lacks there, where one fits and leaves its split another."""
    # Labels of the fewest units first: they have the least choice.
    for label in np.argsort(table.label_units, kind="mergesort"):
        if state.in_train[label] > 0:
            continue
        chosen, least = NOWHERE, np.inf
        for unit in order:
            if (
                _has(table, unit, label)
                and state.n_units[state.split[unit]] > 1
                and _fits_train(table, state, unit)
            ):
                added = _cost_of_moving(table, state, unit, TRAIN)
                if added < least - LEAST_GAIN:
                    chosen, least = unit, added
        if chosen != NOWHERE:
            put(table, state, chosen, NOWHERE)
            put(table, state, chosen, TRAIN)


@compiled
def _fill_empty(table, state, order):  # type: ignore[no-untyped-def]
    for to in range(table.ratios.size):
        if table.ratios[to] == 0 or state.n_units[to] > 0:
            continue
        chosen, least, keeps = NOWHERE, np.inf, False
        for unit in order:
            if state.n_units[state.split[unit]] < 2:
                continue
            # Rather one that takes no label from train.
            keeps_here = _keeps_labels(table, state, unit)
            if keeps and not keeps_here:
                continue
            added = _cost_of_moving(table, state, unit, to)
            if (keeps_here and not keeps) or added < least - LEAST_GAIN:
                chosen, least, keeps = unit, added, keeps_here
        put(table, state, chosen, NOWHERE)
        put(table, state, chosen, to)


@compiled
def _improve(table, state, order):  # type: ignore[no-untyped-def]
    for _ in range(MAX_PASSES):
        n_moved = 0
        for unit in order:
            here = state.split[unit]
            if state.n_units[here] < 2 or not _keeps_labels(table, state, unit):
                continue
            put(table, state, unit, NOWHERE)
            to = _best(table, state, unit)
            is_better = _cost(table, state, unit, to) < _cost(table, state, unit, here) - LEAST_GAIN
            put(table, state, unit, to if is_better else here)
            n_moved += is_better
        if n_moved == 0:
            return
