"""What an evaluation set shares with a manifest, counted by method, split, dataset and donor.

Cells of the corpus and of every source of spike-ins are compared alike, each with what they measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.build.leakage.compared import CorpusCells, SourceCells
from curate.build.leakage.found import EvaluationReport, LeakageReport, MethodCount, SourceReport
from curate.build.leakage.guard import CELL_METHODS, METHODS, Method, Overlap, find_overlap, read_evaluation
from curate.errors import LeakageError, SourceError
from curate.manifests.document import CENSUS, SPLITS
from curate.manifests.obs import corpus_rows
from curate.manifests.sources import sources_at_hand

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.build.leakage.compared import Compared
    from curate.build.leakage.evaluation import EvaluationSet
    from curate.build.leakage.scan import Scan
    from curate.census import Census
    from curate.corpus import Corpus
    from curate.manifests.manifest import Manifest

DONOR = ("dataset_id", "donor_id")


def leakage(
    manifest: Manifest,
    paths: Sequence[str | Path],
    *,
    by: Sequence[Method] = METHODS,
    layer: str | None = None,
    gene_column: str | None = None,
) -> LeakageReport:
    """Look for the cells and donors of evaluation sets among the cells of a manifest.

    Only the counts of the manifest's cells are read, those of spike-ins from the files of their sources, once
    for each evaluation set, and not again when they were compared with it before.

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
        When an evaluation set cannot be read or compared. Spike-ins that cannot be compared are reported.
    """
    corpus = manifest.corpus()
    reports = []
    with corpus.open_census() as census:
        parts = _parts(manifest, corpus, census)
        shared = {name: np.zeros(part.cells.n_cells, np.bool_) for name, part in parts.items() if part.cells}
        for path in paths:
            evaluation = read_evaluation(corpus, path, census=census, layer=layer, gene_column=gene_column)
            overlaps = {name: _overlap(part, evaluation, by) for name, part in parts.items()}
            for name, overlap in overlaps.items():
                if isinstance(overlap, Overlap):
                    shared[name] |= overlap.any_of(CELL_METHODS)
            reports.append(_report(evaluation, parts, overlaps))
    held = manifest.held_cells
    return LeakageReport(
        manifest=manifest.ref,
        id=manifest.id,
        n_cells=held.sources.get(CENSUS, 0),
        n_spike_ins={name: n for name, n in held.sources.items() if name != CENSUS},
        n_shared_cells=sum(int(each.sum()) for each in shared.values()),
        evaluations=tuple(reports),
    )


@dataclass(frozen=True)
class _Part:
    """Cells of a manifest that are of its corpus or of one source.

    Attributes
    ----------
    cells
        All of the corpus or source; None when it is not at hand.
    rows
        int64 ascending, those of the manifest.
    joinids
        int64, their soma_joinids; of a source, its rows.
    split
        uint8, their splits.
    """

    name: str
    cells: Compared | None
    rows: NDArray[np.int64]
    joinids: NDArray[np.int64]
    split: NDArray[np.uint8]


def _parts(manifest: Manifest, corpus: Corpus, census: Census) -> dict[str, _Part]:
    """Return the cells of the corpus first, then those of each source."""
    held = manifest.held_cells
    sources = sources_at_hand(manifest.document, corpus)
    parts = {}
    for name in (CENSUS, *(each for each in held.sources if each != CENSUS)):
        at = held.rows_of(name)
        joinids, split = held.soma_joinid[at], held.split[at]
        if name == CENSUS:
            rows = corpus_rows(corpus, joinids).astype(np.int64)
            parts[name] = _Part(name, CorpusCells(corpus, census), rows, joinids, split)
        else:
            cells = SourceCells(sources[name]) if name in sources else None
            parts[name] = _Part(name, cells, joinids, joinids, split)
    return parts


def _overlap(part: _Part, evaluation: EvaluationSet, by: Sequence[Method]) -> Overlap | str:
    """Return what an evaluation set shares with a part; of a source, why it could not be compared."""
    if part.cells is None:
        return (
            f"the corpus has no source {part.name!r} of this content; add it with `curate corpus add-source`"
        )
    compared = np.zeros(part.cells.n_cells, np.bool_)
    try:
        compared[part.rows] = True
        return find_overlap(part.cells, evaluation, compared=compared, by=by)
    except (SourceError, LeakageError) as error:
        if part.name == CENSUS:
            raise
        return str(error)


def _report(
    evaluation: EvaluationSet, parts: Mapping[str, _Part], overlaps: Mapping[str, Overlap | str]
) -> EvaluationReport:
    compared = {name: each for name, each in overlaps.items() if isinstance(each, Overlap)}
    of_corpus = compared[CENSUS]
    sources = {}
    for name, part in parts.items():
        if name == CENSUS:
            continue
        overlap = overlaps[name]
        sources[name] = (
            SourceReport(n_cells=len(part.rows), why_not=overlap)
            if isinstance(overlap, str)
            else SourceReport(
                n_cells=len(part.rows),
                n_shared_cells=int(overlap.any_of(CELL_METHODS).sum()),
                methods=_methods(part, overlap),
                **_how(overlap.scan),
            )
        )
    return EvaluationReport(
        name=evaluation.name,
        fingerprint=evaluation.fingerprint,
        n_cells=evaluation.n_cells,
        n_genes=evaluation.n_genes,
        n_mapped=evaluation.n_mapped,
        was_normalised=evaluation.was_normalised,
        n_without_counts=int((~evaluation.is_count).sum()),
        methods=_methods(parts[CENSUS], of_corpus),
        sources=sources,
        n_shared_cells=sum(int(each.any_of(CELL_METHODS).sum()) for each in compared.values()),
        donors=_donors([(parts[name], each) for name, each in compared.items()]),
        pairs=pl.concat([_pairs(parts[name], each) for name, each in compared.items()]),
        **_how(of_corpus.scan),
    )


def _methods(part: _Part, overlap: Overlap) -> dict[Method, MethodCount]:
    return {
        method: MethodCount(
            n_cells=int(same.cells.sum()),
            n_evaluation_cells=int(same.evaluation.sum()),
            splits=_by_split(part.split[same.cells[part.rows]]),
            why_not=same.why_not,
        )
        for method, same in overlap.same.items()
    }


def _how(scan: Scan | None) -> dict[str, Any]:
    """Return how content was compared."""
    if scan is None:
        return {"n_too_few": 0, "undecidable_fraction": None, "gene_sets": ()}
    return {
        "n_too_few": len(scan.few),
        "undecidable_fraction": max(
            (each.undecidable_fraction or 0.0 for each in scan.gene_sets), default=0.0
        ),
        "gene_sets": tuple(each.model_dump() for each in scan.gene_sets),
    }


def _donors(compared: Sequence[tuple[_Part, Overlap]]) -> pl.DataFrame:
    """Count the cells that each method found of each donor."""
    counted = []
    for part, overlap in compared:
        assert part.cells is not None
        found = np.flatnonzero(overlap.any_of(list(overlap.same)))
        donors = part.cells.columns(DONOR).select(pl.all().gather(found).cast(pl.String))
        by_method = [pl.Series(method, same.cells[found]) for method, same in overlap.same.items()]
        counted.append(donors.with_columns(by_method))
    methods = list(compared[0][1].same)
    return (
        pl.concat(counted)
        .group_by(DONOR)
        .agg(pl.len().cast(pl.Int64).alias("n_cells"), *(pl.col(each).sum() for each in methods))
        .sort("n_cells", *DONOR, descending=[True, False, False])
    )


def _by_split(codes: NDArray[np.uint8]) -> dict[str, int]:
    counts = np.bincount(codes, minlength=len(SPLITS))
    return {name: int(n) for name, n in zip(SPLITS, counts, strict=False)}


def _pairs(part: _Part, overlap: Overlap) -> pl.DataFrame:
    if overlap.scan is None:
        return pl.DataFrame()
    pairs = overlap.scan.pairs
    at = np.searchsorted(part.rows, pairs["row"].to_numpy())
    return pairs.select(
        source=pl.lit(part.name, dtype=pl.String),
        soma_joinid=pl.Series(part.joinids[at], dtype=pl.Int64),
        split=pl.Series([SPLITS[code] for code in part.split[at]], dtype=pl.String),
        evaluation_cell=overlap.evaluation.names.cast(pl.String)[pairs["cell"]],
        score="score",
        nearest="nearest",
        is_exact="is_exact",
        is_near="is_near",
    )
