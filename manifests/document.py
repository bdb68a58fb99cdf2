"""manifest.json, format 1: what was selected from what, how, and what came of it.

Every record below says which of its fields decide the id of a manifest; the others describe.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, JsonValue, StringConstraints

from curate.documents import Document, canonical_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMAT = 1
CENSUS = "census"
"""The source of the corpus' own cells in cells.parquet; every other source is a spike-in."""

BASE, CONTAINS = "base", "contains"
"""How a manifest comes from its parent: the parent spiked; a step of a ladder that contains the one below."""

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._+=-]{0,127}$"
_CAME_LATER = {
    "corpus": ("census", "label"),
    "selection": ("task",),
    "splits": ("n_units", "labels_outside_train"),
}
"""Keys that older manifests lack; their bytes are still those of their content."""

FOUND_OF_SPLITS = ("n_units", "counts", "labels_in_one_split", "labels_outside_train")
"""What of `splits` is found from the cells: it does not enter the id."""

TAG_PATTERN = r"^(?!v[0-9]+$)[A-Za-z][A-Za-z0-9._+=-]{0,63}$"


def _plain(value: object) -> object:
    """Turn numpy scalars and tuples into what JSON knows."""
    if isinstance(value, dict):
        return {str(key): _plain(held) for key, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(held) for held in value]
    return value.item() if hasattr(value, "item") else value


