"""All distances between cells, in one pass that keeps none of them: neighbours and silhouettes.

The matrix is made in blocks of rows, each by one thread, so that the numbers do not depend on how many there
are. Distances are exact: scib-metrics finds its neighbours approximately.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
from threadpoolctl import threadpool_limits

from curate.threads import mapped

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from numpy.typing import NDArray

    Made = TypeVar("Made")

BLOCK: Final = 256
"""Rows of a block; so many times 8 n bytes for each thread."""
N_THREADS: Final = 2


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The nearest cells of each cell, itself first.

    Attributes
    ----------
    indices
        int64 [n_cells, k]; of equally distant cells the first.
    distances
        float64 [n_cells, k], ascending.
    """

    indices: NDArray[np.int64]
    distances: NDArray[np.float64]

    @property
    def k(self) -> int:
        """How many, the cell itself counted."""
        return int(self.indices.shape[1])

    def nearest(self, k: int) -> Neighbors:
        """Return the nearest of them, all where there are no more."""
        return Neighbors(self.indices[:, :k], self.distances[:, :k])


@dataclass(frozen=True, eq=False)
class Geometry:
    """What the distances of an embedding say.

    Attributes
    ----------
    neighbors
        Of each cell.
    of_labels, of_batches
        float64 [n_cells], silhouettes with regard to labels, and to batches, of all cells; 0 where a cell is
        alone in its group.
    of_batches_in_labels
        Silhouettes with regard to batches among the cells of a label; NaN where these are of one batch, or
        each of another.
    """

    neighbors: Neighbors
    of_labels: NDArray[np.float64]
    of_batches: NDArray[np.float64]
    of_batches_in_labels: NDArray[np.float64]


def neighbors_of(vectors: NDArray[np.floating], k: int) -> Neighbors:
    """Return the `k` nearest cells of each cell (Euclidean), itself counted.

    Parameters
    ----------
    vectors
        [n_cells, d], finite, n_cells >= k.
    """
    centred = _centred(vectors)
    blocks = _blocks(centred, partial(_nearest, k=k))
    return Neighbors(*(np.concatenate(each) for each in zip(*blocks, strict=True)))


def geometry(
    vectors: NDArray[np.floating], labels: NDArray[np.int64], batches: NDArray[np.int64], *, n_neighbors: int
) -> Geometry:
    """Return neighbours and silhouettes (Rousseeuw 1987, doi 10.1016/0377-0427(87)90125-7).

    Time grows as n² d. Memory: 16 n bytes for each row of a block and thread, and the neighbours.

    Parameters
    ----------
    vectors
        [n_cells, d], finite.
    labels, batches
        int64 [n_cells], numbers from 0, all of which occur.
    n_neighbors
        The cell itself counted; at most n_cells.
    """
    n_batches = int(batches.max()) + 1
    pairs = labels * n_batches + batches
    # Sorted by label, then batch: sums over a group are sums over a range.
    order = np.argsort(pairs, kind="stable")
    present, starts, sizes = np.unique(pairs[order], return_index=True, return_counts=True)
    groups = _Groups(labels[order], batches[order], present // n_batches, present % n_batches, starts, sizes)
    found = _blocks(_centred(vectors[order]), partial(_seen, groups=groups, k=n_neighbors, order=order))
    indices, distances, *silhouettes = (np.concatenate(each) for each in zip(*found, strict=True))
    back = np.argsort(order)
    return Geometry(Neighbors(indices[back], distances[back]), *(each[back] for each in silhouettes))


@dataclass(frozen=True, eq=False)
class _Groups:
    """Pairs of label and batch that occur: of each cell, and of each pair where it begins, its size."""

    labels: NDArray[np.int64]
    batches: NDArray[np.int64]
    label_of: NDArray[np.int64]
    batch_of: NDArray[np.int64]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]


def _centred(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return vectors about their mean: the smaller they are, the less cancels in their distances."""
    return np.asarray(vectors - vectors.mean(axis=0, dtype=np.float64), np.float64)


def _blocks(vectors: NDArray[np.float64], use: Callable[[NDArray[np.float64], int], Made]) -> list[Made]:
    """Return what `use` makes of each block of rows of the distances."""
    squares = np.einsum("ij,ij->i", vectors, vectors)
    n = len(vectors)

    def made(first: int) -> Made:
        rows = slice(first, min(first + BLOCK, n))
        d = vectors[rows] @ vectors.T
        d *= -2
        d += squares[rows, None]
        d += squares
        np.maximum(d, 0, out=d)
        np.sqrt(d, out=d)
        here = np.arange(rows.start, rows.stop)
        d[here - first, here] = 0
        return use(d, first)

    # One thread a product: the order of its sums may depend on their number.
    with threadpool_limits(1):
        return list(mapped(made, range(0, n, BLOCK), n_threads=N_THREADS))


def _nearest(d: NDArray[np.float64], first: int, *, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    n_rows = np.arange(len(d))
    d[n_rows, first + n_rows] = -1
    found = np.sort(np.argpartition(d, k - 1, axis=1)[:, :k], axis=1) if k < d.shape[1] else None
    if found is None:
        found = np.broadcast_to(np.arange(k), (len(d), k))
    near = np.take_along_axis(d, found, axis=1)
    by_distance = np.argsort(near, axis=1, kind="stable")
    d[n_rows, first + n_rows] = 0
    return np.take_along_axis(found, by_distance, 1), np.maximum(np.take_along_axis(near, by_distance, 1), 0)


def _seen(
    d: NDArray[np.float64], first: int, *, groups: _Groups, k: int, order: NDArray[np.int64]
) -> tuple[
    NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]
]:
    """Return neighbours and the three silhouettes of a block of rows."""
    indices, distances = _nearest(d, first, k=k)
    own = slice(first, first + len(d))
    sums = np.add.reduceat(d, groups.starts, axis=1)
    labels, batches = groups.labels[own], groups.batches[own]
    in_labels = np.full(len(d), np.nan)
    for label in np.unique(labels):
        cells, pairs = labels == label, groups.label_of == label
        n_pairs, n_cells = int(pairs.sum()), int(groups.sizes[pairs].sum())
        if 1 < n_pairs < n_cells:
            mine = np.searchsorted(groups.batch_of[pairs], batches[cells])
            in_labels[cells] = _silhouettes(sums[np.ix_(cells, pairs)], groups.sizes[pairs], mine)
    return (
        order[indices],
        distances,
        _silhouettes(*_by(groups.label_of, sums, groups.sizes), labels),
        _silhouettes(*_by(groups.batch_of, sums, groups.sizes), batches),
        in_labels,
    )


def _by(
    group: NDArray[np.int64], sums: NDArray[np.float64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Add up the columns of each group."""
    is_of = group == np.arange(group.max() + 1)[:, None]
    return sums @ is_of.T.astype(np.float64), is_of @ sizes


def _silhouettes(
    sums: NDArray[np.float64], sizes: NDArray[np.int64], own: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return silhouettes from sums of distances [b, n_groups] to the cells of groups, and the own group."""
    rows = np.arange(len(own))
    n_others = sizes[own] - 1
    within = sums[rows, own] / np.maximum(n_others, 1)
    means = sums / sizes
    means[rows, own] = np.inf
    between = means.min(axis=1)
    larger = np.maximum(within, between)
    found = np.divide(between - within, larger, out=np.zeros(len(own)), where=larger > 0)
    return np.where(n_others > 0, found, 0.0)
