"""A pass over the counts of cells: the pairs of them and evaluation cells with the same content.

1. cells of datasets that measured the same genes are taken together: one index for each such set of genes;
2. their counts are read once, in parts, and each part's pairs are kept as it is done, so that a run that was
   killed goes on behind the last of them;
3. a cell that holds too little to be decided by itself counts where its counts stand in a dataset that is
   known to hold other cells of the evaluation set;
4. what was found is kept under the corpus or the source, and a second question about these cells and the
   same evaluation set reads nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import scipy.sparse as sp
from pydantic import ValidationError

from curate.atomic import atomic_file, atomic_folder
from curate.build.leakage.exact import ExactIndex
from curate.build.leakage.near import NearIndex, gene_nats
from curate.build.leakage.nulls import FALSE_HITS, MOST_NEAREST
from curate.documents import Document, canonical_digest
from curate.progress import progress
from curate.scratch import kept_in, scratch_of
from curate.threads import mapped

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.build.leakage.compared import Compared, GeneSet
    from curate.build.leakage.evaluation import EvaluationSet, GeneGroup

    Advance = Callable[[int], None]

METHOD_VERSION = 2
"""Enters manifests: raised whenever the same input would give other pairs."""
MARGIN_NATS = 8.0
"""Beyond what the number of pairs asks for, as the genes of a cell type go together."""
PART_CELLS = 131_072
FOLDER = "leakage"
_HEADER, _PAIRS, _COVERED = "scan.json", "pairs.parquet", "covered.npy"
_SCHEMA = {
    "row": pl.Int64,
    "cell": pl.Int64,
    "score": pl.Float32,
    "nearest": pl.Float32,
    "is_exact": pl.Boolean,
    "is_near": pl.Boolean,
}
_PART_SCHEMA = {**_SCHEMA, "is_weak": pl.Boolean}


class GeneSetRecord(Document):
    """A comparison over the genes that some datasets and some evaluation cells share.

    `n_few` of the evaluation cells detect too few of the genes to be decided by themselves;
    `undecidable_fraction`, from a sample, are as like distinct cells as copies are. A near pair counts from
    `excess`, and so many false ones are to be expected, of all cells of the corpus or source; None where near
    copies were not looked for.
    """

    n_datasets: int
    n_compared_cells: int
    n_evaluation_cells: int
    n_genes: int
    n_few: int
    undecidable_fraction: float | None
    excess: float | None
    n_false_expected: float | None


class ScanRecord(Document):
    """scan.json."""

    cells: dict[str, str]
    evaluation: str
    method_version: int
    n_cells: int
    gene_sets: tuple[GeneSetRecord, ...]
    few: tuple[int, ...]


@dataclass(frozen=True)
class Scan:
    """The pairs of equal or nearly equal content.

    Attributes
    ----------
    covered
        bool [n_cells], the cells that were compared.
    pairs
        row (of the cells), cell (of the evaluation set), score, nearest (the score of the nearest distinct
        evaluation cell), is_exact, is_near; by row and cell.
    few
        Evaluation cells that detect too few shared genes to be decided against some of the cells.
    """

    covered: NDArray[np.bool_]
    pairs: pl.DataFrame
    gene_sets: tuple[GeneSetRecord, ...]
    few: NDArray[np.int64]


def scan(
    cells: Compared, evaluation: EvaluationSet, wanted: NDArray[np.bool_], *, is_near: bool = True
) -> Scan:
    """Compare the content of the wanted cells (bool [n_cells]) with that of an evaluation set.

    Memory: the evaluation set (4 bytes a non-zero), its index over one set of genes (`NearIndex`), and three
    blocks of counts.

    Parameters
    ----------
    is_near
        Whether near copies are looked for beside equal counts.

    Raises
    ------
    CensusError, SourceError
        When the counts cannot be read.
    WriteError
        When what is found cannot be kept.
    """
    kept = kept_scan(cells, evaluation, wanted, is_near=is_near)
    if kept is not None:
        return kept
    home = kept_in(cells.path / FOLDER) / _key(cells, evaluation, is_near=is_near)
    name = canonical_digest({"cells": np.packbits(wanted).tobytes().hex()})[:16]
    with atomic_folder(home / name, resumable=True) as folder:
        records, few, pairs = [], [], []
        with progress("Comparing counts", int(wanted.sum())) as advance:
            gene_sets = (each for group in evaluation.groups for each in cells.gene_sets(group, wanted))
            for number, genes in enumerate(gene_sets):
                record, undecided, parts = _compare(cells, genes, folder, number, advance, is_near=is_near)
                records.append(record)
                few.append(undecided)
                pairs += parts
        found = _corroborated(cells, pl.concat([pl.DataFrame(schema=_PART_SCHEMA), *pairs]))
        some_few = np.setdiff1d(np.concatenate([np.empty(0, np.int64), *few]), found["cell"].to_numpy())
        found.write_parquet(folder / _PAIRS)
        np.save(folder / _COVERED, np.packbits(wanted))
        for part in folder.glob("part-*"):
            part.unlink()
        ScanRecord(
            cells=cells.key,
            evaluation=evaluation.fingerprint,
            method_version=METHOD_VERSION,
            n_cells=int(wanted.sum()),
            gene_sets=tuple(records),
            few=tuple(some_few.tolist()),
        ).save(folder / _HEADER)
    return Scan(wanted, found, tuple(records), some_few)


def kept_scan(
    cells: Compared, evaluation: EvaluationSet, wanted: NDArray[np.bool_], *, is_near: bool = True
) -> Scan | None:
    """Return an earlier comparison of the wanted cells (bool [n_cells]), if any; no counts are read.

    One that looked for near copies too answers a question for equal counts alone.
    """
    folder = cells.path / FOLDER
    keys = dict.fromkeys(_key(cells, evaluation, is_near=asked) for asked in (True, is_near))
    homes = [place / key for key in keys for place in dict.fromkeys([folder, scratch_of(folder)])]
    return next((kept for home in homes if (kept := _kept(home, wanted)) is not None), None)


def least_information(n_pairs: int) -> float:
    """Return the nats that an evaluation cell must hold to be decided among so many pairs.

    The chance of a pair of independent cells alike in that many nats is e to the minus of it: FALSE_HITS over
    all pairs, and MARGIN_NATS beyond. Among 200,000 x 22.2 million pairs this is 39, among 2,000 x 5,000 26.
    """
    return math.log(max(n_pairs, 1) / FALSE_HITS) + MARGIN_NATS


def _corroborated(cells: Compared, pairs: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs that count: weak ones only of datasets that hold other evaluation cells for sure."""
    if pairs["is_weak"].any():
        dataset = cells.columns(["dataset_id"])["dataset_id"][pairs["row"]].cast(pl.String)
        holding = dataset.filter(pairs["is_exact"] & ~pairs["is_weak"]).unique()
        pairs = pairs.filter(~pairs["is_weak"] | dataset.is_in(holding.implode()))
    return pairs.select(*_SCHEMA).sort("row", "cell")


