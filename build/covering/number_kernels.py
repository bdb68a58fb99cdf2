"""Boxes numbered, compiled: a block of cells at a time, for several side lengths while it is in the cache.

A block is turned so that each dimension's values lie side by side: a window is compared with all of them at
once, eight or sixteen to an instruction, whatever the number of dimensions.
"""

from __future__ import annotations

import numpy as np

from curate.build.covering.kernels import compiled

_BLOCK = 256
_FEW_ROWS = 16  # whose values fill a line of the cache
_STRIDE = _BLOCK + 16  # a power of two would put all dimensions into the same few lines of the cache


@compiled
def number_boxes(points, rows, first, last, plan, slots, keys, n_keys, boxes, in_doubt, n_in_doubt):  # type: ignore[no-untyped-def]
    """Number the boxes of rows[first:last] by first appearance, for each side, on from n_keys; see `Plan`.

    Cells that the plan does not decide are written to `in_doubt` [n_sides, …] instead. A side is left when
    a box finds no room in `keys` [n_sides, room, n_words]: its number in `n_keys` [n_sides] is then above
    the room. An empty `rows` stands for all rows in order.
    """
    n_sides, room, n_words = keys.shape
    tile = np.empty((points.shape[1], _STRIDE), np.float32)
    block = np.empty(_BLOCK, np.int64)
    sums, doubtful = np.empty((n_words, _BLOCK), np.uint64), np.empty(_BLOCK, np.int32)
    mixed, numbers = np.empty(_BLOCK, np.uint64), np.empty(_BLOCK, np.int32)
    for low in range(first, last, _BLOCK):
        size = min(_BLOCK, last - low)
        for r in range(_BLOCK):
            at = min(low + r, last - 1)
            block[r] = rows[at] if rows.size > 0 else at
        _turn(points, block, plan.used, tile)
        n_open = 0
        for side in range(n_sides):
            if n_keys[side] > room:
                continue
            n_open += 1
            sums[:] = np.uint64(0)
            doubtful[:] = np.int32(0)
            _compare(tile, plan, side, sums, doubtful)
            _search(tile, plan, side, size, sums, doubtful)
            for r in range(size):
                if doubtful[r]:
                    in_doubt[side, n_in_doubt[side]] = block[r]
                    n_in_doubt[side] += 1
            n_keys[side] = number_keys(
                sums, size, doubtful, slots[side], keys[side], n_keys[side], mixed, numbers
            )
            if n_keys[side] <= room:
                for r in range(size):
                    boxes[side, block[r]] = -1 if doubtful[r] else numbers[r]
        if n_open == 0:
            break


@compiled
def _turn(points, block, used, tile):  # type: ignore[no-untyped-def]
    """Copy the used dimensions of a block of rows to tile [d, …], a few rows at a time."""
    for r0 in range(0, _BLOCK, _FEW_ROWS):
        for d in used:
            for r in range(r0, r0 + _FEW_ROWS):
                tile[d, r] = points[block[r], d]


@compiled
def _compare(tile, plan, side, sums, doubtful):  # type: ignore[no-untyped-def]
    """Add the weights of the windows that cells lie beyond, and note the cells inside one."""
    for j in range(plan.window_starts[side], plan.window_starts[side + 1]):
        opens, closes, weight = plan.opens[j], plan.closes[j], plan.weights[j]
        values, total = tile[plan.dims[j]], sums[plan.words[j]]
        for r in range(_BLOCK):  # two loops: values of 64 bits and of 32 do not go well together
            total[r] += weight if values[r] >= closes else np.uint64(0)
        for r in range(_BLOCK):
            doubtful[r] |= np.int32(values[r] > opens) & np.int32(values[r] < closes)


@compiled
def _search(tile, plan, side, size, sums, doubtful):  # type: ignore[no-untyped-def]
    """Do the same for dimensions with many windows."""
    for j in range(plan.search_starts[side], plan.search_starts[side + 1]):
        values, total = tile[plan.searched_dims[j]], sums[plan.searched_words[j]]
        begin, end = np.uint64(plan.starts[j]), np.uint64(plan.starts[j + 1])
        for r in range(size):
            x = values[r]
            reached, limit = begin, end
            while reached < limit:
                middle = (reached + limit) >> np.uint64(1)
                beyond = plan.searched_closes[middle] <= x
                reached = middle + np.uint64(1) if beyond else reached
                limit = limit if beyond else middle
            total[r] += plan.searched_sums[reached + np.uint64(j)]
            doubtful[r] |= np.int32(reached < end and plan.searched_opens[reached] < x)


@compiled
def number_keys(wanted, n_wanted, skipped, slots, keys, n_keys, mixed, numbers):  # type: ignore[no-untyped-def]
    """Number the keys wanted[:, :n_wanted] by first appearance, on from n_keys; return how many there are.

    What is `skipped` gets no number of use. `slots` are a power of two, 0 where free, else 1 + a row of
    `keys` [room, n_words]. Stops at the first new key that finds no room, with a return value above it.
    All keys are looked for in their first slot before any is searched further: loads that do not wait for
    each other hide how far away the table is.
    """
    room, n_words = keys.shape
    mask = np.uint64(slots.size - 1)
    for i in range(n_wanted):
        mixed[i] = np.uint64(0)
    for w in range(n_words):
        for i in range(n_wanted):
            at = (mixed[i] ^ wanted[w, i]) * np.uint64(0x9E3779B97F4A7C15)
            mixed[i] = at ^ (at >> np.uint64(32))
    for i in range(n_wanted):
        numbers[i] = slots[mixed[i] & mask] - 1
    for i in range(n_wanted):
        number = max(np.int64(numbers[i]), 0)
        same = numbers[i] >= 0
        for w in range(n_words):
            same &= keys[number, w] == wanted[w, i]
        numbers[i] = numbers[i] if same else -1
    for i in range(n_wanted):
        if numbers[i] >= 0 or skipped[i]:
            continue
        at = mixed[i] & mask
        while slots[at] != 0 and numbers[i] < 0:
            number = np.int64(slots[at]) - 1
            same = True
            for w in range(n_words):
                same &= keys[number, w] == wanted[w, i]
            if same:
                numbers[i] = number
            at = (at + np.uint64(1)) & mask
        if numbers[i] < 0:
            if n_keys == room:
                return n_keys + 1
            slots[at] = n_keys + 1
            for w in range(n_words):
                keys[n_keys, w] = wanted[w, i]
            numbers[i] = n_keys
            n_keys += 1
    return n_keys


@compiled
def renumber(boxes, renumbered):  # type: ignore[no-untyped-def]
    """Replace the numbers; those below 0 stay."""
    for i in range(boxes.size):
        if boxes[i] >= 0:
            boxes[i] = renumbered[boxes[i]]


@compiled
def renumber_by_appearance(boxes, renumbered):  # type: ignore[no-untyped-def]
    """Number boxes in the order of their first rows; `renumbered` comes in as -1 for each."""
    n = 0
    for i in range(boxes.size):
        if renumbered[boxes[i]] < 0:
            renumbered[boxes[i]] = n
            n += 1
        boxes[i] = renumbered[boxes[i]]
