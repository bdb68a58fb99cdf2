"""Random Fourier features and the greedy choices of kernel herding, compiled.

Every sum is float32 or float64 in a stated order, without fused or reordered arithmetic and without library
functions, so that a choice comes out the same on every machine.
"""

from __future__ import annotations

import numba
import numpy as np

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")

#: Frequencies are made in multiples of so many, which vectors of every machine divide.
LANES = 16
#: Adding it to a float32 and taking it away again rounds to a whole number.
_ROUND = np.float32(1.5 * 2**23)
# cos(2 pi r) and sin(2 pi r) / r on -1/2 … 1/2 as polynomials in r²; the largest error is 8e-7.
_C0, _C1, _C2 = np.float32(0.999999225), np.float32(-19.7389832), np.float32(64.9287338)
_C3, _C4, _C5 = np.float32(-85.2724457), np.float32(58.7942238), np.float32(-21.0770512)
_S0, _S1, _S2 = np.float32(6.28318501), np.float32(-41.3415909), np.float32(81.5999756)
_S3, _S4, _S5 = np.float32(-76.61483), np.float32(41.3444901), np.float32(-12.4738026)
_HALF = np.float32(0.5)


@compiled
def fourier_features(points, rows, centre, frequencies, features):  # type: ignore[no-untyped-def]
    """Write the cosines, then the sines of the frequencies at some rows.

    Parameters
    ----------
    points, rows
        float32 [n_cells, d]; int64 [m].
    centre
        float32 [d], taken from each point, so that large values lose no digits.
    frequencies
        float32 [d, n_frequencies], in turns.
    features
        float32 [m, 2 n_frequencies], filled here; rows of length 1.
    """
    d, n_frequencies = frequencies.shape
    turns = np.empty(n_frequencies, np.float32)
    scale = np.float32(1 / np.sqrt(n_frequencies))
    paired = d - d % 2
    for i in range(rows.size):
        point = points[rows[i]]
        turns[:] = 0
        for k in range(0, paired, 2):
            x, y = point[k] - centre[k], point[k + 1] - centre[k + 1]
            first, second = frequencies[k], frequencies[k + 1]
            for j in range(n_frequencies):
                turns[j] = (turns[j] + x * first[j]) + y * second[j]
        if paired < d:
            x, first = point[paired] - centre[paired], frequencies[paired]
            for j in range(n_frequencies):
                turns[j] += x * first[j]
        cosines, sines = features[i, :n_frequencies], features[i, n_frequencies:]
        for j in range(n_frequencies):
            r = turns[j] - ((turns[j] + _ROUND) - _ROUND)
            # Turns beyond 2^22 have no digits left; what they give is at least bounded.
            r = min(max(r, -_HALF), _HALF)
            z = r * r
            cosine = _C0 + z * (_C1 + z * (_C2 + z * (_C3 + z * (_C4 + z * _C5))))
            sine = r * (_S0 + z * (_S1 + z * (_S2 + z * (_S3 + z * (_S4 + z * _S5)))))
            cosines[j], sines[j] = scale * cosine, scale * sine


@compiled
def add_groups(features, ends, sums):  # type: ignore[no-untyped-def]
    """Write the sum of the features of each group, float64 [n_groups, D].

    Parameters
    ----------
    ends
        int64 [n_groups], where each group of rows ends.
    """
    start = 0
    for group in range(ends.size):
        total = sums[group]
        total[:] = 0
        for i in range(start, ends[group]):
            row = features[i]
            for j in range(total.size):
                total[j] += row[j]
        start = ends[group]


@compiled
def herd(features, ends, sums, share, owed, chosen):  # type: ignore[no-untyped-def]
    """Choose one row of each group, the one that leaves the least owed.

    Parameters
    ----------
    features, ends, sums
        As of `add_groups`.
    share
        Of the cells that are chosen.
    owed
        float64 [D]: `share` times the features of the cells seen so far, less those of the chosen ones;
        brought up to date here.
    chosen
        int64 [n_groups], rows of `features`; of equally good ones the first.
    """
    n_features = owed.size
    narrow, products = np.empty(n_features, np.float32), np.empty(n_features, np.float32)
    start = 0
    for group in range(ends.size):
        for j in range(n_features):
            owed[j] += share * sums[group, j]
            narrow[j] = owed[j]
        best, most = start, np.float32(-np.inf)
        for i in range(start, ends[group]):
            value = _product(features[i], narrow, products)
            if value > most:
                best, most = i, value
        for j in range(n_features):
            owed[j] -= features[best, j]
        chosen[group] = best
        start = ends[group]


@compiled
def _product(a, b, products):  # type: ignore[no-untyped-def]
    """Return the inner product, added up by halves as long as these are even."""
    width = a.size // 2
    for j in range(width):
        products[j] = a[j] * b[j] + a[j + width] * b[j + width]
    while width % 2 == 0 and width > LANES:
        width //= 2
        for j in range(width):
            products[j] += products[j + width]
    total = np.float32(0)
    for j in range(width):
        total += products[j]
    return total