def _key(cells: Compared, evaluation: EvaluationSet, *, is_near: bool) -> str:
    content = {
        **({} if is_near else {"by": "exact"}),
        **cells.key,
        "evaluation": evaluation.fingerprint,
        "method_version": METHOD_VERSION,
    }
    return canonical_digest(content)[:16]


def _kept(home: Path, wanted: NDArray[np.bool_]) -> Scan | None:
    """Return an earlier scan that covers the wanted cells; one that cannot be read counts as none."""
    for folder in sorted(home.glob("[0-9a-f]*")):
        try:
            record = ScanRecord.model_validate_json((folder / _HEADER).read_text())
            covered = np.unpackbits(np.load(folder / _COVERED, allow_pickle=False), count=len(wanted))
            pairs = pl.read_parquet(folder / _PAIRS)
        except (OSError, ValueError, ValidationError, pl.exceptions.PolarsError):
            continue
        is_covered = covered.astype(np.bool_)
        if not (wanted & ~is_covered).any():
            of_wanted = pairs.filter(pl.Series(wanted[pairs["row"].to_numpy()], dtype=pl.Boolean))
            return Scan(is_covered, of_wanted, record.gene_sets, np.array(record.few, np.int64))
    return None


def _compare(
    cells: Compared, genes: GeneSet, folder: Path, number: int, advance: Advance, *, is_near: bool
) -> tuple[GeneSetRecord, NDArray[np.int64], list[pl.DataFrame]]:
    matcher = Matcher.of(genes.group, genes.shared, n_compared=cells.n_cells, is_near=is_near)
    parts = []
    for start in range(0, len(genes.rows), PART_CELLS):
        rows = genes.rows[start : start + PART_CELLS]
        path = folder / f"part-{number:05}-{start:09}.parquet"
        if not matcher.usable.any():
            # Nothing could be found: reading is spared.
            advance(len(rows))
            continue
        if not path.exists():
            found = _search(matcher, cells, rows, advance)
            pairs = matcher.decide(found).with_columns(row=pl.lit(pl.Series(rows)).gather(pl.col("row")))
            with atomic_file(path) as aside:
                pairs.select(*_PART_SCHEMA).write_parquet(aside)
        else:
            advance(len(rows))
        parts.append(pl.read_parquet(path))
    null = matcher.near.null if matcher.near else None
    few = np.flatnonzero(~matcher.usable)
    record = GeneSetRecord(
        n_datasets=genes.n_datasets,
        n_compared_cells=len(genes.rows),
        n_evaluation_cells=genes.group.packed.n_cells,
        n_genes=int(genes.shared.sum()),
        n_few=len(few),
        undecidable_fraction=null.undecidable_fraction if null else None,
        excess=null.excess if null else None,
        n_false_expected=null.n_expected if null and not np.isnan(null.n_expected) else None,
    )
    return record, genes.group.cells[few], parts


