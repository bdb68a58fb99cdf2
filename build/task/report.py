"""What a task finds in a corpus: cells that match, types that are absent, the genes of its reference."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.build.exclusions import exclude
from curate.build.task.exclusions import obs_exclusions
from curate.build.task.vectors import GeneOverlap, gene_overlap
from curate.errors import TaskError

if TYPE_CHECKING:
    from curate.build.embeddings.embedding import Embedding
    from curate.build.task.description import WantedType, WantedValue
    from curate.build.task.reference import Label
    from curate.build.task.task import Task


@dataclass(frozen=True)
class TaskReport:
    """A task beside a corpus.

    Attributes
    ----------
    n_cells
        Of the corpus.
    n_exact, n_by_descent
        Cells of a wanted type; of a kind of one.
    n_matching
        Cells of a wanted type, tissue, disease and assay, kinds included where they count.
    absent
        Wanted types, tissues, diseases and assays that no cell has.
    labels
        Of the training half of the reference.
    genes
        Of the reference; None where there is none.
    unfit
        Why the reference cannot be brought into the space of the embedding; None where it can, or none was
        looked at.
    excluded
        By reason, the cells that the index alone leaves out; a build looks for those of the reference.
    """

    name: str
    kind: str
    corpus: str
    embedding: str | None
    ontology: str
    n_cells: int
    descendants: bool
    n_exact: int
    n_by_descent: int
    n_matching: int
    types: tuple[WantedType, ...]
    values: tuple[WantedValue, ...]
    absent: tuple[str, ...]
    reference: dict[str, Any] | None
    labels: dict[str, Label]
    genes: GeneOverlap | None
    n_vectors: int | None
    unfit: str | None
    excluded: dict[str, int]
    excludes_reference: str
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        return asdict(self)


def report_task(task: Task, embedding: Embedding | None = None) -> TaskReport:
    """Resolve a task against its corpus and, where one is given, an embedding.

    Raises
    ------
    TaskError
        When a description matches no cell, or the reference shares no genes with the corpus.
    """
    document, matches = task.document, task.matches
    if task.reference is None and not matches.n_cells:
        raise TaskError(task.no_match(task.corpus.n_cells))
    genes, n_vectors, unfit = _genes(task, embedding)
    _, dropped = exclude(task.corpus, np.ones(task.corpus.n_cells, np.bool_), obs_exclusions(task))
    absent = [f"{each.label} ({each.term_id})" for each in _absent(task)]
    absent += [f"{each.column} {each.value!r}" for each in matches.values if not each.n_cells]
    reference = task.record().reference
    return TaskReport(
        name=document.name,
        kind=document.kind,
        corpus=task.corpus.name,
        embedding=embedding.name if embedding is not None else None,
        ontology=f"{task.ontology.release} ({task.ontology.record.source})",
        n_cells=task.corpus.n_cells,
        descendants=document.wanted.descendants,
        n_exact=int(matches.exact.sum()),
        n_by_descent=int(matches.by_descent.sum()),
        n_matching=matches.n_cells,
        types=matches.types,
        values=matches.values,
        absent=tuple(absent),
        reference=None if reference is None else reference.model_dump(mode="json"),
        labels=task.reference.labels if task.reference is not None else {},
        genes=genes,
        n_vectors=n_vectors,
        unfit=unfit,
        excluded={each.reason: each.n_cells for each in dropped},
        excludes_reference=document.exclude.reference if task.excludes_reference else "none",
        notes=task.notes,
    )


def _absent(task: Task) -> tuple[WantedType, ...]:
    return task.matches.absent(with_descendants=task.document.wanted.descendants)


def _genes(task: Task, embedding: Embedding | None) -> tuple[GeneOverlap | None, int | None, str | None]:
    """Return the genes that are shared, the vectors that a strategy would get, and why it would get none."""
    if task.reference is None:
        return None, None, None
    genes = gene_overlap(task.document, task.reference, task.corpus, embedding)
    if embedding is None:
        return genes, None, None
    try:
        vectors = task.vectors(embedding)
    except TaskError as error:
        return genes, None, str(error)
    assert vectors is not None
    return genes, len(vectors.values), None
