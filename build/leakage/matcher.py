"""Evaluation cells over the genes that they share with some datasets: which pairs may count, and which do.

1. pairs that may count are found block by block: equal counts, and nearly the same detected genes;
2. near ones count that are nearer to a copy than to any distinct cell of either side (`nulls`), and share
   more than cells that detect so few genes share by chance (`evidence`);
3. equal counts count that a distinct cell would not have by chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from curate.build.leakage.evidence import Background
from curate.build.leakage.exact import ExactIndex
from curate.build.leakage.near import NearIndex
from curate.build.leakage.nulls import FALSE_HITS, MOST_NEAREST, Reference
from curate.build.leakage.packed import Packed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from curate.build.leakage.evaluation import GeneGroup

MARGIN_NATS = 8.0
"""Of near pairs, beyond what their number asks for, as the genes of a cell type go together."""
_PAIRS = {"row": pl.Int64, "cell": pl.Int64, "score": pl.Float32, "is_exact": pl.Boolean}


@dataclass(frozen=True)
class Candidates:
    """Pairs that may count, of some cells compared, and what it takes to decide them.

    Attributes
    ----------
    pairs
        row, cell (of the group), score, is_exact.
    rows, detected
        Those of them that have near pairs, int64 ascending, and the genes that they detect.
    sample
        Some of the cells compared, whether or not they have pairs.
    """

    pairs: pl.DataFrame
    rows: NDArray[np.int64]
    detected: Packed
    sample: Packed

    @classmethod
    def joined(cls, parts: Sequence[tuple[int, Candidates]], *, n_genes: int) -> Candidates:
        """Join those of blocks, each with the row that it starts at."""
        pairs = [each.pairs.with_columns(pl.col("row") + start) for start, each in parts]
        rows = [each.rows + start for start, each in parts]
        return cls(
            pairs=pl.concat([pl.DataFrame(schema=_PAIRS), *pairs]),
            rows=np.concatenate([np.empty(0, np.int64), *rows]),
            detected=Packed.joined([each.detected for _, each in parts], n_genes=n_genes),
            sample=Packed.joined([each.sample for _, each in parts], n_genes=n_genes),
        )


@dataclass(frozen=True)
class Matcher:
    """A group of evaluation cells, indexed over the genes that it shares with some datasets.

    Attributes
    ----------
    genes
        int64, the genes to read, as places in the var of the Census.
    usable
        bool [n_cells of the group], which detect enough of the shared genes to be decided; if their copies
        are altered, unless equal counts alone are looked for.
    exact
        Of the cells that a single cell would seldom equal by chance.
    background
        Of the evaluation cells.
    n_pairs
        Cells of the group times cells compared.
    is_telling
        Whether any cell holds enough to be decided, by near or by equal counts.
    """

    group: GeneGroup
    genes: NDArray[np.int64]
    near: NearIndex | None
    exact: ExactIndex
    usable: NDArray[np.bool_]
    background: Background
    n_pairs: int
    is_telling: bool

    @classmethod
    def of(
        cls, group: GeneGroup, shared: NDArray[np.bool_], *, n_compared: int, is_near: bool = True
    ) -> Matcher:
        """Index a group; a cell without known counts detects genes, but equals no other."""
        packed, n_pairs = group.packed, group.packed.n_cells * n_compared
        background = Background.of(packed, shared)
        every_cell = np.arange(packed.n_cells)
        nats = np.where(group.is_count, background.equals(packed, every_cell), 0.0)
        exact = ExactIndex.of(packed, shared, nats >= math.log(max(n_compared, 2)))
        usable, near = nats >= enough_nats(n_pairs), None
        is_telling = bool(usable.any())
        if is_near:
            usable = background.copies(packed, every_cell) >= least_nats(n_pairs)
            is_telling |= bool(usable.any())
            near = NearIndex.of(packed, shared, n_compared=n_compared, usable=usable)
        return cls(group, group.genes, near, exact, usable, background, n_pairs, is_telling)

    def search(self, counts: sp.csr_array, *, sampled: NDArray[np.int64] | None = None) -> Candidates:
        """Return the pairs that may count; `row` is one of `counts` [n, n_genes].

        Parameters
        ----------
        sampled
            int64, rows that stand for the distinct cells that are compared.
        """
        row, cell = self.exact.search(counts)
        exact = pl.DataFrame({"row": row, "cell": cell, "score": np.ones(len(row), np.float32)})
        near = exact.clear()
        if self.near is not None:
            near_row, near_cell, score = self.near.search(counts)
            near = pl.DataFrame({"row": near_row, "cell": near_cell.astype(np.int64), "score": score})
        both = pl.concat([near.with_columns(is_exact=pl.lit(value=False)), exact.with_columns(is_exact=True)])
        pairs = both.group_by("row", "cell").agg(pl.col("score", "is_exact").max()).sort("row", "cell")
        rows = np.unique(pairs.filter(~pl.col("is_exact"))["row"].to_numpy())
        n_genes = len(self.genes)
        held = Packed.of([counts[rows]] if len(rows) else [], n_genes=n_genes)
        sample = Packed.of([counts[sampled]] if sampled is not None and len(sampled) else [], n_genes=n_genes)
        return Candidates(pairs, rows, held, sample)

    def decide(self, found: Candidates) -> pl.DataFrame:
        """Return the pairs that count, and those that cannot be decided: neither exact nor near.

        Returns
        -------
        row, cell (as the number in the evaluation set), score, nearest, is_exact, is_near, is_weak (equal
        counts that some cell may have by chance), equal_nats (-log of the chance of one cell).
        """
        cells, is_exact = found.pairs["cell"].to_numpy(), found.pairs["is_exact"].to_numpy()
        nearest, stands_out = self._stand_out(found)
        compared = self.background
        if (stands_out | is_exact).any():
            compared = Background.of(found.sample, self.background.shared, prior=self.background)
        is_near = stands_out & (self._pair_nats(found, stands_out, compared) >= least_nats(self.n_pairs))
        nats = np.full(len(cells), np.nan)
        nats[is_exact] = np.minimum(
            *(each.equals(self.group.packed, cells[is_exact]) for each in (self.background, compared))
        )
        is_weak = is_exact & ~(nats >= enough_nats(self.n_pairs))
        decided = found.pairs.with_columns(
            nearest=pl.Series(nearest, dtype=pl.Float32),
            is_near=pl.Series(is_near, dtype=pl.Boolean),
            is_weak=pl.Series(is_weak, dtype=pl.Boolean),
            equal_nats=pl.Series(nats, dtype=pl.Float32),
            cell=pl.Series(self.group.cells[cells], dtype=pl.Int64),
        )
        counting = pl.Series(is_near | is_exact, dtype=pl.Boolean)
        # Of the others, one pair a cell is enough to say that it is undecided.
        poor = decided.filter(pl.Series(stands_out, dtype=pl.Boolean) & ~counting)
        return pl.concat([decided.filter(counting), poor.unique("cell", keep="first", maintain_order=True)])

    def _stand_out(self, found: Candidates) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the score of each pair's nearest distinct cell, and which pairs are nearer to a copy."""
        cells, scores = found.pairs["cell"].to_numpy(), found.pairs["score"].to_numpy()
        nearest, stands_out = np.full(len(cells), np.nan), np.zeros(len(cells), np.bool_)
        if self.near is None or not len(cells):
            return nearest, stands_out
        null, usable = self.near.null, self.usable[cells]

        def excess() -> NDArray[np.bool_]:
            e = (scores - nearest) / (1 - nearest + 1e-12)
            found: NDArray[np.bool_] = (e >= null.excess) & (nearest <= MOST_NEAREST) & usable
            return found

        which, place = np.unique(cells, return_inverse=True)
        nearest = null.reference.nearest(self.group.packed, which)[place]
        stands_out = excess()
        if stands_out.any() and found.sample.n_cells:
            # A kind of which the evaluation set has next to none has its like among the cells compared.
            reference = Reference.of(found.sample, self.near.weights)
            which, place = np.unique(cells[stands_out], return_inverse=True)
            others = reference.nearest(self.group.packed, which)[place]
            nearest[stands_out] = np.maximum(nearest[stands_out], others)
            stands_out = excess()
        return nearest, stands_out

    def _pair_nats(
        self, found: Candidates, wanted: NDArray[np.bool_], compared: Background
    ) -> NDArray[np.float64]:
        """Return what says that the wanted pairs are copies, 0 of others; the less of both backgrounds."""
        nats = np.zeros(len(wanted))
        packed = self.group.packed
        cells, rows = found.pairs["cell"].to_numpy(), found.pairs["row"].to_numpy()
        is_exact = found.pairs["is_exact"].to_numpy()
        backgrounds = self.background, compared
        altered, equal = wanted & ~is_exact, wanted & is_exact
        places = np.searchsorted(found.rows, rows[altered])
        nats[altered] = np.minimum(
            *(each.pairs(packed, cells[altered], found.detected, places) for each in backgrounds)
        )
        nats[equal] = np.minimum(*(each.copies(packed, cells[equal]) for each in backgrounds))
        return nats


def least_nats(n_pairs: int) -> float:
    """Return the evidence that a near pair needs among so many.

    The chance of a pair of cells of independent genes to have so much is e to the minus of it: FALSE_HITS
    over all pairs, and MARGIN_NATS beyond. Among 200,000 x 22.2 million pairs this is 39, among 2,000 x 5,000
    26.
    """
    return enough_nats(n_pairs) + MARGIN_NATS


def enough_nats(n_pairs: int) -> float:
    """Return how unlikely equal counts must be among so many pairs, in nats: FALSE_HITS over all of them."""
    return math.log(max(n_pairs, 1) / FALSE_HITS)
