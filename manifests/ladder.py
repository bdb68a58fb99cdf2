"""ladder.json, format 1: the manifests of a scaling study, and how they belong together."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from curate.documents import Document, canonical_digest
from curate.manifests.document import CorpusRecord, Count, Name, Parameters, Sha256, Share

FORMAT = 1


class StrategyRecord(Document):
    """A strategy of a ladder, and its parameters."""

    strategy: str
    parameters: Parameters


class StepRecord(Document):
    """One manifest of a ladder."""

    strategy: str
    fraction: Share
    seed: Count = Field(description="Of the ladder: the same at every step of one line.")
    drawn_with: Count = Field(
        description="The seed of the manifest: that of the ladder where it is nested, else one for each step."
    )
    spiked: bool = Field(
        default=False, description="Whether it is the step before it in the list, spiked; left out if not."
    )
    n_cells: Count
    manifest: Name
    version: Annotated[int, Field(ge=1)]
    id: Sha256

    @property
    def ref(self) -> str:
        """The reference of the manifest: name@vN."""
        return f"{self.manifest}@v{self.version}"


class SpikedShareRecord(Document):
    """A source, and its cells as a share of the training cells of each step."""

    source: Name
    id: Sha256 = Field(description="Fingerprint of the source's content.")
    fraction: Share


class SpikedStepsRecord(Document):
    """What every step of a ladder was spiked with, in a manifest of its own beside the step."""

    shares: tuple[SpikedShareRecord, ...]
    mode: Literal["replace", "add"]
    balance: str
    suffix: str = Field(description="What the name of a spiked manifest adds to that of its step.")
    nested: bool | None = Field(
        description="Whether each spiked step of a line contains the one before it, as counted; null where "
        "the steps themselves do not nest. Where training cells are replaced, other ones make room at other "
        "steps, and it is rarely so."
    )
    n_lost: Count = Field(description="The most cells of a spiked step that the next one lacks.")


class LadderDocument(Document):
    """The content of ladder.json."""

    format: Literal[1] = 1
    name: Name
    version: Annotated[int, Field(ge=1)]
    id: Sha256 = Field(description="sha256 over corpus, whether it is nested, and the steps with their ids.")
    created: AwareDatetime
    corpus: CorpusRecord
    nested: bool = Field(
        description="Whether each step of a line (strategy, seed) contains the one before it."
    )
    where: str | None = None
    fractions: tuple[Share, ...] = Field(description="Ascending, of the cells to choose from.")
    seeds: tuple[Count, ...]
    strategies: tuple[StrategyRecord, ...]
    spike_ins: SpikedStepsRecord | None = Field(default=None, description="Left out where there are none.")
    steps: tuple[StepRecord, ...] = Field(
        description="By strategy, then seed, then fraction; a spiked one behind what it is of."
    )

    @property
    def ref(self) -> str:
        """The reference of the ladder in its registry: name@vN."""
        return f"{self.name}@v{self.version}"

    @property
    def n_steps(self) -> int:
        """The number of steps, spiked manifests apart."""
        return sum(not step.spiked for step in self.steps)

    def called(self, step: StepRecord) -> str:
        """Return what a step is one of: its strategy, and what it was spiked with."""
        return step.strategy + (self.spike_ins.suffix if step.spiked and self.spike_ins else "")

    def content(self) -> dict[str, Any]:
        """Return what ladder.json holds: keys that came later are left out when they say nothing."""
        content = self.model_dump(mode="json")
        if content["spike_ins"] is None:
            del content["spike_ins"]
        for step in content["steps"]:
            if not step["spiked"]:
                del step["spiked"]
        return content

    def content_id(self) -> str:
        """Return the id: sha256 over what the ladder is, not over what it and its manifests are called."""
        steps = [
            step.model_dump(mode="json", include={"strategy", "fraction", "seed", "id"})
            for step in self.steps
        ]
        return canonical_digest(
            {"format": self.format, "corpus": self.corpus.id, "nested": self.nested, "steps": steps}
        )


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of ladder.json, as published in ladder-1.schema.json."""
    schema = LadderDocument.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:curate:ladder:{FORMAT}",
    } | schema
