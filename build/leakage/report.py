"""What an evaluation set shares with a manifest, counted by method, split, dataset and donor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.build.leakage.guard import CELL_METHODS, METHODS, Method, Overlap, find_overlap, read_evaluation
from curate.manifests.document import CENSUS, SPLITS
from curate.manifests.obs import corpus_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.manifests.manifest import Manifest


@dataclass(frozen=True)
class MethodCount:
    """What one method found.

    Attributes
    ----------
    n_cells, n_evaluation_cells
        Cells of the manifest and of the evaluation set.
    splits
        The cells of the manifest by split.
    why_not
        Why the method could not compare; None when it could.
    """

    n_cells: int
    n_evaluation_cells: int
    splits: dict[str, int]
    why_not: str | None


@dataclass(frozen=True)
class EvaluationReport:
    """What one evaluation set shares with a manifest.

    Attributes
    ----------
    n_shared_cells
        Cells of the manifest that are cells of the evaluation set, by any method for cells.
    n_too_few
        Cells of the evaluation set with too few shared genes or counts to be decided by content.
    undecidable_fraction
        Share of its cells that are as like their neighbours as copies are; of a sample, the worst gene set.
    gene_sets
        How the content was compared: shared genes, thresholds, false hits to expect.
    donors
        dataset_id, donor_id, n_cells, and a count for each method, most cells first.
    pairs
        soma_joinid, split, evaluation_cell, score, nearest, is_exact, is_near of each pair of like content.
    """

    name: str
    fingerprint: str
    n_cells: int
    n_genes: int
    n_mapped: int
    was_normalised: bool
    n_without_counts: int
    methods: dict[Method, MethodCount]
    n_shared_cells: int
    n_too_few: int
    undecidable_fraction: float | None
    gene_sets: tuple[dict[str, Any], ...]
    donors: pl.DataFrame
    pairs: pl.DataFrame

    def n_found(self, methods: Sequence[Method]) -> int:
        """Return the largest number of cells that one of these methods found."""
        return max((self.methods[each].n_cells for each in methods if each in self.methods), default=0)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON knows it; pairs are left to `write_pairs`."""
        held = {
            name: value for name, value in vars(self).items() if name not in ("donors", "pairs", "methods")
        }
        methods = {method: vars(count) for method, count in self.methods.items()}
        return held | {"methods": methods, "donors": self.donors.to_dicts()}


