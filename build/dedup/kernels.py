"""Compiled loops of the search for near-duplicates.

Sums are taken in one order whatever the processor, without reassociation; several are taken at a time.
"""

from __future__ import annotations

import numba
import numpy as np

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


@compiled
def to_units(vectors):  # type: ignore[no-untyped-def]
    """Scale float32 [n, d] to length 1 in place, those of length 0 apart; return how many are not finite."""
    n, d = vectors.shape
    n_strange = 0
    for i in range(n):
        total = 0.0
        for j in range(d):
            total += np.float64(vectors[i, j]) ** 2
        if not np.isfinite(total):
            n_strange += 1
        elif total > 0:
            length = np.sqrt(total)
            for j in range(d):
                vectors[i, j] = np.float32(vectors[i, j] / length)
    return n_strange


@compiled
def _products(unit, panel, out):  # type: ignore[no-untyped-def]
    """Put the products of a vector [d] with those in the columns of a panel [d, k] into `out` [k]."""
    d, k = panel.shape
    out[:] = 0
    for j in range(d):
        value, row = unit[j], panel[j]
        for i in range(k):
            out[i] += value * row[i]


@compiled
def nearest_centres(units, centres):  # type: ignore[no-untyped-def]
    """Return for each of float32 [n, d] the centre, of float32 [d, k], of largest product: int64 [n]."""
    found = np.zeros(units.shape[0], np.int64)
    products = np.empty(centres.shape[1], np.float32)
    for i in range(units.shape[0]):
        _products(units[i], centres, products)
        found[i] = np.argmax(products)
    return found


@compiled
def sums_of(units, labels, k):  # type: ignore[no-untyped-def]
    """Return the sums of the units of each label, float64 [k, d]."""
    sums = np.zeros((k, units.shape[1]), np.float64)
    for i in range(units.shape[0]):
        for j in range(units.shape[1]):
            sums[labels[i], j] += units[i, j]
    return sums


@compiled
def nearest_leaves(units, tops, panels, starts, n_branches, found):  # type: ignore[no-untyped-def]
    """Find the leaves of largest product below the tops of largest product.

    Parameters
    ----------
    units
        float32 [n, d].
    tops
        float32 [d, n_tops].
    panels
        float32 [d * n_leaves]: one [d, n] after the other, the leaves below each top.
    starts
        int64 [n_tops + 1], where the leaves of a top begin.
    n_branches
        Tops to look below.
    found
        int32 [n, p], filled here, the leaf of largest product first; untouched for units of length 0.
    """
    d, n_tops = tops.shape
    p = found.shape[1]
    widest = 0
    for top in range(n_tops):
        widest = max(widest, starts[top + 1] - starts[top])
    of_tops, of_leaves = np.empty(n_tops, np.float32), np.empty(widest, np.float32)
    best = np.empty(p, np.float32)
    for i in range(units.shape[0]):
        if not units[i].any():
            continue
        best[:] = -np.inf
        _products(units[i], tops, of_tops)
        for _ in range(min(n_branches, n_tops)):
            top = int(np.argmax(of_tops))
            of_tops[top] = -np.inf
            start, stop = starts[top], starts[top + 1]
            panel = panels[d * start : d * stop].reshape(d, stop - start)
            _products(units[i], panel, of_leaves[: stop - start])
            for leaf in range(stop - start):
                value = of_leaves[leaf]
                if value <= best[p - 1]:
                    continue
                place = p - 1
                while place > 0 and best[place - 1] < value:
                    best[place], found[i, place] = best[place - 1], found[i, place - 1]
                    place -= 1
                best[place], found[i, place] = value, start + leaf


@compiled
def by_code(codes, n_codes):  # type: ignore[no-untyped-def]
    """Return the rows of int32 [n, p] that hold each code from 0, ascending, and where those of a code begin.

    Returns
    -------
    starts, members
        int64 [n_codes + 1] and int32.
    """
    starts = np.zeros(n_codes + 1, np.int64)
    for i in range(codes.shape[0]):
        for j in range(codes.shape[1]):
            if codes[i, j] >= 0:
                starts[codes[i, j] + 1] += 1
    for code in range(n_codes):
        starts[code + 1] += starts[code]
    members = np.empty(starts[n_codes], np.int32)
    ends = starts[:-1].copy()
    for i in range(codes.shape[0]):
        for j in range(codes.shape[1]):
            code = codes[i, j]
            if code >= 0:
                members[ends[code]] = i
                ends[code] += 1
    return starts, members


@compiled
def thin(near):  # type: ignore[no-untyped-def]
    """Return which of some cells stay, bool [n]: the first, and each that is not near one before that stays.

    Parameters
    ----------
    near
        bool [n, n].
    """
    n = near.shape[0]
    stays = np.ones(n, np.bool_)
    for i in range(n):
        if stays[i]:
            for j in range(i + 1, n):
                if near[i, j]:
                    stays[j] = False
    return stays
