"""Compiled loops of the search for nearest neighbours: a k-d tree in one array, and its search.

The tree is complete: at level l node i holds the points n·i/2^l … n·(i+1)/2^l of the order, and its children
are the two halves. Nodes are numbered as in a heap, the root 1, the children of k 2k and 2k + 1.
"""

from __future__ import annotations

import numba
import numpy as np

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")
#: Sums over dimensions may be taken several at a time.
summing = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})

#: Points of a node that tell along which dimension it is cut.
N_LOOKED_AT = 64


@compiled
def order_points(points, depth, order):  # type: ignore[no-untyped-def]
    """Put the points into the order of the tree.

    Parameters
    ----------
    points
        float32 [n, d].
    order
        int32 [n], the numbers 0 … n - 1; changed in place.
    """
    n, d = points.shape
    along = np.empty(n, np.float32)
    for level in range(depth):
        for node in range(1 << level):
            start, stop = (n * node) >> level, (n * (node + 1)) >> level
            middle = (n * (2 * node + 1)) >> (level + 1)
            if stop - start < 2:
                continue
            step = max(1, (stop - start) // N_LOOKED_AT)
            widest, widest_var = 0, -1.0
            for j in range(d):
                n_seen, total, squares = 0, 0.0, 0.0
                for i in range(start, stop, step):
                    value = float(points[order[i], j])
                    n_seen += 1
                    total += value
                    squares += value * value
                var = squares / n_seen - (total / n_seen) ** 2
                if var > widest_var:
                    widest, widest_var = j, var
            for i in range(start, stop):
                along[i] = points[order[i], widest]
            _halve(along, order, start, middle, stop)


@compiled
def _halve(along, order, start, middle, stop):  # type: ignore[no-untyped-def]
    """Put the smallest `middle` - `start` of a part first (Hoare's selection)."""
    low, high = start, stop - 1
    while low < high:
        a, b, c = along[low], along[(low + high) // 2], along[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while along[i] < pivot:
                i += 1
            while along[j] > pivot:
                j -= 1
            if i <= j:
                along[i], along[j] = along[j], along[i]
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            return


@compiled
def bound_nodes(points, depth, lower, upper):  # type: ignore[no-untyped-def]
    """Find the box around the points of every node.

    Parameters
    ----------
    points
        float32 [n, d], in the order of the tree.
    lower, upper
        float32 [2^(depth + 1), d], filled here.
    """
    n, d = points.shape
    n_leaves = 1 << depth
    for leaf in range(n_leaves):
        node = n_leaves + leaf
        lower[node, :] = np.inf
        upper[node, :] = -np.inf
        for i in range((n * leaf) >> depth, (n * (leaf + 1)) >> depth):
            for j in range(d):
                lower[node, j] = min(lower[node, j], points[i, j])
                upper[node, j] = max(upper[node, j], points[i, j])
    for node in range(n_leaves - 1, 0, -1):
        for j in range(d):
            lower[node, j] = min(lower[2 * node, j], lower[2 * node + 1, j])
            upper[node, j] = max(upper[2 * node, j], upper[2 * node + 1, j])


@summing
def _squared_to_box(probe, lower, upper):  # type: ignore[no-untyped-def]
    total = np.float32(0)
    for j in range(probe.size):
        outside = max(max(lower[j] - probe[j], probe[j] - upper[j]), np.float32(0))
        total += outside * outside
    return total


@summing
def _squared(a, b):  # type: ignore[no-untyped-def]
    total = np.float32(0)
    for j in range(a.size):
        difference = a[j] - b[j]
        total += difference * difference
    return total


@compiled
def search(points, rows, depth, lower, upper, probes, own, nearest, squared):  # type: ignore[no-untyped-def]
    """Find the point nearest to each probe, where it is nearer than the one that is known.

    Parameters
    ----------
    points, rows
        float32 [n, d] in the order of the tree; int64 [n], what each is.
    probes, own
        float32 [n_probes, d]; int64 [n_probes], a row that a probe must not find; -1 for none.
    nearest, squared
        int64 and float32 [n_probes]: the rows known so far, and how far; changed in place.
    """
    n = points.shape[0]
    n_leaves = 1 << depth
    # Rounding may put the box of a point a little beyond the point.
    slack = np.float32(1 - 1e-5)
    nodes = np.empty(2 * depth + 2, np.int64)
    bounds = np.empty(2 * depth + 2, np.float32)
    for p in range(probes.shape[0]):
        probe = probes[p]
        nodes[0], bounds[0], n_open = 1, _squared_to_box(probe, lower[1], upper[1]), 1
        while n_open:
            n_open -= 1
            node = nodes[n_open]
            if bounds[n_open] * slack >= squared[p]:
                continue
            if node >= n_leaves:
                leaf = node - n_leaves
                for i in range((n * leaf) >> depth, (n * (leaf + 1)) >> depth):
                    distance = _squared(points[i], probe)
                    if distance < squared[p] and rows[i] != own[p]:
                        squared[p], nearest[p] = distance, rows[i]
                continue
            left = _squared_to_box(probe, lower[2 * node], upper[2 * node])
            right = _squared_to_box(probe, lower[2 * node + 1], upper[2 * node + 1])
            # The nearer half is searched first: it is put on top.
            near = 2 * node if left <= right else 2 * node + 1
            nodes[n_open], bounds[n_open] = near ^ 1, max(left, right)
            nodes[n_open + 1], bounds[n_open + 1] = near, min(left, right)
            n_open += 2
