"""The plaid covering, compiled. Nothing here allocates in proportion to the cells; all release the GIL.

Arithmetic is IEEE float32, one rounding an operation, so that every comparison comes out as in numpy:
a value x of a dimension is (x - low) / scale, and a box side reaches from `start` to fl(start + unit).
Integer arithmetic is unsigned where an index could otherwise count from the end.
"""

from __future__ import annotations

import numba
import numpy as np

_BLOCK = 256
_compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


@_compiled
def add_range(points, first, last, low, high):  # type: ignore[no-untyped-def]
    """Widen low and high [d] to cover the rows first … last - 1; return whether all values are finite."""
    n_dims = points.shape[1]
    check = np.zeros(n_dims, np.float32)
    for i in range(first, last):
        for d in range(n_dims):
            x = points[i, d]
            check[d] += x * np.float32(0)  # NaN as soon as one value is NaN or infinite
            low[d] = min(low[d], x)
            high[d] = max(high[d], x)
    return not np.isnan(check).any()


@_compiled
def add_extremes(points, first, last, low, scale, lowest, highest):  # type: ignore[no-untyped-def]
    """Widen the smallest and largest value [d, n_buckets] of buckets of equal width."""
    n_dims, n_buckets = lowest.shape
    width = np.float32(n_buckets)
    for i in range(first, last):
        for d in range(n_dims):
            x = points[i, d]
            b = min(np.int32((x - low[d]) / scale * width), n_buckets - 1)
            lowest[d, b] = min(lowest[d, b], x)
            highest[d, b] = max(highest[d, b], x)


@_compiled
def _first_above(values, begin, threshold, low, scale):  # type: ignore[no-untyped-def]
    """Return the first index from `begin` whose scaled value exceeds the threshold; the length if none."""
    end = values.size
    while begin < end:
        middle = (begin + end) >> 1
        if (values[middle] - low) / scale > threshold:
            end = middle
        else:
            begin = middle + 1
    return begin


@_compiled
def find_cuts(values, low, scale, unit, cuts):  # type: ignore[no-untyped-def]
    """Write the first value of every interval but the first, and return how many there are.

    `values` are ascending, and the cuts are right as long as they hold the smallest value and every value
    that begins an interval. What does not fit into `cuts` is counted only.
    """
    n_cuts = 0
    at = 0
    start = (values[0] - low) / scale
    while True:
        at = _first_above(values, at, start + unit, low, scale)
        if at == values.size:
            return n_cuts
        if n_cuts < cuts.size:
            cuts[n_cuts] = values[at]
        n_cuts += 1
        start = (values[at] - low) / scale


@_compiled
def find_windows(sample, low, scale, unit, lowest, highest, opens, closes):  # type: ignore[no-untyped-def]
    """Write windows that hold the beginnings of all intervals, and return how many there are.

    Each cut lies in (opens, closes], and `closes` is a value that occurs. The sample [m] is ascending and
    holds the smallest and the largest value; lowest and highest [n_buckets] are the extremes of each bucket.
    Bounds a and b of where an interval starts give bounds of where the next one does.
    """
    n_windows = 0
    a = b = (sample[0] - low) / scale
    top = (sample[-1] - low) / scale
    at = 0
    while a + unit < top:
        at = _first_above(sample, at, b + unit, low, scale)
        close = sample[min(at, sample.size - 1)]
        least, _ = _bounds_above(a + unit, low, scale, lowest, highest)
        _, most = _bounds_above(b + unit, low, scale, lowest, highest)
        if n_windows < opens.size:
            # Too low by a little does no harm: the window holds a few values more.
            opens[n_windows] = _at_most(a + unit, low, scale)
            closes[n_windows] = min(close, most)
        n_windows += 1
        a = max(a + unit, (least - low) / scale)
        b = (min(close, most) - low) / scale
    return n_windows


@_compiled
def _bounds_above(threshold, low, scale, lowest, highest):  # type: ignore[no-untyped-def]
    """Return bounds of the smallest value above the threshold, from the extremes of the buckets."""
    n_buckets = lowest.size
    b = min(np.int32(threshold * np.float32(n_buckets)), n_buckets - 1)
    if lowest[b] <= highest[b] and (highest[b] - low) / scale > threshold:
        if (lowest[b] - low) / scale > threshold:
            return lowest[b], lowest[b]
        return np.float32(-np.inf), highest[b]
    b += 1
    while b < n_buckets:
        if lowest[b] <= highest[b]:
            return lowest[b], lowest[b]
        b += 1
    return np.float32(-np.inf), np.float32(np.inf)


@_compiled
def _at_most(threshold, low, scale):  # type: ignore[no-untyped-def]
    """Return a number close to the largest whose scaled value does not exceed the threshold."""
    x = np.float32(np.float64(threshold) * np.float64(scale) + np.float64(low))
    step = np.spacing(np.float32(max(abs(low), abs(x))))
    while (x - low) / scale > threshold:
        x -= step
        step *= np.float32(2)
    return x