def _finite(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    json.dumps(value, allow_nan=False)
    return value


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Parameters = Annotated[dict[str, JsonValue], BeforeValidator(_plain), AfterValidator(_finite)]


class CorpusRecord(Document):
    """The corpus that the cells come from; `id` enters the manifest's id."""

    id: Sha256
    name: str
    release: str = Field(description="Build date of the Census, else its label.")
    uri: str | None = Field(description="Where the store was, when it was not a public release.")
    organism: str
    recipe: str
    n_cells: Count
    identity: str = Field(description="What names a cell across stores, for instance release+soma_joinid.")
    census: str | None = Field(
        default=None,
        description="What stands for the counts of the Census; joinids hold across corpora of equal ones.",
    )
    label: str | None = Field(
        default=None, description="What the store says about itself, such as that its cells are simulated."
    )


class GenesRecord(Document):
    """The ordered genes of the corpus; `id` enters the manifest's id."""

    id: Sha256 = Field(description="sha256 of the ordered feature ids joined by newlines.")
    n: Count


class TaskReferenceRecord(Document):
    """The reference data of a task: what they are called, and which of them decide; it describes."""

    kind: Literal["h5ad", "census", "corpus"] = Field(
        description="corpus: cells to choose from that match the description, there being no other reference."
    )
    name: str
    sha256: Sha256 | None = Field(default=None, description="Of the whole file, held-out half included.")
    split: Parameters = Field(default={}, description="What divides it: by, and train_fraction or train.")
    n_train: Count = Field(description="Cells for training; no others decide.")
    n_held_out: Count
    n_used: Count | None = Field(
        default=None, description="Cells whose vectors the strategy was given; null where it reads none."
    )


class TaskRecord(Document):
    """The downstream task that the cells were chosen for; of it only `digest` enters the manifest's id."""

    name: str
    kind: Literal["classification", "integration", "perturbation"]
    digest: Sha256 | None = Field(
        description="Of what of the task decides the choice: wanted types, ontology, content of the training "
        "half; null where it decides by its exclusions only."
    )
    wanted: tuple[str, ...] = Field(description="Ids of the Cell Ontology.")
    descendants: bool = Field(description="Whether kinds of these types are wanted too.")
    reference: TaskReferenceRecord | None = None


class SelectionRecord(Document):
    """How the cells were chosen; all but `n_cells`, `n_available` and `notes` enter the manifest's id."""

    strategy: str
    parameters: Parameters = Field(default={})
    seed: int | None = None
    fraction: Share | None = Field(default=None, description="Null when a number of cells was asked for.")
    where: str | None = Field(default=None, description="The filter on obs that came before the strategy.")
    embedding: str | None = Field(default=None, description="Id of the embedding that the strategy read.")
    task: TaskRecord | None = Field(
        default=None, description="The task that the cells were chosen for; only its digest enters the id."
    )
    n_cells: Count = Field(default=0, description="Cells of the corpus that were chosen.")
    n_available: Count | None = Field(default=None, description="Cells that there were to choose from.")
    notes: Parameters = Field(default={}, description="What the strategy found out on the way.")


class SplitRecord(Document):
    """How the cells were divided; `unit`, `ratios`, `seed` and `parameters` enter the manifest's id."""

    unit: str = Field(default="cell", description="What stays together: cell, or one or more obs columns.")
    ratios: dict[Split, Share] = Field(default={"train": 0.8, "val": 0.1, "test": 0.1})
    seed: int | None = 0
    parameters: Parameters = Field(default={}, description="For instance stratify_by.")
    n_units: dict[Split, Count] | None = Field(
        default=None, description="Units of the whole corpus in each split; null where a unit is a cell."
    )
    counts: dict[Split, Count] = Field(default={}, description="Cells of each split, spike-ins included.")
    labels_in_one_split: dict[str, dict[str, Split]] = Field(
        default={}, description="Per obs column, the labels that occur in one split only, and in which."
    )
    labels_outside_train: dict[str, dict[str, Count]] | None = Field(
        default=None, description="Per obs column, the labels that the training cells lack, and their cells."
    )


class SpikeInRecord(Document):
    """Cells of another source among the cells; all but `n_cells` enters the manifest's id."""

    source: Name
    id: Sha256 = Field(description="Fingerprint of the source's content.")
    fraction: Share | None = None
    mode: Literal["replace", "add"] = "replace"
    parameters: Parameters = Field(default={}, description="For instance balance, control and seed.")
    n_cells: Count = 0


class ExclusionRecord(Document):
    """Cells that were not to be chosen, and why; everything enters the manifest's id."""

    reason: str
    n_cells: Count = Field(description="Cells left out for this reason and none before it.")
    parameters: Parameters = Field(default={}, description="For instance the data sets compared with.")


class ParentRecord(Document):
    """A manifest that this one was derived from; `id` and `relation` enter the manifest's id."""

    id: Sha256
    relation: str = Field(description="For instance base (of a spike-in) or contains (a step of a ladder).")
    ref: str | None = Field(default=None, description="What the parent was called at the time.")


class DiversityRecord(Document):
    """Diversity of the labels of one obs column."""

    split: Split | None = Field(description="The cells it is of; null when all, there being none to train.")
    n_cells: Count
    n_labels: Count
    shannon_bits: Finite
    inverse_simpson: Finite
    gini_simpson: Finite


class FileRecord(Document):
    """A file beside manifest.json."""

    sha256: Sha256
    n_bytes: Count


class ManifestDocument(Document):
    """The content of manifest.json."""

    format: Literal[1] = 1
    name: Name
    version: Annotated[int, Field(ge=1)]
    id: Sha256 = Field(description="sha256 over all that decides the content; see docs/manifest-format.md.")
    created: AwareDatetime
    corpus: CorpusRecord
    genes: GenesRecord
    selection: SelectionRecord
    splits: SplitRecord
    spike_ins: tuple[SpikeInRecord, ...] = ()
    exclusions: tuple[ExclusionRecord, ...] = ()
    parents: tuple[ParentRecord, ...] = ()
    n_cells: Count = Field(description="All cells, spike-ins included.")
    n_donors: Count = Field(description="Distinct (dataset_id, donor_id).")
    composition: dict[str, dict[str, Count]] = Field(
        description="Cells per label of an obs column, most first; a cell labelled 'A || B' counts for both."
    )
    diversity: dict[str, DiversityRecord] = Field(description="Per obs column.")
    software: dict[str, str] = Field(description="Versions that wrote it.")
    files: dict[str, FileRecord]
    digest: Sha256 = Field(description="sha256 of the canonical JSON of this document without this key.")

    @property
    def ref(self) -> str:
        """The manifest's reference in its registry: name@vN."""
        return f"{self.name}@v{self.version}"

    def to_bytes(self) -> bytes:
        """Return the bytes of manifest.json."""
        return (json.dumps(self._content(), indent=2, ensure_ascii=False) + "\n").encode()

    def sealed(self) -> ManifestDocument:
        """Return the document with the digest of its own content."""
        return self.model_copy(update={"digest": header_digest(self._content())})

    def _content(self) -> dict[str, Any]:
        """Return what manifest.json holds: keys that came later are left out when they say nothing."""
        content = self.model_dump(mode="json")
        for record, keys in _CAME_LATER.items():
            for key in keys:
                if content[record][key] is None:
                    del content[record][key]
        return content

    def content_id(self, cells_digest: str) -> str:
        """Return the id: sha256 over everything that decides the content, and over nothing else.

        Parameters
        ----------
        cells_digest
            Of the cells' values (`Cells.digest`), never of Parquet bytes.
        """
        return canonical_digest({"format": self.format, **self.asked(), "cells": cells_digest})

    def asked(self) -> dict[str, Any]:
        """Return what was asked for: all that decides the id but for the cells themselves."""
        return asked(
            corpus_id=self.corpus.id,
            genes_id=self.genes.id,
            selection=self.selection,
            splits=self.splits,
            spike_ins=self.spike_ins,
            exclusions=self.exclusions,
            parents=self.parents,
        )


def asked(
    *,
    corpus_id: str,
    genes_id: str,
    selection: SelectionRecord,
    splits: SplitRecord,
    spike_ins: Sequence[SpikeInRecord] = (),
    exclusions: Sequence[ExclusionRecord] = (),
    parents: Sequence[ParentRecord] = (),
) -> dict[str, Any]:
    """Return what is asked of a manifest, as JSON knows it; what will be found on the way is left out."""
    return {
        "corpus": corpus_id,
        "genes": genes_id,
        "selection": _dump(selection, "n_cells", "n_available", "notes", "task") | _deciding(selection.task),
        "splits": _dump(splits, *FOUND_OF_SPLITS),
        "spike_ins": [_dump(spike_in, "n_cells") for spike_in in spike_ins],
        "exclusions": [_dump(exclusion) for exclusion in exclusions],
        "parents": [_dump(parent, "ref") for parent in parents],
    }


def header_digest(content: dict[str, Any]) -> str:
    """Return the digest of a document as parsed from JSON; its own `digest` is left out."""
    return canonical_digest({key: value for key, value in content.items() if key != "digest"})


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of manifest.json, as published in manifest-1.schema.json."""
    schema = ManifestDocument.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:curate:manifest:{FORMAT}",
    } | schema


def _deciding(task: TaskRecord | None) -> dict[str, Any]:
    """Return what of a task decides; nothing where none does, as in manifests older than tasks."""
    return {} if task is None or task.digest is None else {"task": task.digest}


def _dump(record: Document, *left_out: str) -> dict[str, Any]:
    return record.model_dump(mode="json", exclude=set(left_out))
