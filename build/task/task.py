"""A task document, resolved against a corpus.

1. the ontology is read, and the types that the document names are looked up in it;
2. the cells of the reference are divided, and the labels of the training half looked up (`reference`);
3. its exclusions are applied with those of the build (`exclusions`);
4. the target of a strategy is made: the training half in the space of the embedding (`vectors`), or, of a
   description, cells to choose from that match it (`description`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.build.task.description import match
from curate.build.task.reference import open_reference
from curate.build.task.target import TaskTarget
from curate.build.task.terms import terms_of
from curate.build.task.vectors import reference_vectors
from curate.documents import canonical_digest, file_digest
from curate.errors import TaskError
from curate.identity import cell_keys
from curate.manifests.document import TaskRecord, TaskReferenceRecord
from curate.ontology import GUIDE, Ontology
from curate.task import TaskDocument
from curate.wording import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.build.candidates import Candidates
    from curate.build.embeddings.embedding import Embedding
    from curate.build.task.description import Matches
    from curate.build.task.reference import Reference
    from curate.build.task.vectors import ReferenceVectors
    from curate.corpus import Corpus

MOST_MATCHING = 2**16
"""Vectors of matching cells that a description is given by; where more match, so many drawn by their keys."""


@dataclass(frozen=True)
class Aim:
    """What a strategy is told of a task, and what a manifest says of it."""

    target: TaskTarget
    record: TaskRecord


@dataclass(frozen=True)
class Task:
    """A task document, resolved against a corpus.

    Attributes
    ----------
    wanted
        Ids of the types that it wants, ascending: those of the document, else those of the training half.
    reference
        None of a description.
    """

    document: TaskDocument
    corpus: Corpus
    ontology: Ontology
    wanted: tuple[str, ...]
    reference: Reference | None

    @classmethod
    def open(cls, source: str | Path | TaskDocument, corpus: Corpus) -> Task:
        """Read a document, its ontology and the obs of its reference.

        Raises
        ------
        TaskError
            When the document is none, names a type that the Cell Ontology does not know, a column that is
            not there, or a reference of which no cell is for training or that is larger than the corpus.
        RecipeError
            When the ontology cannot be read.
        SourceError, CensusError
            When the reference cannot be read.
        """
        document = source if isinstance(source, TaskDocument) else TaskDocument.load(source)
        release = document.ontology.release or _release_of(corpus)
        ontology = Ontology.load(_ontology_source(document), release=release)
        wanted = terms_of(document.wanted.cell_types, ontology, where="wanted.cell_types")
        terms = document.reference.terms if document.reference is not None else {}
        terms_of(terms.values(), ontology, where="reference.terms")
        reference = open_reference(document, corpus, ontology)
        if not wanted and reference is not None:
            wanted = reference.terms
        return cls(document, corpus, ontology, wanted, reference)

    @property
    def ontology_source(self) -> str:
        """Where its ontology is read from: as in `Ontology.load`."""
        return _ontology_source(self.document)

    @property
    def excludes_reference(self) -> bool:
        """Whether cells of the reference are looked for in the corpus."""
        return self.reference is not None and self.document.exclude.reference != "none"

    @property
    def excludes(self) -> bool:
        """Whether it leaves any cells out."""
        excluded = self.document.exclude
        return self.excludes_reference or bool(excluded.dataset_ids) or excluded.where is not None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of it, before it is used."""
        return tuple(_notes(self))

    @cached_property
    def matches(self) -> Matches:
        """The cells of the corpus that it describes; of a reference, those of the types of its labels."""
        return match(self.corpus, self.wanted, self.document.wanted, self.ontology)

    def vectors(self, embedding: Embedding) -> ReferenceVectors | None:
        """Return the training half of the reference in the space of an embedding, made once for each.

        Raises
        ------
        TaskError, SourceError, CensusError
            As `reference_vectors`.
        """
        if self.reference is None:
            return None
        if embedding.id not in self._vectors:
            found = reference_vectors(self.document, self.reference, self.corpus, embedding)
            self._vectors[embedding.id] = found
        return self._vectors[embedding.id]

    def aim(self, candidates: Candidates | None, embedding: Embedding | None) -> Aim:
        """Return what a strategy, or a model, is told.

        Parameters
        ----------
        candidates
            Those of them that match are the reference of a description; not looked at without an embedding.
        embedding
            None for a strategy that reads none, and for a model; then no counts of the reference are read.

        Raises
        ------
        TaskError
            When a description matches none of the candidates, or as `vectors`.
        """
        target = TaskTarget(self.document.name, self.wanted, self.document.wanted.descendants, self.ontology)
        deciding: dict[str, Any] = {
            "wanted": list(target.wanted),
            "descendants": target.with_descendants,
            "ontology": self.ontology.record.model_dump(mode="json", exclude={"source"}),
        }
        record = self.record()
        if embedding is not None:
            vectors = self.vectors(embedding)
            if vectors is not None:
                values, deciding["reference"] = vectors.values, vectors.digest
            else:
                assert candidates is not None
                rows, n_matching = self._matching(candidates)
                values = np.ascontiguousarray(embedding.values[candidates.to_corpus(rows)])
                deciding["description"] = self.document.wanted.model_dump(
                    mode="json", include={"tissues", "diseases", "assays"}
                )
                deciding["most"] = MOST_MATCHING
                assert record.reference is not None
                record = record.model_copy(
                    update={"reference": record.reference.model_copy(update={"n_train": n_matching})}
                )
            target = replace(target, reference=values)
            assert record.reference is not None
            used = record.reference.model_copy(update={"n_used": len(values)})
            record = record.model_copy(update={"reference": used})
        return Aim(target, record.model_copy(update={"digest": canonical_digest(deciding)}))

    def record(self) -> TaskRecord:
        """Return what a manifest says of it where it decides by its exclusions only."""
        return TaskRecord(
            name=self.document.name,
            kind=self.document.kind,
            digest=None,
            wanted=self.wanted,
            descendants=self.document.wanted.descendants,
            reference=self._reference_record,
        )

    @cached_property
    def _vectors(self) -> dict[str, ReferenceVectors]:
        return {}

    @cached_property
    def _reference_record(self) -> TaskReferenceRecord:
        held = self.reference
        if held is None:
            n_matching = self.matches.n_cells
            return TaskReferenceRecord(kind="corpus", name=self.corpus.name, n_train=n_matching, n_held_out=0)
        return TaskReferenceRecord(
            kind=held.kind,
            name=held.name,
            sha256=file_digest(Path(held.place)) if held.kind == "h5ad" else None,
            split=self.document.split.described(),
            n_train=held.n_train,
            n_held_out=held.n_held_out,
        )

    def _matching(self, candidates: Candidates) -> tuple[NDArray[np.int64], int]:
        """Return rows among the candidates that match, all or the MOST_MATCHING of the smallest keys."""
        rows: NDArray[np.int64] = np.flatnonzero(candidates.of(self.matches.every))
        if not rows.size:
            raise TaskError(self.no_match(candidates.n_cells))
        if rows.size <= MOST_MATCHING:
            return rows, rows.size
        keys = cell_keys(candidates.identity[rows], seed=0, purpose="task reference")
        nearest = np.argsort(keys, kind="stable")[:MOST_MATCHING]
        return np.sort(rows[nearest]), rows.size

    def no_match(self, n_candidates: int) -> str:
        """Say that nothing to choose from matches, and what there is of what the task wants."""
        matches, wanted = self.matches, self.document.wanted
        there = [
            f"{each.label} {each.n_exact + (each.n_by_descent if wanted.descendants else 0):,}"
            for each in matches.types
        ]
        there += [f"{each.column} {each.value} {each.n_cells:,}" for each in matches.values]
        return (
            f"task {self.document.name}: none of the {n_candidates:,} cells to choose from of corpus "
            f"{self.corpus.name} matches its description (cells of the corpus by itself: {', '.join(there)}; "
            f"all together {matches.n_cells:,}); loosen [wanted], or what is left out"
        )


def _ontology_source(document: TaskDocument) -> str:
    source = document.ontology.source
    return GUIDE if source == GUIDE else document.beside(source)


def _release_of(corpus: Corpus) -> str | None:
    """Return the release of the guide that the corpus was built with, so that types mean the same."""
    record = corpus.header.ontology
    return record.release if record is not None and record.source == GUIDE else None


def _notes(task: Task) -> list[str]:
    reference = task.reference
    notes = []
    if reference is not None:
        unknown = [label for label, held in reference.labels.items() if held.term_id is None]
        if unknown and not task.document.wanted.cell_types:
            n_cells = sum(reference.labels[label].n_cells for label in unknown)
            notes.append(
                f"{counted(len(unknown), 'label')} of {reference.name} unknown to the Cell Ontology, such as "
                f"{unknown[0]!r} ({counted(n_cells, 'cell')} of the training half in all); say under "
                "[reference.terms] which terms they are"
            )
        if reference.n_unlabelled:
            notes.append(
                f"{counted(reference.n_unlabelled, 'cell')} of the training half of {reference.name} left "
                "out, for having no label"
            )
        if not reference.n_held_out:
            notes.append(f"no cell of {reference.name} is held out: there is nothing to evaluate on")
    return notes
