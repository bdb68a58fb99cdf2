"""How alike two distinct cells are, by the evaluation set itself, and the score from which a pair counts.

The other cells of an evaluation set are the hardest null that there is: cells of the same donors, batches and
types, and yet others. For an evaluation cell x let r be the score of the nearest of them. A pair (x, y) with
score s has the excess

    e = (s - r) / (1 - r),

0 for a cell that is no more like x than its nearest neighbour, 1 for a copy. A pair counts from e = 0.5, or
from a higher excess, where the tail of e among distinct cells, seen in a sample, says that so many
comparisons would bring a false hit. That tail is taken of cells that detect enough to be decided: of two
cells with a handful of genes each, half of one may be in the other by chance, and such pairs are left to
`evidence`, which refuses them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.build.leakage.packed import Packed

LEAST_EXCESS = 0.5
"""A pair must be nearer to a copy than to the nearest distinct cell."""
LEAST_NEAREST = 0.4
"""Taken as the nearest score at the least, so that a cell whose like the sample lacks needs 0.7 still."""
MOST_NEAREST = 0.8
"""Above this, distinct cells are as alike as copies are: the cell cannot be decided."""
FALSE_HITS = 0.1
"""Number of false hits, over all comparisons, that may be expected."""
REFERENCE_CELLS, SAMPLED_CELLS = 1024, 512
_TAIL = (1e-2, 1e-5)
_COPIES = 16


@dataclass(frozen=True)
class Reference:
    """Distinct cells to score others with.

    Attributes
    ----------
    weights
        float64 [n_genes].
    detected
        float32 [n_genes, n], the weight of each gene where a cell detects it.
    norms
        float64 [n], the weight of the genes of each.
    cells
        Which of the evaluation cells they are, int64 [n]; None for cells compared.
    """

    weights: NDArray[np.float64]
    detected: NDArray[np.float32]
    norms: NDArray[np.float64]
    cells: NDArray[np.int64] | None = None

    @classmethod
    def of(
        cls, held: Packed, weights: NDArray[np.float64], cells: NDArray[np.int64] | None = None
    ) -> Reference:
        """Hold some cells, 4 bytes a gene and cell."""
        detected = np.zeros((held.n_genes, held.n_cells), np.float32)
        of_cell = np.repeat(np.arange(held.n_cells), np.diff(held.indptr))
        detected[held.genes, of_cell] = weights[held.genes]
        return cls(weights, detected, held.row_sums(weights), cells)

    def nearest(self, cells: Packed, which: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the score of the nearest distinct cell of some evaluation cells, float64 [len(which)]."""
        parts = [
            nearest_distinct(self.scores(cells, which[start : start + SAMPLED_CELLS]))
            for start in range(0, len(which), SAMPLED_CELLS)
        ]
        return np.concatenate([np.empty(0), *parts])

    def scores(self, cells: Packed, which: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the scores of some evaluation cells, [len(which), n]; -1 of a cell with itself."""
        scores = np.zeros((len(which), len(self.norms)))
        _overlaps(cells.indptr, cells.genes, which, self.detected, scores)
        norms = cells.take(which).row_sums(self.weights)
        sizes = np.sqrt(np.outer(norms, self.norms))
        scores = np.divide(scores, sizes, out=np.zeros_like(scores), where=sizes > 0)
        if self.cells is not None:
            scores[which[:, None] == self.cells[None, :]] = -1.0
        return scores


@dataclass(frozen=True)
class Null:
    """What distinct cells score, over some shared genes.

    Attributes
    ----------
    reference
        Of the evaluation cells.
    jaccards
        Weighted Jaccard index of pairs of distinct cells, for the choice of bands.
    excess
        From which a pair counts.
    n_expected
        False hits to expect, by the tail of pairs of usable cells: at most about FALSE_HITS; NaN where next
        to none are usable.
    undecidable_fraction
        Share of the sampled cells whose nearest score is above MOST_NEAREST.
    """

    reference: Reference
    jaccards: NDArray[np.float64]
    excess: float
    n_expected: float
    undecidable_fraction: float

    @classmethod
    def of(
        cls, cells: Packed, weights: NDArray[np.float64], usable: NDArray[np.bool_], *, n_compared: int
    ) -> Null:
        """Take the null from a sample of the evaluation cells, always the same one.

        Parameters
        ----------
        usable
            bool [n_cells], the evaluation cells that detect enough to be decided.
        """
        order = np.random.default_rng(cells.n_cells).permutation(cells.n_cells)
        chosen = np.sort(order[:REFERENCE_CELLS])
        reference = Reference.of(cells.take(chosen), weights, chosen)
        sampled = order[:SAMPLED_CELLS]
        scores = reference.scores(cells, sampled)
        nearest = nearest_distinct(scores)
        excesses = _excesses(scores, nearest, np.outer(usable[sampled], usable[chosen]))
        excess, n_expected = tail_excess(excesses, n_pairs=float(usable.sum()) * n_compared)
        norms = cells.take(sampled).row_sums(weights)
        return cls(
            reference=reference,
            jaccards=_jaccards(scores, norms, reference.norms, nearest),
            excess=excess,
            n_expected=n_expected,
            undecidable_fraction=float(np.mean(nearest > MOST_NEAREST)) if len(nearest) else 1.0,
        )


def nearest_distinct(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the best score of each row [n] that is not one of a copy, at least LEAST_NEAREST.

    A cell may stand in an evaluation set more than once. Going down the best scores, the last step by half or
    more of what is left to 1, among the first 16, ends the copies.
    """
    if scores.shape[1] < 2:
        return np.full(scores.shape[0], LEAST_NEAREST)
    best = -np.sort(-scores, axis=1)[:, : _COPIES + 1]
    steps = (best[:, :-1] - best[:, 1:]) / np.maximum(1 - best[:, 1:], 1e-12)
    n_copies = np.where(steps >= LEAST_EXCESS, np.arange(1, steps.shape[1] + 1), 0).max(axis=1)
    nearest = np.take_along_axis(best, n_copies[:, None], axis=1)[:, 0]
    return np.maximum(nearest, LEAST_NEAREST)


def tail_excess(excesses: NDArray[np.float64], *, n_pairs: float) -> tuple[float, float]:
    """Return from which excess so many pairs of distinct cells bring FALSE_HITS, and how many they bring.

    The tail is that of a normal distribution through two quantiles of the sample: 1e-2 and 1e-5, or as far
    out as ten pairs of it lie. LEAST_EXCESS is the least that is returned, 1 the most.
    """
    n = len(excesses)
    if n < 1000:
        return LEAST_EXCESS, math.nan
    normal = NormalDist()
    shares = _TAIL[0], max(_TAIL[1], 10 / n)
    near, far = np.quantile(excesses, [1 - share for share in shares])
    z_near, z_far = (normal.inv_cdf(1 - share) for share in shares)
    spread = max((far - near) / (z_far - z_near), 1e-6)
    share = min(max(FALSE_HITS / n_pairs, 1e-300), 0.5)
    needed = float(far + spread * (-normal.inv_cdf(share) - z_far))
    excess = min(max(LEAST_EXCESS, needed), 1.0)
    z = (excess - far) / spread + z_far
    return excess, n_pairs * 0.5 * math.erfc(z / math.sqrt(2))


def _excesses(
    scores: NDArray[np.float64], nearest: NDArray[np.float64], counted: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the excess of pairs over the nearest of the other half of the reference, without the copies.

    Of the pairs counted, bool [n, n_reference].
    """
    half = np.arange(scores.shape[1]) % 2 == 0
    found = []
    for of_nearest, of_pairs in ((half, ~half), (~half, half)):
        r = np.minimum(nearest_distinct(scores[:, of_nearest]), nearest)[:, None]
        s = scores[:, of_pairs]
        distinct = (s >= 0) & (s <= nearest[:, None]) & (nearest[:, None] <= MOST_NEAREST)
        distinct &= counted[:, of_pairs]
        found.append(((s - r) / (1 - r + 1e-12))[distinct])
    return np.concatenate(found)


def _jaccards(
    scores: NDArray[np.float64],
    norms: NDArray[np.float64],
    reference_norms: NDArray[np.float64],
    nearest: NDArray[np.float64],
) -> NDArray[np.float64]:
    overlap = scores * np.sqrt(np.outer(norms, reference_norms))
    union = norms[:, None] + reference_norms[None, :] - overlap
    jaccards = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    distinct = (scores >= 0) & (scores <= nearest[:, None])
    held: NDArray[np.float64] = jaccards[distinct]
    return held if len(held) else np.zeros(1)


@numba.njit(cache=True, nogil=True)
def _overlaps(indptr, genes, which, detected, overlaps):  # type: ignore[no-untyped-def]
    n = detected.shape[1]
    total = np.empty(n, np.float32)
    for row in range(len(which)):
        total[:] = 0
        for at in range(indptr[which[row]], indptr[which[row] + 1]):
            held = detected[genes[at]]
            for k in range(n):
                total[k] += held[k]
        overlaps[row, :] = total
