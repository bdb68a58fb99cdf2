"""Task documents: TOML files that say for which downstream task cells are wanted.

A document is resolved against a corpus by `curate.build.task`; evaluation reads the same one.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from curate.documents import Document, fault_in_words
from curate.errors import FilterError, TaskError
from curate.recipe import NAME_PATTERN, CensusSource, OntologySource
from curate.where import Where

FORMAT: Final = 1
CELL = "cell"

Kind = Literal["classification", "integration", "perturbation"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Texts = tuple[Annotated[str, Field(min_length=1)], ...]


def _parsed(text: str | None) -> str | None:
    try:
        _ = Where.parse(text) if text is not None else None
    except FilterError as error:
        raise ValueError(str(error)) from None
    return text


class ReferenceSource(Document):
    """``[reference]``: data of the task itself, an h5ad file or cells of a Census."""

    h5ad: str | None = Field(default=None, description="A file, relative to the document.")
    census: CensusSource | None = Field(
        default=None, description="A release or uri instead of a file; `where` says which cells of it."
    )
    where: str | None = Field(default=None, description="Only cells of the reference that match.")
    label_column: str | None = Field(
        default=None, description="obs column of what is to be told apart; cell_type where it is not said."
    )
    batch_column: str | None = Field(default=None, description="obs column of what is to be integrated.")
    perturbation_column: str | None = Field(default=None, description="obs column of perturbations.")
    control: Texts = Field(default=(), description="Values of perturbation_column of unperturbed cells.")
    terms: dict[str, str] = Field(
        default={}, description="Label of the reference -> id or label of the Cell Ontology."
    )
    layer: str | None = Field(
        default=None, description="Of a file: where its raw counts are; X, else raw.X, where it is not said."
    )
    gene_column: str | None = Field(
        default=None, description="Of a file: column of var with Ensembl ids or symbols."
    )
    embedding_key: str | None = Field(
        default=None,
        description="Of a file: key of obsm with its vectors in the space of an embedding without a model.",
    )

    _filter = field_validator("where")(_parsed)

    @model_validator(mode="after")
    def _one_source(self) -> ReferenceSource:
        if (self.h5ad is None) == (self.census is None):
            raise ValueError("name one of h5ad and census")
        if self.census is not None:
            if given := [key for key in ("layer", "gene_column", "embedding_key") if getattr(self, key)]:
                raise ValueError(f"{given[0]} goes with h5ad")
            if not (self.census.release or self.census.uri):
                raise ValueError("census names a release or a uri")
            if self.where is None:
                raise ValueError("a census goes with `where`: which cells of it")
        return self


class SplitRule(Document):
    """``[split]``: which cells of the reference are for training; the others are held out for evaluation."""

    by: str = Field(default=CELL, description="What stays together: cell, or an obs column such as donor_id.")
    train_fraction: float | None = Field(
        default=None, gt=0, le=1, description="Chance of a unit to be for training; 0.5 where it is not said."
    )
    seed: int | None = Field(default=None, ge=0, description="Of that chance; 0 where it is not said.")
    train: Texts = Field(default=(), description="Values of the column `by` that are for training.")
    held_out: Texts = Field(
        default=(), description="Values that are held out; all others where it is not said."
    )

    @model_validator(mode="after")
    def _one_way(self) -> SplitRule:
        if self.train and (self.train_fraction is not None or self.seed is not None):
            raise ValueError("name train, or train_fraction and seed, not both")
        if self.train and self.by == CELL:
            raise ValueError("train lists values of an obs column; name the column with `by`")
        if self.held_out and not self.train:
            raise ValueError("held_out goes with train")
        if both := set(self.train) & set(self.held_out):
            raise ValueError(f"{min(both)!r} is in train and in held_out")
        return self

    def described(self) -> dict[str, Any]:
        """Return the split as a manifest records it, defaults filled in."""
        if self.train:
            held_out = list(self.held_out) or "all others"
            return {"by": self.by, "train": list(self.train), "held_out": held_out}
        return {"by": self.by, "train_fraction": self.train_fraction or 0.5, "seed": self.seed or 0}


class Wanted(Document):
    """``[wanted]``: a description of the cells that the task is about."""

    cell_types: Texts = Field(
        default=(),
        description="Ids, labels or exact synonyms of the Cell Ontology; where none is named, the labels of "
        "the training half of the reference.",
    )
    descendants: bool = Field(default=True, description="Whether kinds of these types count too.")
    tissues: Texts = Field(default=(), description="Values of tissue or tissue_general.")
    diseases: Texts = ()
    assays: Texts = ()

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """The values wanted of each property of a cell but its type; empty where any will do."""
        return {"tissue": self.tissues, "disease": self.diseases, "assay": self.assays}


ReferenceCells = Literal["all", "held-out", "none"]
OverlapMethod = Literal["joinid", "exact", "near", "donor", "possible-donor"]


class Excluded(Document):
    """``[exclude]``: cells of the corpus that are not to be chosen for this task."""

    reference: ReferenceCells = Field(
        default="all",
        description="Cells of the reference that are found in the corpus: of both halves, of the held-out "
        "half, or none.",
    )
    by: tuple[OverlapMethod, ...] = Field(
        default=("joinid", "exact", "near"), min_length=1, description="How they are looked for."
    )
    dataset_ids: Texts = Field(default=(), description="Whole datasets of the corpus.")
    where: str | None = Field(default=None, description="Cells of the corpus that match.")

    _filter = field_validator("where")(_parsed)


class TaskDocument(Document):
    """What a downstream task is, what its reference data are, and what must not be chosen for it."""

    format: Literal[1] = FORMAT
    name: str = Field(pattern=NAME_PATTERN)
    kind: Kind
    description: str = ""
    reference: ReferenceSource | None = None
    split: SplitRule = SplitRule()
    wanted: Wanted = Wanted()
    exclude: Excluded = Excluded()
    ontology: OntologySource = OntologySource()
    _folder: Path = PrivateAttr(default_factory=Path)

    @classmethod
    def load(cls, path: str | Path) -> TaskDocument:
        """Read a document.

        Raises
        ------
        TaskError
            When the file is not there, is not TOML, has an unknown key or a value that does not fit, or
            describes nothing.
        """
        file = Path(path)
        try:
            content = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise TaskError(f"task {file} is not TOML: {error}") from None
        except OSError as error:
            raise TaskError(
                f"no task {str(path)!r}: {error.strerror}; name a TOML file, or write one with "
                "`curate task init`"
            ) from None
        try:
            document = cls.model_validate(content)
        except ValidationError as error:
            raise TaskError(f"task {file}: {fault_in_words(error, cls)}") from None
        document._folder = file.resolve().parent
        return document

    def beside(self, path: str) -> str:
        """Return a path or uri of the document with a relative path made one from its own folder."""
        return path if "://" in path else str(self._folder / path)

    @model_validator(mode="after")
    def _fits_together(self) -> TaskDocument:
        if self.reference is None:
            if "split" in self.model_fields_set:
                raise ValueError("split goes with reference: there is nothing to split")
            if not self.wanted.cell_types and not any(self.wanted.columns.values()):
                raise ValueError(
                    "it describes nothing: name a reference (h5ad or census), or cell_types, tissues, "
                    "diseases or assays under [wanted]"
                )
            return self
        needed = {"integration": "batch_column", "perturbation": "perturbation_column"}.get(self.kind)
        if needed is not None and getattr(self.reference, needed) is None:
            raise ValueError(f"a task of {self.kind} needs {needed} under [reference]")
        if self.kind == "perturbation" and not self.reference.control:
            raise ValueError("a task of perturbation needs control under [reference]: values of its controls")
        return self


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of task documents, as published in task-1.schema.json."""
    schema = TaskDocument.model_json_schema(mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:curate:task:{FORMAT}",
    } | schema
