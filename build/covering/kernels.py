"""The plaid covering, compiled. Nothing here allocates in proportion to the cells; all release the GIL.

Arithmetic is IEEE float32, one rounding an operation, so that every comparison comes out as in numpy:
a value x of a dimension is (x - low) / scale, and a box side reaches from `start` to fl(start + unit).
Integer arithmetic is unsigned where an index could otherwise count from the end.
"""

from __future__ import annotations

import numba
import numpy as np

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


@compiled
def add_range(points, first, last, low, high):  # type: ignore[no-untyped-def]
    """Widen low and high [d] to hold the rows first … last - 1; return whether all values are finite."""
    n_dims = points.shape[1]
    check = np.zeros(n_dims, np.float32)
    for i in range(first, last):
        for d in range(n_dims):
            x = points[i, d]
            check[d] += x * np.float32(0)  # NaN as soon as one value is NaN or infinite
            low[d] = x if x < low[d] else low[d]
            high[d] = x if x > high[d] else high[d]
    return not np.isnan(check).any()


@compiled
def add_extremes(points, first, last, low, per_width, lowest, highest):  # type: ignore[no-untyped-def]
    """Widen the smallest and largest value [d, n_buckets] of the buckets of each dimension."""
    n_dims, n_buckets = lowest.shape
    buckets = np.empty(n_dims, np.int32)
    for i in range(first, last):
        for d in range(n_dims):  # a loop without branches, of which several run at once
            buckets[d] = _bucket(points[i, d], low[d], per_width[d], n_buckets)
        for d in range(n_dims):
            x, b = points[i, d], np.uint32(buckets[d])
            if x < lowest[d, b]:
                lowest[d, b] = x
            if x > highest[d, b]:
                highest[d, b] = x


@compiled
def _bucket(x, low, per_width, n_buckets):  # type: ignore[no-untyped-def]
    """Return a bucket that does not fall as x rises; nothing more is asked of it."""
    at, most = (x - low) * per_width, np.float32(n_buckets - 1)
    at = at if at > 0 else np.float32(0)  # NaN as well, of a constant dimension
    return np.int32(at if at < most else most)


@compiled
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


@compiled
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


@compiled
def find_windows(  # type: ignore[no-untyped-def]
    sample, low, scale, unit, per_width, lowest, highest, n_cells, opens, closes, counts
):
    """Write disjoint windows that hold the beginnings of all intervals, and return how many there are.

    A window is open < x <= close and holds at most `counts` beginnings, and at least one, so that `close`
    may be one; where there may be none, it is infinite. The
    sample is ascending, with the smallest and the largest value; lowest and highest [n_buckets] are the
    extremes of the buckets. Bounds a and b of where one interval starts give those of the next.
    """
    n_windows = 0
    a = b = (sample[0] - low) / scale
    top = (sample[-1] - low) / scale
    at = 0
    close = np.float32(-np.inf)
    n_steps = 0
    while a + unit < top:
        at = _first_above(sample, at, b + unit, low, scale)
        # Too low by a little does no harm: the window holds a few values more.
        open_ = _at_most(a + unit, low, scale)
        joins = open_ < close
        least, _ = _bounds_above(a + unit, low, scale, open_, per_width, lowest, highest)
        from_ = _at_most(b + unit, low, scale)
        _, most = _bounds_above(b + unit, low, scale, from_, per_width, lowest, highest)
        close = min(sample[at], most) if at < sample.size else np.float32(np.inf)
        a = max(a + unit, (least - low) / scale)
        b = (close - low) / scale
        count = 1
        n_steps += 1
        if n_steps > sample.size:  # a side this short tells single values apart: leave the rest to them
            close, a, count = np.float32(np.inf), top, n_cells
        n_windows += not joins
        if n_windows <= opens.size:
            closes[n_windows - 1] = close
            if joins:
                counts[n_windows - 1] += count
            else:
                opens[n_windows - 1] = open_
                counts[n_windows - 1] = count
    return n_windows


@compiled
def _bounds_above(threshold, low, scale, from_, per_width, lowest, highest):  # type: ignore[no-untyped-def]
    """Return bounds of the smallest value whose scaled value exceeds the threshold; `from_` is below it."""
    for b in range(_bucket(from_, low, per_width, lowest.size), lowest.size):
        if lowest[b] <= highest[b] and (highest[b] - low) / scale > threshold:
            if (lowest[b] - low) / scale > threshold:
                return lowest[b], lowest[b]
            return np.float32(-np.inf), highest[b]
    return np.float32(-np.inf), np.float32(np.inf)


@compiled
def _at_most(threshold, low, scale):  # type: ignore[no-untyped-def]
    """Return a number close to the largest whose scaled value does not exceed the threshold."""
    x = np.float32(np.float64(threshold) * np.float64(scale) + np.float64(low))
    step = np.spacing(np.float32(max(abs(low), abs(x))))
    while (x - low) / scale > threshold:
        x -= step
        step *= np.float32(2)
    return x