@dataclass(frozen=True)
class LeakageReport:
    """What evaluation sets share with a manifest.

    Attributes
    ----------
    n_cells
        Cells of the manifest that were compared: those of its corpus.
    n_not_compared
        Cells of spike-in sources, which are not in the corpus.
    n_shared_cells
        Cells of the manifest that are cells of any of the evaluation sets.
    """

    manifest: str
    id: str
    n_cells: int
    n_not_compared: int
    n_shared_cells: int
    evaluations: tuple[EvaluationReport, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        return vars(self) | {"evaluations": [each.to_json() for each in self.evaluations]}

    def n_found(self, methods: Sequence[Method]) -> int:
        """Return the largest number of cells that one of these methods found in one evaluation set."""
        return max((each.n_found(methods) for each in self.evaluations), default=0)


def leakage(
    manifest: Manifest,
    paths: Sequence[str | Path],
    *,
    by: Sequence[Method] = METHODS,
    layer: str | None = None,
    gene_column: str | None = None,
) -> LeakageReport:
    """Look for the cells and donors of evaluation sets among the cells of a manifest.

    Only the counts of the manifest's cells are read, once for each evaluation set, and not again when they
    were compared with it before.

    Parameters
    ----------
    paths
        h5ad files or stores of the Census layout.
    by
        Methods, of METHODS.

    Raises
    ------
    ManifestError
        When the corpus of the manifest is not at hand.
    SourceError, CensusError, LeakageError
        When an evaluation set cannot be read or compared.
    """
    corpus = manifest.corpus()
    cells = manifest.held_cells
    joinids = cells.census_joinids()
    rows = corpus_rows(corpus, joinids).astype(np.int64)
    compared = np.zeros(corpus.n_cells, np.bool_)
    compared[rows] = True
    split = np.full(corpus.n_cells, len(SPLITS), np.uint8)
    split[rows] = cells.split[cells.rows_of(CENSUS)]
    reports, shared = [], np.zeros(corpus.n_cells, np.bool_)
    with corpus.open_census() as census:
        for path in paths:
            evaluation = read_evaluation(corpus, path, census=census, layer=layer, gene_column=gene_column)
            overlap = find_overlap(corpus, evaluation, census=census, compared=compared, by=by)
            shared |= overlap.any_of(CELL_METHODS)
            donors = corpus.columns(["dataset_id", "donor_id"], rows=rows)
            reports.append(_report(overlap, rows, split, joinids, donors))
    return LeakageReport(
        manifest=manifest.ref,
        id=manifest.id,
        n_cells=len(rows),
        n_not_compared=len(cells) - len(rows),
        n_shared_cells=int(shared.sum()),
        evaluations=tuple(reports),
    )


def _report(
    overlap: Overlap,
    rows: NDArray[np.int64],
    split: NDArray[np.uint8],
    joinids: NDArray[np.int64],
    donors: pl.DataFrame,
) -> EvaluationReport:
    evaluation, scan = overlap.evaluation, overlap.scan
    methods: dict[Method, MethodCount] = {
        method: MethodCount(
            n_cells=int(same.corpus.sum()),
            n_evaluation_cells=int(same.evaluation.sum()),
            splits=_by_split(split[same.corpus]),
            why_not=same.why_not,
        )
        for method, same in overlap.same.items()
    }
    counted = donors.with_columns(
        [pl.Series(method, same.corpus[rows]) for method, same in overlap.same.items()]
    )
    by_donor = (
        counted.filter(pl.any_horizontal(*methods))
        .group_by("dataset_id", "donor_id")
        .agg(pl.any_horizontal(*methods).sum().alias("n_cells"), *(pl.col(each).sum() for each in methods))
        .with_columns(pl.col("dataset_id", "donor_id").cast(pl.String))
        .sort("n_cells", "dataset_id", "donor_id", descending=[True, False, False])
    )
    return EvaluationReport(
        name=evaluation.name,
        fingerprint=evaluation.fingerprint,
        n_cells=evaluation.n_cells,
        n_genes=evaluation.n_genes,
        n_mapped=evaluation.n_mapped,
        was_normalised=evaluation.was_normalised,
        n_without_counts=int((~evaluation.is_count).sum()),
        methods=methods,
        n_shared_cells=int(overlap.any_of(CELL_METHODS).sum()),
        n_too_few=len(scan.few) if scan else 0,
        undecidable_fraction=max((each.undecidable_fraction for each in scan.gene_sets), default=0.0)
        if scan
        else None,
        gene_sets=tuple(each.model_dump() for each in scan.gene_sets) if scan else (),
        donors=by_donor,
        pairs=_pairs(overlap, rows, split, joinids),
    )


def _by_split(codes: NDArray[np.uint8]) -> dict[str, int]:
    counts = np.bincount(codes, minlength=len(SPLITS))
    return {name: int(n) for name, n in zip(SPLITS, counts, strict=False)}


def _pairs(
    overlap: Overlap, rows: NDArray[np.int64], split: NDArray[np.uint8], joinids: NDArray[np.int64]
) -> pl.DataFrame:
    if overlap.scan is None:
        return pl.DataFrame()
    pairs = overlap.scan.pairs
    row = pairs["row"].to_numpy()
    return pairs.select(
        soma_joinid=pl.Series(joinids[np.searchsorted(rows, row)], dtype=pl.Int64),
        split=pl.Series([SPLITS[code] for code in split[row]], dtype=pl.String),
        evaluation_cell=overlap.evaluation.names.cast(pl.String)[pairs["cell"]],
        score="score",
        nearest="nearest",
        is_exact="is_exact",
        is_near="is_near",
    )
