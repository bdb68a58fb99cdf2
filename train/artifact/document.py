"""The content of run.json, format 1: what a model was trained on, how, and what came of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from curate.documents import Document, SealedDocument, canonical_digest
from curate.manifests.document import Split, TaskRecord
from curate.train.fit.plan import Precision, Stopped
from curate.train.shards.shards import Checked

FORMAT: Final = 1
Count = Annotated[int, Field(ge=0)]


class BudgetRecord(Document):
    """When training was to stop; see `curate.train.fit.plan.Budget`."""

    max_steps: int | None = None
    max_cells: int | None = None
    max_minutes: float | None = None


class Asked(Document):
    """All that decides a model; its digest is the id of the artifact.

    Between machines the last bits of the weights may differ; the id does not.

    Attributes
    ----------
    manifest, genes
        Id of the manifest, and digest of the gene ids in order.
    shards_seed
        Of the order of the cells in the shards, which that of batches follows from.
    task
        Digest of what of the task decides.
    devices
        How many ranks shared a step.
    checkpoint_step
        Where the run was broken off, and its checkpoint of this step taken; None of one that has ended.
    """

    format: Literal[1] = FORMAT
    model: str
    settings: dict[str, Any]
    manifest: str
    genes: str
    shards_seed: int
    seed: int
    task: str | None
    is_untrained: bool
    is_weighted: bool
    budget: BudgetRecord
    precision: Precision
    devices: int
    validation_steps: int | None
    validation_cells: int
    checkpoint_step: int | None = None

    @property
    def id(self) -> str:
        """sha256 (hex) over all of it; without the step where none is named, as before there was one."""
        left_out = {"checkpoint_step"} if self.checkpoint_step is None else None
        return canonical_digest(self.model_dump(mode="json", exclude=left_out))

    @property
    def whole(self) -> Asked:
        """What was asked for before the run was broken off."""
        return self.model_copy(update={"checkpoint_step": None})


class TrainedOn(Document):
    """The cells: names that the ids in `Asked` had then, and numbers.

    Attributes
    ----------
    label
        What the store of the corpus says about itself, such as that its cells are simulated.
    """

    manifest_ref: str
    corpus: str
    corpus_name: str
    organism: str
    release: str
    label: str | None
    n_cells: dict[Split, Count]
    n_genes: Count


class ShardsRecord(Document):
    """The shards as they were when training began.

    Attributes
    ----------
    digest
        Of the sha256 of every file, as shards.json records them.
    checked
        Whether the files are those: compared with it, or written by the same command; "no" where that was
        left out, so that nothing vouches for what the weights were fitted to.
    """

    digest: str
    checked: Checked


class Cost(Document):
    """What training took; see `curate.train.fit.plan.FitReport`."""

    n_cells: Count
    n_steps: Count
    n_epochs: Count
    seconds: float
    waiting_fraction: float | None
    energy_joules: float | None


class Environment(Document):
    """What it was trained with.

    Attributes
    ----------
    gpu
        Name of the one that was used; None for the processor.
    n_threads
        Of torch, inside an operation.
    """

    software: dict[str, str]
    python: str
    platform: str
    processor: str
    n_cores: int
    n_threads: int
    gpu: str | None


class RunDocument(SealedDocument):
    """What stands in run.json.

    Attributes
    ----------
    id
        Digest of `asked`.
    preset
        The settings before any was changed.
    n_parameters, n_numbers
        What gradients change; all that the weights hold, which a model that is found in passes has too.
    ontology
        Release of the Cell Ontology by which the types of the task were looked up.
    broken_off
        Why the run ended before its time, where its checkpoint was taken and that is known.
    shards
        None where it was made before they were written down.
    best_step, best_loss
        The validation whose weights were kept.
    files
        sha256 of every other file of the folder.
    n_bytes
        Their sizes; none where it was made before these were written down.
    created
        UTC.
    """

    format: Literal[1] = FORMAT
    id: str
    model: str
    preset: str
    asked: Asked
    trained_on: TrainedOn
    shards: ShardsRecord | None = None
    task: TaskRecord | None
    ontology: str | None = None
    n_dims: int
    n_parameters: Count
    n_numbers: Count | None = None
    stopped: Stopped
    broken_off: str | None = None
    cost: Cost
    best_step: int | None
    best_loss: float | None
    environment: Environment
    files: dict[str, str]
    n_bytes: dict[str, Count] = Field(default_factory=dict)
    created: datetime
