"""A pass over the counts of cells: the pairs of them and evaluation cells with the same content.

1. cells of datasets that measured the same genes are taken together: one index for each such set of genes;
2. their counts are read once, in parts, and each part's pairs are kept as it is done, so that a run that was
   killed goes on behind the last of them;
3. equal counts that some cell may have by chance count in a dataset that is known to hold other cells of the
   evaluation set;
4. what was found is kept under the corpus or the source, and a second question about these cells and the
   same evaluation set reads nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from pydantic import ValidationError

from curate.atomic import atomic_file, atomic_folder
from curate.build.leakage.matcher import Candidates, Matcher
from curate.documents import Document, canonical_digest
from curate.errors import BusyError, WriteError
from curate.progress import progress
from curate.scratch import kept_in, scratch_of
from curate.threads import mapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from curate.build.leakage.compared import Compared, GeneSet
    from curate.build.leakage.evaluation import EvaluationSet

    Advance = Callable[[int], None]

METHOD_VERSION = 3
"""Enters manifests: raised whenever the same input would give other pairs."""
DOUBT = 0.05
"""Chance of being a false hit that weak equal counts may have, by the others found in their dataset."""
SAMPLED_CELLS = 1024
"""Cells of a part that stand for those compared."""
PART_CELLS = 131_072
WAIT_SECONDS = 0.5
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
_PART_SCHEMA = {**_SCHEMA, "is_weak": pl.Boolean, "equal_nats": pl.Float32}


class GeneSetRecord(Document):
    """A comparison over the genes that some datasets and some evaluation cells share.

    `n_few` of the evaluation cells detect too few of the genes to be decided, if their copies were altered
    where near copies were looked for;
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
        Evaluation cells that detect too few shared genes to be decided against some of the cells, or that are
        like cells which do.
    """

    covered: NDArray[np.bool_]
    pairs: pl.DataFrame
    gene_sets: tuple[GeneSetRecord, ...]
    few: NDArray[np.int64]

    @property
    def n_compared(self) -> int:
        """Cells whose shared genes suffice to decide at least some of the evaluation cells.

        Those of a dataset that shares few genes with the evaluation set are not among them. A kept scan of
        more cells than are asked about counts them all.
        """
        return sum(each.n_compared_cells for each in self.gene_sets if each.n_few < each.n_evaluation_cells)


def scan(
    cells: Compared, evaluation: EvaluationSet, wanted: NDArray[np.bool_], *, is_near: bool = True
) -> Scan:
    """Compare the content of the wanted cells (bool [n_cells]) with that of an evaluation set.

    Memory: the evaluation set (4 bytes a non-zero), its index over one set of genes (`NearIndex`), and three
    blocks of counts. Where another process makes the same comparison, it is waited for.

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
    while (kept := kept_scan(cells, evaluation, wanted, is_near=is_near)) is None:
        try:
            return _scanned(cells, evaluation, wanted, is_near=is_near)
        except BusyError:
            # Another process makes the same comparison: what it finds will do.
            time.sleep(WAIT_SECONDS)
        except WriteError:
            # It may have ended in between.
            kept = kept_scan(cells, evaluation, wanted, is_near=is_near)
            if kept is None:
                raise
            return kept
    return kept


def _scanned(cells: Compared, evaluation: EvaluationSet, wanted: NDArray[np.bool_], *, is_near: bool) -> Scan:
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
        every_pair = pl.concat([pl.DataFrame(schema=_PART_SCHEMA), *pairs])
        found = _corroborated(cells, every_pair, n_evaluation=evaluation.n_cells)
        undecided = np.concatenate([every_pair["cell"].to_numpy(), *few])
        some_few = np.setdiff1d(undecided, found["cell"].to_numpy())
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


def _corroborated(cells: Compared, pairs: pl.DataFrame, *, n_evaluation: int) -> pl.DataFrame:
    """Return the pairs that count: weak ones only of datasets that hold other evaluation cells for sure.

    With s the share of the evaluation cells that a dataset of n cells holds for sure, and p the chance that
    one of these has the counts of an evaluation cell by chance, n p / s of such pairs are false: at most
    DOUBT.
    """
    if pairs["is_weak"].any():
        of_all = cells.columns(["dataset_id"])["dataset_id"].cast(pl.String).fill_null("")
        sizes = of_all.value_counts(name="n").rename({"dataset_id": "dataset"})
        held = pairs.with_columns(dataset=of_all.gather(pairs["row"]))
        shares = (
            held.filter(pl.col("is_exact") & ~pl.col("is_weak"))
            .group_by("dataset")
            .agg(share=pl.col("cell").n_unique() / n_evaluation)
        )
        held = held.join(sizes, on="dataset", how="left").join(shares, on="dataset", how="left")
        least = (pl.col("n") / (DOUBT * pl.col("share"))).log()
        is_sure = (~pl.col("is_weak") | (pl.col("equal_nats") >= least)).fill_null(value=False)
        pairs = held.with_columns(is_exact=pl.col("is_exact") & is_sure)
    return pairs.filter(pl.col("is_exact") | pl.col("is_near")).select(*_SCHEMA).sort("row", "cell")


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
        if not matcher.is_telling:
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


def _search(matcher: Matcher, cells: Compared, rows: NDArray[np.int64], advance: Advance) -> Candidates:
    """Return the pairs of some cells that may count; `row` counts within them, `cell` within the group."""
    every = -(-len(rows) // SAMPLED_CELLS)

    def blocks() -> Iterator[tuple[int, sp.csr_array]]:
        start = 0
        for counts in cells.counts(rows, matcher.genes):
            yield start, counts
            start += counts.shape[0]

    def search(block: tuple[int, sp.csr_array]) -> tuple[int, Candidates, int]:
        start, counts = block
        sampled = np.arange(-start % every, counts.shape[0], every)
        return start, matcher.search(counts, sampled=sampled), counts.shape[0]

    found = []
    for start, candidates, n in mapped(search, blocks()):
        found.append((start, candidates))
        advance(n)
    return Candidates.joined(found, n_genes=len(matcher.genes))