def _search(matcher: Matcher, cells: Compared, rows: NDArray[np.int64], advance: Advance) -> pl.DataFrame:
    """Return the pairs of some cells; `row` counts within them, `cell` within the group."""
    blocks = cells.counts(rows, matcher.genes)
    found, start = [matcher.search(_no_counts(len(matcher.genes)))], 0
    for pairs, n in mapped(lambda counts: (matcher.search(counts), counts.shape[0]), blocks):
        found.append(pairs.with_columns(pl.col("row") + start))
        start += n
        advance(n)
    return pl.concat(found)


def _no_counts(n_genes: int) -> sp.csr_array:
    parts = (np.empty(0, np.float32), np.empty(0, np.int64), np.zeros(1, np.int64))
    return sp.csr_array(parts, shape=(0, n_genes))


@dataclass(frozen=True)
class Matcher:
    """A group of evaluation cells, indexed over the genes that it shares with some datasets.

    Attributes
    ----------
    genes
        int64, the genes to read, as places in the var of the Census.
    usable
        bool [n_cells of the group], which detect enough of the shared genes to be decided by themselves.
    exact
        Of these, and of those that few cells of the corpus would equal by chance: their pairs are weak.
    """

    group: GeneGroup
    genes: NDArray[np.int64]
    near: NearIndex | None
    exact: ExactIndex
    usable: NDArray[np.bool_]

    @classmethod
    def of(
        cls, group: GeneGroup, shared: NDArray[np.bool_], *, n_compared: int, is_near: bool = True
    ) -> Matcher:
        """Index a group; a cell without known counts detects genes, but equals no other."""
        near = NearIndex.of(group.packed, shared, n_compared=n_compared) if is_near else None
        information = group.packed.row_sums(gene_nats(group.packed, shared))
        usable = information >= least_information(group.packed.n_cells * n_compared)
        least = math.log(max(n_compared, 2))
        exact = ExactIndex.of(group.packed, shared, (information >= least) & group.is_count)
        return cls(group, group.genes, near, exact, usable)

    def search(self, counts: sp.csr_array) -> pl.DataFrame:
        """Return the pairs that may count: row of `counts`, cell of the group, score, is_exact."""
        row, cell = self.exact.search(counts)
        exact = pl.DataFrame({"row": row, "cell": cell, "score": np.ones(len(row), np.float32)})
        near = exact.clear()
        if self.near is not None:
            near_row, near_cell, score = self.near.search(counts)
            near = pl.DataFrame({"row": near_row, "cell": near_cell.astype(np.int64), "score": score})
        both = pl.concat([near.with_columns(is_exact=pl.lit(value=False)), exact.with_columns(is_exact=True)])
        return both.group_by("row", "cell").agg(pl.col("score", "is_exact").max()).sort("row", "cell")

    def decide(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Return the pairs that count, `cell` as the number in the evaluation set."""
        cells = pairs["cell"].to_numpy()
        nearest = np.full(len(cells), np.nan)
        is_near = np.zeros(len(cells), np.bool_)
        if self.near is not None:
            which, place = np.unique(cells, return_inverse=True)
            nearest = self.near.null.nearest(self.group.packed, which)[place]
            excess = (pairs["score"].to_numpy() - nearest) / (1 - nearest + 1e-12)
            is_near = (excess >= self.near.null.excess) & (nearest <= MOST_NEAREST) & self.usable[cells]
        decided = pairs.with_columns(
            nearest=pl.Series(nearest, dtype=pl.Float32),
            is_near=pl.Series(is_near, dtype=pl.Boolean),
            is_weak=pl.Series(~self.usable[cells], dtype=pl.Boolean),
            cell=pl.Series(self.group.cells[cells], dtype=pl.Int64),
        )
        return decided.filter(pl.col("is_near") | pl.col("is_exact"))
