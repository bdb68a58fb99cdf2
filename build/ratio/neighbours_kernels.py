"""Compiled search of two samples, kept in the same lists, each of what lies nearest to one centre."""

from __future__ import annotations

import numpy as np

from curate.build.diversity.neighbours_kernels import compiled, summing


@summing
def _squared(a, b):  # type: ignore[no-untyped-def]
    total = np.float32(0)
    for j in range(a.size):
        difference = a[j] - b[j]
        total += difference * difference
    return total


@compiled
def nearest_centre(centres, points, nearest):  # type: ignore[no-untyped-def]
    """Find the nearest centre of each point; of equals the first.

    Parameters
    ----------
    centres, points
        float32 [n_centres, d] and [n, d].
    nearest
        int64 [n], filled here.
    """
    for p in range(points.shape[0]):
        least = np.float32(np.inf)
        nearest[p] = 0
        for c in range(centres.shape[0]):
            distance = _squared(centres[c], points[p])
            if distance < least:
                least, nearest[p] = distance, c


@compiled
def _replace_largest(heap, value):  # type: ignore[no-untyped-def]
    """Put a value in the place of the largest of a heap."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= heap.size:
            break
        if child + 1 < heap.size and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= value:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = value


@compiled
def count_within_kth(centres, corpus, corpus_starts, reference, reference_starts, cells, k, n_lists, counts):  # type: ignore[no-untyped-def]
    """Count the reference cells not farther than the k-th nearest corpus cell, in the nearest lists.

    Parameters
    ----------
    centres
        float32 [n_centres, d].
    corpus, corpus_starts, reference, reference_starts
        float32 [n, d], ordered by list; int64 [n_centres + 1], where each list begins and the last one ends.
        The corpus has at least `k`.
    cells
        float32 [n_cells, d].
    n_lists
        Lists to look into at least; more where these hold fewer than `k` of the corpus.
    counts
        int64 [n_cells], filled here.
    """
    n_centres = centres.shape[0]
    far = np.empty(n_centres, np.float32)
    opened = np.empty(n_centres, np.int64)
    heap = np.empty(k, np.float32)
    for p in range(cells.shape[0]):
        cell = cells[p]
        for c in range(n_centres):
            far[c] = _squared(centres[c], cell)
        heap[:] = np.inf
        n_opened, n_seen = 0, 0
        while n_opened < n_centres and (n_opened < n_lists or n_seen < k):
            c = int(np.argmin(far))
            far[c] = np.inf
            opened[n_opened] = c
            n_opened += 1
            n_seen += corpus_starts[c + 1] - corpus_starts[c]
            for i in range(corpus_starts[c], corpus_starts[c + 1]):
                distance = _squared(corpus[i], cell)
                if distance < heap[0]:
                    _replace_largest(heap, distance)
        reach, count = heap[0], 0
        for o in range(n_opened):
            c = opened[o]
            for i in range(reference_starts[c], reference_starts[c + 1]):
                if _squared(reference[i], cell) <= reach:
                    count += 1
        counts[p] = count
