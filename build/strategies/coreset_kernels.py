"""Farthest-first traversal over a k-d tree, compiled; exact, and one cell after the other.

Distances are squared, float32, dimensions added one by one in their order, as a plain loop over cells would:
what is left out is only what cannot change. A node of the tree knows the farthest of its cells; a new centre
changes nothing in a node whose box is farther from it than that. Nodes are numbered as in a heap, root 1.
Cells stand in leaves, dimension by dimension, so that a leaf is compared at once. A cell that is no candidate
(any more) has the distance -1.
"""

from __future__ import annotations

import numba
import numpy as np

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")
#: Of bounds only, which have room for rounding.
summing = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})

#: Dimensions after which it is seen whether a sum has passed what it is compared with.
AT_ONCE = 8
NONE = np.float32(-1)


@compiled
def fill_leaves(points, order, place, leaves, places, squared):  # type: ignore[no-untyped-def]
    """Put the points [n, d] into the leaves in the order of the tree.

    Parameters
    ----------
    order
        int32 [n], of the points in the tree.
    place
        int32 [n], of each point in the order of keys.
    leaves, places, squared
        float32 [n_leaves, d, width], int32 and float32 [n_leaves, width]; filled here.
    """
    n, d = points.shape
    n_leaves, width = places.shape
    for leaf in range(n_leaves):
        start = n * leaf // n_leaves
        n_own = n * (leaf + 1) // n_leaves - start
        for p in range(width):
            places[leaf, p] = place[order[start + p]] if p < n_own else -1
            squared[leaf, p] = np.inf if p < n_own else NONE
        for p in range(n_own):
            for j in range(d):
                leaves[leaf, j, p] = points[order[start + p], j]


@compiled
def bound_leaves(leaves, places, boxes):  # type: ignore[no-untyped-def]
    """Find the box around the cells of every node: float32 [2 n_leaves, 2, d], lower and upper."""
    n_leaves, d, width = leaves.shape
    for leaf in range(n_leaves):
        for j in range(d):
            low, high = np.float32(np.inf), np.float32(-np.inf)
            for p in range(width):
                if places[leaf, p] >= 0:
                    low, high = min(low, leaves[leaf, j, p]), max(high, leaves[leaf, j, p])
            boxes[n_leaves + leaf, 0, j], boxes[n_leaves + leaf, 1, j] = low, high
    for node in range(n_leaves - 1, 0, -1):
        for j in range(d):
            boxes[node, 0, j] = min(boxes[2 * node, 0, j], boxes[2 * node + 1, 0, j])
            boxes[node, 1, j] = max(boxes[2 * node, 1, j], boxes[2 * node + 1, 1, j])


@summing
def _beyond(centre, box, least):  # type: ignore[no-untyped-def]
    """Return whether every point of a box is farther than `least`, rounding granted."""
    lower, upper = box[0], box[1]
    total = np.float32(0)
    for start in range(0, centre.size, 16):
        for j in range(start, min(start + 16, centre.size)):
            outside = max(max(lower[j] - centre[j], centre[j] - upper[j]), np.float32(0))
            total += outside * outside
        if total * np.float32(1 - 1e-5) >= least:
            return True
    return False


@compiled
def _settle_leaf(leaf, places, squared, far, best):  # type: ignore[no-untyped-def]
    """Find the farthest cell of a leaf: of equally far ones the first by place."""
    n_leaves, width = places.shape
    # As integers, floats from 0 have the same order, and the negative one is below.
    own = squared[leaf].view(np.int32)
    most = own[0]
    for p in range(width):
        most = max(most, own[p])
    first = -1
    for p in range(width):
        if own[p] == most and (first < 0 or places[leaf, p] < places[leaf, first]):
            first = p
    far[n_leaves + leaf], best[n_leaves + leaf] = squared[leaf, first], leaf * width + first


@compiled
def _settle_node(node, places, far, best):  # type: ignore[no-untyped-def]
    left, right = 2 * node, 2 * node + 1
    is_left = far[left] > far[right]
    if far[left] == far[right]:
        is_left = places.flat[best[left]] < places.flat[best[right]]
    chosen = left if is_left else right
    far[node], best[node] = far[chosen], best[chosen]


