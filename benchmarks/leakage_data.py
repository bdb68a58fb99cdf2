"""Simulated cells for the benchmark of the leakage guard: types, depths, and planted copies with noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

N_GENES, N_TYPES, MOLECULES = 20_000, 60, 2_500
NOISES = ("exact", "thinned to 80 %", "thinned to 80 %, 5 % of molecules replaced", "800 of the genes")
PANEL_GENES = 800
BLOCK_CELLS = 8192


@dataclass(frozen=True)
class World:
    """Cell types as profiles of expression.

    Types differ from a common profile by log-normal factors, most of them little, a tenth of the genes much;
    depths are log-normal around MOLECULES with a spread of 0.4.
    """

    cumulated: NDArray[np.float64]

    @classmethod
    def make(cls) -> World:
        """Make the types, always the same."""
        rng = np.random.default_rng(1)
        base = rng.normal(0, 2.2, N_GENES)
        little = rng.normal(0, 0.3, (N_TYPES, N_GENES))
        much = rng.normal(0, 1.5, (N_TYPES, N_GENES)) * (rng.random((N_TYPES, N_GENES)) < 0.1)
        profile = np.exp(base + little + much)
        return cls(np.cumsum(profile / profile.sum(axis=1, keepdims=True), axis=1))

    def cells(self, n: int, *, seed: int) -> sp.csr_array:
        """Draw cells."""
        rng = np.random.default_rng(seed)
        depths = np.maximum(200, MOLECULES * np.exp(rng.normal(0, 0.4, n))).astype(np.int64)
        types = rng.integers(N_TYPES, size=n)
        parts = _draw(self.cumulated, types, depths, rng.integers(2**31))
        return sp.csr_array((parts[2], parts[1], parts[0]), shape=(n, N_GENES))

    def blocks(self, n: int) -> Iterator[sp.csr_array]:
        """Draw the cells of a corpus in blocks."""
        for number, start in enumerate(range(0, n, BLOCK_CELLS)):
            yield self.cells(min(BLOCK_CELLS, n - start), seed=1000 + number)


def copies(cells: sp.csr_array, noise: str, *, seed: int) -> sp.csr_array:
    """Return noisy copies of cells."""
    rng = np.random.default_rng(seed)
    held = cells.copy()
    if noise.startswith("thinned"):
        held.data = rng.binomial(held.data.astype(np.int64), 0.8).astype(np.float32)
    if "replaced" in noise:
        held.data = rng.binomial(held.data.astype(np.int64), 0.95).astype(np.float32)
        totals = np.asarray(cells.sum(axis=1)).ravel()
        pool = np.asarray(cells.sum(axis=0)).ravel()
        ambient = [rng.choice(len(pool), size=int(0.04 * total), p=pool / pool.sum()) for total in totals]
        rows = np.repeat(np.arange(len(ambient)), [len(each) for each in ambient])
        ones = np.ones(len(rows), np.float32)
        held = sp.csr_array(held + sp.csr_array((ones, (rows, np.concatenate(ambient))), shape=held.shape))
    held.eliminate_zeros()
    held.sort_indices()
    held.indptr, held.indices = held.indptr.astype(np.int64), held.indices.astype(np.int64)
    return held


@numba.njit(cache=True, nogil=True)
def _draw(cumulated, types, depths, seed):  # type: ignore[no-untyped-def]
    np.random.seed(seed)  # noqa: NPY002 (numba's own state)
    n, n_genes = len(types), cumulated.shape[1]
    indptr = np.zeros(n + 1, np.int64)
    indices = np.empty(depths.sum(), np.int64)
    data = np.empty(depths.sum(), np.float32)
    np.zeros(n_genes, np.int64)
    at = 0
    for cell in range(n):
        profile = cumulated[types[cell]]
        # Sorted uniform numbers in one sweep: exponential gaps.
        gaps = np.random.exponential(1.0, depths[cell] + 1)  # noqa: NPY002
        total, run, gene = gaps.sum(), 0.0, 0
        last = -1
        for k in range(depths[cell]):
            run += gaps[k]
            while gene < n_genes - 1 and profile[gene] < run / total:
                gene += 1
            if gene != last:
                indices[at], data[at], last = gene, 0, gene
                at += 1
            data[at - 1] += 1
        indptr[cell + 1] = at
    return indptr, indices[:at].copy(), data[:at].copy()
