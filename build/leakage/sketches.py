"""Weighted min-hashes of the genes that cells detect: cells that are alike fall into one bucket.

One hash of a cell is the gene among those it detects that a random order, in which a gene of weight v comes
first with a chance in proportion to v, puts first. Two cells have the same hash with a chance of J, the
weighted Jaccard index of their genes. A band is k hashes together; cells meet when a band of theirs is equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np

from curate.build.leakage.packed import MAX_GENES, Packed

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_JACCARD = 0.6
"""The copies that must be met: two cells each thinned to 80 % of its counts have about this."""
MISSED = 0.01
"""Largest chance to miss a pair of LEAST_JACCARD."""
MOST_HASHES = 512
CANDIDATES = 64.0
"""Evaluation cells that a cell of the corpus should meet, at most, on average."""
_SEED = 20_260_131


@dataclass(frozen=True)
class Bands:
    """How many hashes are a band, and how many bands there are."""

    width: int
    n: int

    @property
    def n_hashes(self) -> int:
        """Hashes of one cell."""
        return self.width * self.n


def choose_bands(jaccards: NDArray[np.float64], *, n_cells: int) -> Bands:
    """Choose the narrowest bands at which distinct cells meet seldom enough.

    Parameters
    ----------
    jaccards
        Of pairs of distinct cells.
    n_cells
        Cells in the index.
    """
    for width in range(2, 17):
        n = math.ceil(math.log(MISSED) / math.log1p(-(LEAST_JACCARD**width)))
        if width * n > MOST_HASHES:
            break
        chosen = Bands(width, n)
        if n_cells * float(np.mean(1 - (1 - jaccards**width) ** n)) <= CANDIDATES:
            break
    return chosen


def gene_ranks(weights: NDArray[np.float64], n_hashes: int) -> NDArray[np.uint16]:
    """Return the place of each gene in the random order of each hash, uint16 [n_genes, n_hashes].

    Genes of weight 0 have no place: MAX_GENES. The order is an exponential race: gene g arrives after
    -log(u) / v. Always the same for the same weights.
    """
    rng = np.random.default_rng(_SEED)
    ranks = np.full((len(weights), n_hashes), MAX_GENES, np.uint16)
    running = np.flatnonzero(weights > 0)
    for number in range(n_hashes):
        arrival = rng.exponential(size=len(weights))[running] / weights[running]
        ranks[running[np.argsort(arrival, kind="stable")], number] = np.arange(len(running), dtype=np.uint16)
    return ranks


def band_keys(cells: Packed, ranks: NDArray[np.uint16], bands: Bands) -> NDArray[np.uint32]:
    """Return one key a band and cell, uint32 [n_bands, n_cells]; 0 for a cell without genes in the race."""
    keys = np.empty((bands.n, cells.n_cells), np.uint32)
    _keys(cells.indptr, cells.genes, ranks, bands.width, keys)
    return keys


@numba.njit(cache=True, nogil=True)
def _keys(indptr, genes, ranks, width, keys):  # type: ignore[no-untyped-def]
    first = np.empty(ranks.shape[1], np.uint16)
    for cell in range(len(indptr) - 1):
        least_ranks(genes, indptr[cell], indptr[cell + 1], ranks, first)
        for band in range(keys.shape[0]):
            keys[band, cell] = band_key(first, band, width)


@numba.njit(cache=True, nogil=True)
def least_ranks(genes, start, stop, ranks, first):  # type: ignore[no-untyped-def]
    """Write the smallest rank of a cell's genes in each order into `first`."""
    first[:] = np.uint16(65535)
    n = len(first)
    for at in range(start, stop):
        row = ranks[genes[at]]
        for number in range(n):
            first[number] = min(first[number], row[number])


@numba.njit(cache=True, nogil=True)
def band_key(first, band, width):  # type: ignore[no-untyped-def]
    """Return the key of a band of smallest ranks, never 0 unless the cell has none."""
    z = np.uint64(band + 1)
    for number in range(band * width, (band + 1) * width):
        if first[number] == np.uint16(65535):
            return np.uint32(0)
        z = (z ^ np.uint64(first[number])) * np.uint64(0xBF58476D1CE4E5B9)
        z ^= z >> np.uint64(29)
    z *= np.uint64(0x94D049BB133111EB)
    return np.uint32(z >> np.uint64(32)) | np.uint32(1)