@compiled
def settle(places, squared, far, best):  # type: ignore[no-untyped-def]
    """Find the farthest cell of every node: float32 and int64 [2 n_leaves], its distance and its slot."""
    n_leaves = places.shape[0]
    for leaf in range(n_leaves):
        _settle_leaf(leaf, places, squared, far, best)
    for node in range(n_leaves - 1, 0, -1):
        _settle_node(node, places, far, best)


@compiled
def _set(slot, value, places, squared, far, best):  # type: ignore[no-untyped-def]
    """Give a cell a distance, and let the nodes above know."""
    n_leaves, width = places.shape
    leaf = slot // width
    squared[leaf, slot % width] = value
    _settle_leaf(leaf, places, squared, far, best)
    node = (n_leaves + leaf) >> 1
    while node:
        _settle_node(node, places, far, best)
        node >>= 1


@compiled
def _add(centre, leaves, boxes, places, squared, far, best, nodes, sums):  # type: ignore[no-untyped-def]
    """Bring the distances up to date with one more centre."""
    n_leaves, d, width = leaves.shape
    nodes[0], n_open = 1, 1
    while n_open:
        n_open -= 1
        node = nodes[n_open]
        if node < 0:  # both halves are done
            _settle_node(-node, places, far, best)
            continue
        if _beyond(centre, boxes[node], far[node]):
            continue
        if node < n_leaves:
            nodes[n_open], nodes[n_open + 1], nodes[n_open + 2] = -node, 2 * node + 1, 2 * node
            n_open += 3
            continue
        leaf = node - n_leaves
        own, block = squared[leaf], leaves[leaf]
        sums[:] = 0
        n_nearer = 1
        for start in range(0, d, AT_ONCE):
            for j in range(start, min(start + AT_ONCE, d)):
                at, values = centre[j], block[j]
                for p in range(width):
                    difference = values[p] - at
                    sums[p] += difference * difference
            n_nearer = 0
            for p in range(width):
                n_nearer += sums[p] < own[p]
            if n_nearer == 0:  # sums only grow
                break
        if n_nearer:
            for p in range(width):
                own[p] = min(own[p], sums[p])
            _settle_leaf(leaf, places, squared, far, best)


@compiled
def traverse(leaves, boxes, places, squared, far, best, chosen, radii):  # type: ignore[no-untyped-def]
    """Choose the farthest cell, again and again, until `chosen` is full or all that is left is at distance 0.

    Parameters
    ----------
    chosen, radii
        int32 and float32 [n]: places in the order in which they were chosen, and how far each was.

    Returns
    -------
    How many were chosen.
    """
    _, d, width = leaves.shape
    nodes, sums, centre = np.empty(200, np.int64), np.empty(width, np.float32), np.empty(d, np.float32)
    for t in range(chosen.size):
        if far[1] <= 0:
            return t
        slot = best[1]
        leaf, p = slot // width, slot % width
        chosen[t], radii[t] = places[leaf, p], far[1]
        centre[:] = leaves[leaf, :, p]
        _set(slot, NONE, places, squared, far, best)
        _add(centre, leaves, boxes, places, squared, far, best, nodes, sums)
    return chosen.size


@compiled
def add_others(  # type: ignore[no-untyped-def]
    centres, own_slots, leaves, boxes, places, squared, far, best
):
    """Bring the distances up to date with centres [m, d]; a cell is not near to itself.

    Parameters
    ----------
    own_slots
        int64 [m], where the centre itself stands; -1 where it does not.
    """
    nodes, sums = np.empty(200, np.int64), np.empty(leaves.shape[2], np.float32)
    for i in range(centres.shape[0]):
        slot = own_slots[i]
        before = squared.flat[slot] if slot >= 0 else NONE
        _add(centres[i], leaves, boxes, places, squared, far, best, nodes, sums)
        if slot >= 0:
            _set(slot, before, places, squared, far, best)


@compiled
def squared_to_own(points, first, own, centres, squared):  # type: ignore[no-untyped-def]
    """Write how far the cells from row `first` on are from the centre of each."""
    d = points.shape[1]
    for i in range(own.size):
        total = np.float32(0)
        for j in range(d):
            difference = points[first + i, j] - centres[own[i], j]
            total += difference * difference
        squared[i] = total
