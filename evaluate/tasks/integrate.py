"""Integration: whether a representation mixes batches and keeps what the cells are.

Zero-shot: the representation stays as it is. The current set of scib-metrics, and where asked for the set
that the study computed with scib. Scores are normalised between two controls made of the principal components
of the data: rows shuffled within batches have all of the batch effect and no types (0), rows shuffled within
labels have the types and no batches (1).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
from pydantic import Field

from curate.errors import EvaluationError
from curate.evaluate.integration.cells import choose_cells
from curate.evaluate.integration.controls import shuffled_within
from curate.evaluate.integration.distances import geometry
from curate.evaluate.metrics.integration import (
    BATCH,
    BIO,
    bras,
    by_group,
    clisi,
    graph_connectivity,
    ilisi,
    isolated_labels,
    kbet,
    kmeans_agreement,
    pcr_comparison,
    totals,
)
from curate.evaluate.metrics.legacy_integration import LEGACY, legacy_scores
from curate.evaluate.results import Score
from curate.evaluate.subject import REPRESENTATIONS
from curate.evaluate.tasks.task import EvaluationTask, TaskSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.evaluate.data import EvaluationData
    from curate.evaluate.integration.cells import IntegrationCells
    from curate.evaluate.subject import Subject

EMBEDDING: Final = "embedding"
TRIVIAL: Final = "shuffled-within-batches"
REPLICATE: Final = "shuffled-within-labels"


class IntegrateSettings(TaskSettings):
    """Settings of `integrate`.

    Attributes
    ----------
    batch_column, label_column
        Columns of obs. Cells of which either is unknown are left out, and batches and labels with one cell.
    max_cells
        Where there are more, so many are drawn by the seed: time grows as their square. All when None.
    n_neighbors
        Of LISI, the cell itself counted, as in scib-metrics; other metrics take the first of them.
    legacy
        Whether the study's set is given too; it needs igraph.
    """

    batch_column: str = "batch"
    label_column: str = "cell_type"
    max_cells: Annotated[int, Field(ge=2)] | None = 20_000
    n_neighbors: Annotated[int, Field(ge=6)] = 90
    legacy: bool = False


def evaluate(
    subject: Subject, data: EvaluationData, settings: IntegrateSettings, *, seed: int
) -> list[Score]:
    """Measure how a representation integrates.

    Raises
    ------
    EvaluationError
        When there is no such column, one batch or label only, fewer cells than neighbours, the vectors are
        all the same or not finite, or igraph is asked for and is not there.
    ModelError
        When the data have too few of the model's genes.
    """
    cells = _cells(data, settings, seed)
    vectors = subject.embed(data)[cells.rows]
    check_vectors(vectors, of=subject.name)
    return scores(vectors, _unintegrated(data)[cells.rows], cells, data, settings, method=EMBEDDING)


def baselines(data: EvaluationData, settings: IntegrateSettings, *, seed: int) -> list[Score]:
    """Measure the controls: without types, and without batches."""
    cells = _cells(data, settings, seed)
    before = _unintegrated(data)[cells.rows]
    found: list[Score] = []
    for number, (method, groups) in enumerate(((TRIVIAL, cells.batches), (REPLICATE, cells.labels))):
        vectors = shuffled_within(before, groups, rng=np.random.default_rng([seed, number]))
        found += scores(vectors, before, cells, data, settings, method=method)
    return found


def scores(
    vectors: NDArray[np.floating],
    before: NDArray[np.floating],
    cells: IntegrationCells,
    data: EvaluationData,
    settings: IntegrateSettings,
    *,
    method: str,
) -> list[Score]:
    """Return all metrics of an embedding, and by label those that are means over labels.

    A metric that these cells do not define, such as kBET where no label is in two batches, is left out, and
    so are the means that it enters; a notice says so.

    Parameters
    ----------
    vectors, before
        Of the cells, [n, d] each: the embedding, and the data unintegrated.
    """
    labels, batches = cells.labels, cells.batches
    seen = geometry(vectors, labels, batches, n_neighbors=settings.n_neighbors)
    nmi, ari = kmeans_agreement(vectors, labels)
    by_label = {
        "silhouette_label": (by_group(seen.of_labels, labels) + 1) / 2,
        "bras": bras(vectors, labels, batches),
        "kbet": kbet(seen.neighbors, labels, batches),
        "graph_connectivity": graph_connectivity(seen.neighbors, labels),
    }
    values = {
        "isolated_labels": isolated_labels(seen.of_labels, labels, batches),
        "kmeans_nmi": nmi,
        "kmeans_ari": ari,
        "silhouette_label": float(seen.of_labels.mean() + 1) / 2,
        "clisi": clisi(seen.neighbors, labels),
        "ilisi": ilisi(seen.neighbors, batches),
        "pcr_comparison": pcr_comparison(before, vectors, batches),
    }
    for name in ("bras", "kbet", "graph_connectivity"):
        told = by_label[name][np.isfinite(by_label[name])]
        values[name] = float(told.mean()) if told.size else float("nan")
    if settings.legacy:
        values |= legacy_scores(vectors, seen, labels, batches)
    if undefined := sorted(name for name, value in values.items() if not np.isfinite(value)):
        data.notice(f"not defined on these batches and labels, and left out: {', '.join(undefined)}")
    values = {name: value for name, value in values.items() if np.isfinite(value)}
    values |= totals(values)
    found = [Score("zero-shot", method, name, value, cells.n_cells) for name, value in values.items()]
    sizes = np.bincount(labels).tolist()
    for name, each in by_label.items():
        found += [
            Score("zero-shot", method, name, value, size, f"{settings.label_column}={label}")
            for label, size, value in zip(cells.label_names, sizes, each.tolist(), strict=True)
            if np.isfinite(value)
        ]
    return found


def check_vectors(vectors: NDArray[np.floating], *, of: str) -> None:
    """Refuse vectors that say nothing.

    Raises
    ------
    EvaluationError
        When one is not finite, or all are the same.
    """
    if n_bad := int((~np.isfinite(vectors)).any(axis=1).sum()):
        raise EvaluationError(f"{of} gives {n_bad:,} of {len(vectors):,} cells vectors that are not finite")
    if (vectors == vectors[0]).all():
        raise EvaluationError(f"{of} gives all {len(vectors):,} cells the same vector: it has collapsed")


def _cells(data: EvaluationData, settings: IntegrateSettings, seed: int) -> IntegrationCells:
    cells = choose_cells(
        data.labels(settings.label_column),
        data.labels(settings.batch_column, what="batches"),
        seed=seed,
        max_cells=settings.max_cells,
        n_neighbors=settings.n_neighbors,
        label_column=settings.label_column,
        batch_column=settings.batch_column,
    )
    for note in cells.notes:
        data.notice(note)
    return cells


@lru_cache(maxsize=1)
def _unintegrated(data: EvaluationData) -> NDArray[np.float32]:
    return REPRESENTATIONS["pca"](data)


INTEGRATE = EvaluationTask(
    name="integrate",
    summary="mix batches and keep types apart (scib-metrics' set)",
    reference="Luecken et al., Nature Methods 2022, doi 10.1038/s41592-021-01336-8",
    settings=IntegrateSettings,
    evaluate=evaluate,
    baselines=baselines,
    metrics=(*BIO, *BATCH, "bio_conservation", "batch_correction", "integration", *LEGACY),
    headline=("integration", "bio_conservation", "batch_correction", "bras", "kmeans_nmi"),
    trivial=TRIVIAL,
    replicate=REPLICATE,
)
