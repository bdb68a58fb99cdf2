"""Compiled loops of leverage scores; sums are taken in 64 bits and cell by cell, so that no block shows."""

from __future__ import annotations

import numba
import numpy as np

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")

#: Cells whose products are added to a sum at a time.
N_TOGETHER = 8


@compiled
def _fill(points, row, shift, n_ones, design):  # type: ignore[no-untyped-def]
    for j in range(n_ones):
        design[j] = 1.0
    for j in range(shift.size):
        design[n_ones + j] = points[row, j] - shift[j]


@compiled
def add_gram(points, shift, n_ones, gram):  # type: ignore[no-untyped-def]
    """Add the products of the columns of a design to their sums.

    Parameters
    ----------
    points, shift
        float32 [n, d]; float64 [d]. The design is a column of ones for each of `n_ones`, then points - shift.
    gram
        float64 [n_ones + d, n_ones + d]; its upper triangle is added to.
    """
    n, width = points.shape[0], gram.shape[0]
    design = np.zeros((N_TOGETHER, width))
    for start in range(0, n, N_TOGETHER):
        for i in range(N_TOGETHER):
            if start + i < n:
                _fill(points, start + i, shift, n_ones, design[i])
            else:
                design[i, :] = 0.0
        for a in range(width):
            c0, c1, c2, c3 = design[0, a], design[1, a], design[2, a], design[3, a]
            c4, c5, c6, c7 = design[4, a], design[5, a], design[6, a], design[7, a]
            for b in range(a, width):
                gram[a, b] += (
                    ((c0 * design[0, b] + c1 * design[1, b]) + (c2 * design[2, b] + c3 * design[3, b]))
                    + ((c4 * design[4, b] + c5 * design[5, b]) + (c6 * design[6, b] + c7 * design[7, b]))
                )  # fmt: skip


@compiled
def add_count_sketch(points, keys, shift, n_ones, sketch):  # type: ignore[no-untyped-def]
    """Add cells to a CountSketch: each, with a random sign, to one random row.

    Parameters
    ----------
    keys
        uint64 [n]; a hash of them tells row and sign.
    sketch
        float64 [n_rows, n_ones + d], added to.
    """
    n_rows, width = sketch.shape
    design = np.empty(width)
    for i in range(points.shape[0]):
        mixed = _mixed(keys[i])
        row = np.int64(((mixed >> np.uint64(32)) * np.uint64(n_rows)) >> np.uint64(32))
        sign = 1.0 if mixed & np.uint64(1) else -1.0
        _fill(points, i, shift, n_ones, design)
        for j in range(width):
            sketch[row, j] += sign * design[j]


@compiled
def _mixed(key):  # type: ignore[no-untyped-def]
    """Return the finisher of splitmix64: what follows does not go with the order of the keys."""
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))


@compiled
def squared_lengths(points, shift, n_ones, whitening, scores):  # type: ignore[no-untyped-def]
    """Fill `scores`, float32 [n], with the squared length of each row of the design times `whitening`.

    Parameters
    ----------
    whitening
        float64 [n_ones + d, r].
    """
    width, rank = whitening.shape
    design, white = np.empty(width), np.empty(rank)
    for i in range(points.shape[0]):
        _fill(points, i, shift, n_ones, design)
        for j in range(rank):
            white[j] = 0.0
        for a in range(width):
            value = design[a]
            for j in range(rank):
                white[j] += value * whitening[a, j]
        total = 0.0
        for j in range(rank):
            total += white[j] * white[j]
        scores[i] = total
