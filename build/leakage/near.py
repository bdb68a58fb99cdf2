"""Cells that detect nearly the same genes: an index over evaluation cells, searched with cells of the corpus.

Only which genes a cell detects is looked at, never how much of them: that survives normalisation and
logarithms as it is, thinning and another quantification nearly. The score of two cells is the cosine of their
detected genes, each weighted by how rarely it is detected: with p the share of the evaluation cells that
detect a gene, the gene counts log(1/p)^2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np

from curate.build.leakage.nulls import Null
from curate.build.leakage.sketches import Bands, band_key, band_keys, choose_bands, gene_ranks, least_ranks

if TYPE_CHECKING:
    import scipy.sparse as sp
    from numpy.typing import NDArray

    from curate.build.leakage.packed import Packed

LEAST_SCORE = 0.7
"""No pair below this is looked at: a copy thinned to 80 % scores 0.9, two such copies of one cell 0.8."""
KEPT_A_CELL = 8
"""Best pairs that are kept of a cell of the corpus, and as many of equal counts."""


@dataclass(frozen=True)
class NearIndex:
    """Evaluation cells over some shared genes, ready to be searched.

    Attributes
    ----------
    shared
        bool [n_genes], the genes that both sides measured.
    weights
        float64 [n_genes], 0 for genes that are not shared.
    norms
        float64 [n_cells], weight of the genes of each evaluation cell.
    """

    cells: Packed
    shared: NDArray[np.bool_]
    weights: NDArray[np.float64]
    norms: NDArray[np.float64]
    null: Null
    bands: Bands
    ranks: NDArray[np.uint16]
    starts: NDArray[np.int64]
    members: NDArray[np.int32]
    keys: NDArray[np.uint32]

    @classmethod
    def of(
        cls,
        cells: Packed,
        shared: NDArray[np.bool_],
        *,
        n_compared: int,
        usable: NDArray[np.bool_] | None = None,
    ) -> NearIndex:
        """Index evaluation cells.

        Memory: 8 bytes a cell and band, 2 bytes a gene and hash, and the null's sample (4 KB a gene).

        Parameters
        ----------
        n_compared
            Cells of the corpus that will be searched with, for the number of false hits to expect.
        usable
            bool [n_cells], those that detect enough to be decided, for the same; all by default.
        """
        weights = gene_nats(cells, shared) ** 2
        if usable is None:
            usable = np.ones(cells.n_cells, np.bool_)
        null = Null.of(cells, weights, usable, n_compared=n_compared)
        bands = choose_bands(null.jaccards, n_cells=cells.n_cells)
        ranks = gene_ranks(weights, bands.n_hashes)
        starts, members, keys = _buckets(band_keys(cells, ranks, bands))
        return cls(
            cells=cells,
            shared=shared,
            weights=weights,
            norms=cells.row_sums(weights),
            null=null,
            bands=bands,
            ranks=ranks,
            starts=starts,
            members=members,
            keys=keys,
        )

    def search(
        self, counts: sp.csr_array
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """Return the pairs of at least LEAST_SCORE: row of `counts`, evaluation cell, score.

        Parameters
        ----------
        counts
            [n, n_genes] of cells of the corpus, without explicit zeros.
        """
        n = counts.shape[0]
        best = np.full((n, KEPT_A_CELL), -1, np.int32)
        scores = np.zeros((n, KEPT_A_CELL), np.float32)
        _search(
            counts.indptr,
            counts.indices,
            self.weights,
            self.ranks,
            self.bands.width,
            self.starts,
            self.members,
            self.keys,
            self.cells.indptr,
            self.cells.genes,
            self.norms,
            LEAST_SCORE,
            best,
            scores,
        )
        row, place = np.nonzero(best >= 0)
        return row, best[row, place], scores[row, place]


def gene_nats(cells: Packed, shared: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return what detecting a gene says, -log of the share of cells that do, float64 [n_genes].

    It is 0 for genes that are not shared.
    """
    return np.where(shared, -np.log((cells.detected_in() + 0.5) / (cells.n_cells + 1)), 0.0)


def _buckets(
    keys: NDArray[np.uint32],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint32]]:
    """Sort the cells of each band by the first bits of their keys: where a bucket starts, who is in it."""
    n_bands, n_cells = keys.shape
    bits = max(1, min(24, int(n_cells).bit_length()))
    starts = np.empty((n_bands, 2**bits + 1), np.int64)
    members = np.empty((n_bands, n_cells), np.int32)
    for band in range(n_bands):
        order = np.argsort(keys[band], kind="stable")
        members[band] = order
        keys[band] = keys[band][order]
        starts[band] = np.searchsorted(keys[band] >> np.uint32(32 - bits), np.arange(2**bits + 1))
    return starts, members, keys


@numba.njit(cache=True, nogil=True)
def _search(  # type: ignore[no-untyped-def]
    indptr, indices, weights, ranks, width, starts, members, keys, of_x, genes_x, norms, least, best, scores
):
    n_bands, n_x = members.shape
    bits = np.uint32(0)
    while 2 ** int(bits) < starts.shape[1] - 1:
        bits += np.uint32(1)
    held = np.zeros(len(weights))
    met_by = np.full(n_x, -1, np.int64)
    first = np.empty(ranks.shape[1], np.uint16)
    n_kept = best.shape[1]
    for cell in range(best.shape[0]):
        norm = 0.0
        for at in range(indptr[cell], indptr[cell + 1]):
            gene = indices[at]
            held[gene] = weights[gene]
            norm += weights[gene]
        least_ranks(indices, indptr[cell], indptr[cell + 1], ranks, first)
        for band in range(n_bands):
            key = band_key(first, band, width)
            if key == 0:
                break
            bucket = key >> (np.uint32(32) - bits)
            for at in range(starts[band, bucket], starts[band, bucket + 1]):
                x = members[band, at]
                if keys[band, at] != key or met_by[x] == cell:
                    continue
                met_by[x] = cell
                # The overlap is at most the smaller of the two.
                small, large = min(norm, norms[x]), max(norm, norms[x])
                if small < least * least * large:
                    continue
                overlap = 0.0
                for k in range(of_x[x], of_x[x + 1]):
                    overlap += held[genes_x[k]]
                score = overlap / np.sqrt(norm * norms[x])
                if score < least:
                    continue
                place = n_kept
                # Equal scores: the evaluation cell that comes first stays first.
                while place > 0 and (
                    best[cell, place - 1] < 0
                    or scores[cell, place - 1] < np.float32(score)
                    or (scores[cell, place - 1] == np.float32(score) and best[cell, place - 1] > x)
                ):
                    place -= 1
                if place < n_kept:
                    for k in range(n_kept - 1, place, -1):
                        best[cell, k] = best[cell, k - 1]
                        scores[cell, k] = scores[cell, k - 1]
                    best[cell, place] = x
                    scores[cell, place] = np.float32(score)
        for at in range(indptr[cell], indptr[cell + 1]):
            held[indices[at]] = 0.0