@_compiled
def _n_reached(edges, begin, end, x):  # type: ignore[no-untyped-def]
    """Return how many of the ascending edges begin … end - 1 are at most x."""
    first = begin
    while begin < end:
        middle = (begin + end) >> 1
        if edges[middle] <= x:
            begin = middle + 1
        else:
            end = middle
    return begin - first


@_compiled
def collect(points, first, last, dims, starts, opens, closes, found_dims, found):  # type: ignore[no-untyped-def]
    """Gather the values that lie in windows, and return how many, and the row it came to.

    Dimension dims[a] has the disjoint, ascending windows opens < x < closes of starts[a] … starts[a + 1] - 1.
    Stops early, before a row that might not fit.
    """
    n_found = 0
    n_dims = dims.size
    for i in range(first, last):
        if n_found + n_dims > found.size:
            return n_found, i
        for a in range(n_dims):
            x = points[i, dims[a]]
            at = starts[a] + _n_reached(opens, starts[a], starts[a + 1], x) - 1
            if at >= starts[a] and opens[at] < x < closes[at]:
                found_dims[n_found] = a
                found[n_found] = x
                n_found += 1
    return n_found, last


@_compiled
def _slot(key, n_slots):  # type: ignore[no-untyped-def]
    """Return where the search for a key of some words begins."""
    h = np.uint64(0)
    for w in range(key.size):
        h = (h ^ key[w]) * np.uint64(0x9E3779B97F4A7C15)
        h ^= h >> np.uint64(32)
    return h & np.uint64(n_slots - 1)


@_compiled
def number_of(key, slots, keys, n_keys):  # type: ignore[no-untyped-def]
    """Return the number of a key, which is n_keys for a new one; that is entered when there is room.

    `slots` are a power of two, 0 where free, else 1 + a row of `keys` [capacity, n_words].
    """
    at = _slot(key, slots.size)
    mask = np.uint64(slots.size - 1)
    while slots[at] != 0:
        number = slots[at] - 1
        same = True
        for w in range(key.size):
            same &= keys[number, w] == key[w]
        if same:
            return number
        at = (at + np.uint64(1)) & mask
    if n_keys < keys.shape[0]:
        slots[at] = n_keys + 1
        keys[n_keys] = key
    return np.int64(n_keys)


@_compiled
def number_boxes(points, first, last, edges, reach, starts, flat, words, strides, slots, keys, boxes):  # type: ignore[no-untyped-def]
    """Number the boxes of the rows first … last - 1 by first appearance; return how many there are.

    Stops at the first that finds no room in `keys`.

    The key of a box is the mixed-radix number of its intervals, exact, in as many words as it takes:
    dimensions words[w] … words[w + 1] - 1 make word w. Where cuts are few they stand in `edges` [j, d] (+inf
    where there is none) and each is compared with; reach[w, j] is the end of the dimensions of word w that
    have more than j of them. Where they are many, `edges` is empty and dimension d is searched for in
    flat[starts[d]:starts[d + 1]].
    """
    n_words = words.size - 1
    n_rounds = reach.shape[1]
    block = np.empty((_BLOCK, n_words), np.uint64)
    n_keys = 0
    for low in range(first, last, _BLOCK):
        size = min(_BLOCK, last - low)
        for r in range(size):
            point = points[low + r]
            for w in range(n_words):
                key = np.uint64(0)
                if edges.shape[0] > 0:
                    for j in range(n_rounds):
                        for d in range(words[w], reach[w, j]):
                            key += strides[d] if point[d] >= edges[j, d] else np.uint64(0)
                else:
                    for d in range(words[w], words[w + 1]):
                        if starts[d] < starts[d + 1]:
                            n = _n_reached(flat, starts[d], starts[d + 1], point[d])
                            key += strides[d] * np.uint64(n)
                block[r, w] = key
        for r in range(size):
            number = number_of(block[r], slots, keys, n_keys)
            if number == n_keys:
                n_keys += 1
                if number == keys.shape[0]:
                    return n_keys
            boxes[low + r] = number
    return n_keys


@_compiled
def merge_boxes(others, n_others, slots, keys, n_keys, renumbered):  # type: ignore[no-untyped-def]
    """Enter the keys of another table, write their numbers, and return how many keys there are then."""
    for other in range(n_others):
        number = number_of(others[other], slots, keys, n_keys)
        if number == n_keys:
            n_keys += 1
            if number == keys.shape[0]:
                return n_keys
        renumbered[other] = number
    return n_keys


@_compiled
def renumber(boxes, first, last, renumbered):  # type: ignore[no-untyped-def]
    """Replace the numbers of the rows first … last - 1."""
    for i in range(first, last):
        boxes[i] = renumbered[boxes[i]]


@_compiled
def group_rows(boxes, ends, rows):  # type: ignore[no-untyped-def]
    """Write the rows box by box, ascending within; `ends` comes in as where each begins, and ends up so."""
    for i in range(boxes.size):
        rows[ends[boxes[i]]] = i
        ends[boxes[i]] += 1
