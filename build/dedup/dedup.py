"""Cells that lie next to one that stays, in an embedding: thinned before any strategy (SemDeDup).

1. every vector is scaled to length 1;
2. each cell is put into the nearest of many clusters by direction, and into the seven next as a guest;
3. cluster by cluster, in the order of the keys, a cell stays unless one that stays already is too similar;
4. those that stay of a cluster drop the guests that are too similar to them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from curate.build.dedup.cells import Cells
from curate.build.dedup.clusters import Clusters
from curate.build.dedup.kernels import by_code, thin
from curate.build.exclusions import Exclusion
from curate.errors import SelectionError
from curate.identity import cell_keys
from curate.progress import progress
from curate.threads import ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from curate.build.embeddings.embedding import Embedding
    from curate.build.exclusions import Mask
    from curate.corpus import Corpus

REASON = "near-duplicate in the embedding"
METHOD_VERSION = 1
"""Enters manifests: another number when other cells would stay."""
CLUSTER_CELLS = 2048
_SLACK = 1e-5
"""More than products of 32-bit vectors of length 1 err by; closer calls are made in 64 bits."""
_BATCH = 1024


def near_duplicates(embedding: Embedding, above: float) -> Exclusion:
    """Return the exclusion of near-duplicates, for `build`, where it comes last.

    Which cells stay does not depend on the seed of a choice, so that sizes and seeds share them.

    Parameters
    ----------
    above
        Cosine similarity, between 0 and 1, above which two cells are near-duplicates; see `find_near`.

    Raises
    ------
    SelectionError
        When `above` does not lie between 0 and 1.
    EmbeddingError
        When the exclusion has its turn and the values are not those recorded.
    """
    check_above(above)

    def drop(corpus: Corpus, kept: Mask) -> Mask:
        embedding.verify()
        rows = np.flatnonzero(kept)
        keys = cell_keys(corpus.identity()[rows], seed=0, purpose="dedup")
        dropped = np.zeros(corpus.n_cells, dtype=np.bool_)
        with progress("Looking for near-duplicates", rows.size, unit="cells") as advance:
            dropped[rows] = find_near(embedding.values, keys, above=above, rows=rows, advance=advance)
        return dropped

    parameters = {"cosine_above": float(above), "embedding": embedding.id, "method_version": METHOD_VERSION}
    label = f"near-duplicates above {above:g} in {embedding.name}"
    return Exclusion(REASON, parameters, drop, label=label, is_last=True)


def check_above(above: float) -> None:
    """Refuse a similarity that does not lie between 0 and 1.

    Raises
    ------
    SelectionError
        With the number.
    """
    if not 0 < above < 1:
        raise SelectionError(
            f"dedup: cosine {above:g} tells no near-duplicates; give one above 0 and below 1, such as 0.95"
        )


def find_near(
    values: NDArray[np.float32],
    keys: NDArray[np.uint64],
    *,
    above: float,
    rows: NDArray[np.int64] | None = None,
    cluster_cells: int = CLUSTER_CELLS,
    n_threads: int | None = None,
    advance: Callable[[int], None] = lambda n: None,
) -> NDArray[np.bool_]:
    """Find cells to drop so that of like cells one stays.

    A cell is dropped when its cosine similarity to a cell that stays is above `above`: each dropped cell has
    such a one. Two cells that both stay are no more similar than that, unless the cluster of the first is not
    among the eight nearest to the second: of 200,000 cells of 50 dimensions less than 1 in 1,000 has such a
    neighbour above 0.95, 3 in 100 above 0.8. Up to `cluster_cells` cells are one cluster.

    Where SemDeDup keeps the cell farthest from the centre of its cluster, the one with the smallest key stays
    here (of groups on the border of two clusters, in the first of these): any of them, that is. Cells far out
    are doublets and broken cells as often as rare ones.

    Parameters
    ----------
    values
        float32 [n_corpus, d], memory-mapped or not.
    keys
        uint64 [n], one random key a cell, which decides who stays.
    above
        In (0, 1).
    rows
        int64 [n], the rows of `values` among which to look; all by default.
    cluster_cells
        Cells of a mean cluster.
    n_threads
        By default the processors that there are. It changes nothing, nor does the order of the cells.
    advance
        Called with the number of cells decided since.

    Returns
    -------
    bool [n]

    Raises
    ------
    SelectionError
        When `above` does not lie between 0 and 1, or a vector is not finite.

    Notes
    -----
    Memory: about 80 bytes a cell, and the vectors of one cluster and its guests. A vector of length 0 has no
    direction and is like others of length 0 alone.

    References
    ----------
    Abbas et al., SemDeDup: data-efficient learning at web-scale through semantic deduplication, 2023,
    arXiv 2303.09540.
    """
    check_above(above)
    cells = Cells(values, np.arange(keys.size) if rows is None else rows, keys)
    clusters = Clusters.fit(cells, cluster_cells=cluster_cells)
    nearest = clusters.nearest(cells, n_threads=n_threads or os.cpu_count() or 1)
    dropped = np.zeros(keys.size, dtype=np.bool_)
    lone = np.flatnonzero(nearest[:, 0] < 0)
    dropped[cells.by_key(lone)[1:]] = True
    advance(lone.size)
    homes = _Members(*by_code(nearest[:, :1], clusters.n))
    # A guest comes later in the order than those it is compared with.
    nearest[:, 1:][nearest[:, 1:] > nearest[:, :1]] = -1
    guests = _Members(*by_code(nearest[:, 1:], clusters.n))
    del nearest
    with threadpool_limits(limits=1, user_api="blas"):
        for home, guest in ahead(_gathered(cells, homes, guests, dropped, n=clusters.n)):
            own = home.left(dropped)
            stays = _thinned(own.units, above)
            dropped[own.places[~stays]] = True
            theirs = guest.left(dropped)
            dropped[theirs.places[_is_near(theirs.units, own.units[stays], above)]] = True
            advance(home.n)
    return dropped


@dataclass(frozen=True)
class _Members:
    starts: NDArray[np.int64]
    members: NDArray[np.int32]

    def of(self, cluster: int) -> NDArray[np.int64]:
        """Return the places of its cells, ascending."""
        return self.members[self.starts[cluster] : self.starts[cluster + 1]].astype(np.int64)


@dataclass(frozen=True)
class _Gathered:
    """Cells and their vectors of length 1; `n` with those that were dropped before they were gathered."""

    places: NDArray[np.int64]
    units: NDArray[np.float32]
    n: int

    def left(self, dropped: NDArray[np.bool_]) -> _Gathered:
        """Return those that have not been dropped since."""
        is_left = ~dropped[self.places]
        return _Gathered(self.places[is_left], self.units[is_left], self.n)


def _gathered(
    cells: Cells, homes: _Members, guests: _Members, dropped: Mask, *, n: int
) -> Iterator[tuple[_Gathered, _Gathered]]:
    """Yield the cells of each cluster in the order of their keys, and its guests."""
    for cluster in range(n):
        home, guest = homes.of(cluster), guests.of(cluster)
        own, theirs = cells.by_key(home[~dropped[home]]), guest[~dropped[guest]]
        yield (
            _Gathered(own, cells.units(own), home.size),
            _Gathered(theirs, cells.units(theirs), guest.size),
        )


def _thinned(units: NDArray[np.float32], above: float) -> NDArray[np.bool_]:
    """Return which of some cells stay: each is compared with those before it that do."""
    stays = np.zeros(len(units), dtype=np.bool_)
    start = 0
    while start < len(units):
        stop = min(len(units), start + min(max(start, 64), _BATCH))
        part = units[start:stop]
        is_open = np.flatnonzero(~_is_near(part, units[:start][stays[:start]], above))
        stays[start + is_open] = thin(_pairs_near(part[is_open], above))
        start = stop
    return stays


def _is_near(units: NDArray[np.float32], others: NDArray[np.float32], above: float) -> NDArray[np.bool_]:
    """Return which of some cells are too similar to one of the others."""
    near = np.zeros(len(units), dtype=np.bool_)
    if len(others) == 0:
        return near
    for start in range(0, len(units), _BATCH):
        part = units[start : start + _BATCH]
        most = (part @ others.T).max(axis=1)
        near[start : start + _BATCH] = most > above + _SLACK
        close = np.flatnonzero(np.abs(most - above) <= _SLACK)
        if close.size:
            exact = part[close].astype(np.float64) @ others.astype(np.float64).T
            near[start + close] = (exact > above).any(axis=1)
    return near


def _pairs_near(units: NDArray[np.float32], above: float) -> NDArray[np.bool_]:
    """Return which pairs of some cells are too similar, bool [n, n]."""
    similar = units @ units.T
    near: NDArray[np.bool_] = similar > above
    first, second = np.nonzero(np.abs(similar - above) <= _SLACK)
    if first.size:
        wide = units.astype(np.float64)
        near[first, second] = np.einsum("ij,ij->i", wide[first], wide[second]) > above
    return near
