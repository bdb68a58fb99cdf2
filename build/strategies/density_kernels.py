"""Compiled loops of the search for the k nearest of a set of reference cells.

The references lie in leaves, each leaf one array of dimensions by cells, so that the cells of a leaf are
compared side by side: every distance is a sum over the dimensions in order, whatever the processor.
"""

from __future__ import annotations

import numba
import numpy as np

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


@compiled
def nearest_centers(points, centers, homes):  # type: ignore[no-untyped-def]
    """Fill `homes`, int32 [n], with the nearest of some centers, the first of equally near ones.

    Parameters
    ----------
    points, centers
        float32 [n, d]; float32 [d, n_leaves].
    """
    n_dims, n_leaves = centers.shape
    squared = np.empty(n_leaves, np.float32)
    for i in range(points.shape[0]):
        for leaf in range(n_leaves):
            squared[leaf] = np.float32(0)
        for j in range(n_dims):
            value = points[i, j]
            for leaf in range(n_leaves):
                difference = centers[j, leaf] - value
                squared[leaf] += difference * difference
        home, least = 0, squared[0]
        for leaf in range(1, n_leaves):
            if squared[leaf] < least:
                home, least = leaf, squared[leaf]
        homes[i] = home


@compiled
def nearest_references(  # type: ignore[no-untyped-def]
    points, own, order, homes, leaves, rows, near, lower, upper, n_searched, k, squared
):
    """Find the squared distances from cells to the nearest references other than themselves.

    Parameters
    ----------
    points, own
        float32 [n, d]; int64 [n], the row of each, which it must not find.
    order, homes
        int64 [n], the order in which to go through the points; int32 [n], the leaf of each.
    leaves, rows
        float32 [n_leaves, d, size], infinite where a leaf has fewer; int64 [n_leaves, size].
    near, lower, upper
        int32 [n_leaves, n_near], the leaves in which the cells of a leaf look; the boxes around these,
        float32 [n_leaves, d, n_near].
    n_searched
        Leaves to search at most, those of the nearest boxes first.
    squared
        float32 [n, m], filled with the m largest of the k least squared distances, ascending.
    """
    n_dims, size = leaves.shape[1], leaves.shape[2]
    n_near, n_kept = near.shape[1], squared.shape[1]
    bounds = np.empty(n_near, np.float32)
    found = np.empty(size, np.float32)
    best = np.empty(k, np.float32)
    zero = np.float32(0)
    for number in range(points.shape[0]):
        i = order[number]
        home = homes[i]
        for c in range(n_near):
            bounds[c] = zero
        for j in range(n_dims):
            value = points[i, j]
            for c in range(n_near):
                below, above = lower[home, j, c] - value, value - upper[home, j, c]
                outside = below if below > above else above
                outside = outside if outside > zero else zero
                bounds[c] += outside * outside
        for s in range(k):
            best[s] = np.inf
        for _ in range(n_searched):
            chosen, least = 0, bounds[0]
            for c in range(1, n_near):
                if bounds[c] < least:
                    chosen, least = c, bounds[c]
            if least >= best[k - 1]:
                break
            bounds[chosen] = np.inf
            leaf = near[home, chosen]
            for p in range(size):
                found[p] = zero
            for j in range(n_dims):
                value = points[i, j]
                for p in range(size):
                    difference = leaves[leaf, j, p] - value
                    found[p] += difference * difference
            last = best[k - 1]
            for p in range(size):
                if found[p] < last and rows[leaf, p] != own[i]:
                    s = k - 1
                    while s > 0 and best[s - 1] > found[p]:
                        best[s] = best[s - 1]
                        s -= 1
                    best[s] = found[p]
                    last = best[k - 1]
        for s in range(n_kept):
            squared[i, s] = best[k - n_kept + s]
