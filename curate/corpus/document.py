"""What corpus.json says: where the cells came from, by which rules, and what was dropped."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from pydantic import Field

from curate.documents import Document
from curate.ontology import OntologyRecord
from curate.recipe import Recipe

FORMAT: Final = 1

IdentityKind = Literal["dataset_id+observation_joinid", "release+soma_joinid"]


class CensusRecord(Document):
    """Which Census a corpus was built from, and where it was.

    `content` stands for its counts: a digest of them where there is one, else the release. `relative_path`
    leads from the corpus' folder to a local store: a workspace that has moved still finds it. `label` is what
    the store says about itself, such as that its cells are simulated.
    """

    release: str
    content: str
    schema_version: str
    label: str | None = None
    uri: str
    relative_path: str | None = None
    region: str | None = None
    endpoint: str | None = None
    anonymous: bool = False


class DroppedCells(Document):
    """What one rule dropped.

    Attributes
    ----------
    rule, setting
        Key of the recipe, and its value.
    n_cells
        Cells dropped by this rule and by none before it. They add up over the rules: n_read less their sum
        is n_cells of the corpus.
    n_matching
        Cells that this rule drops by itself: of all cells read (the rules on cells; where mito_share was
        computed, of the cells that it was computed of), or of the cells that passed those on cells and donors
        (the rules on cell types); as `n_cells` for the rules by content.
    values
        What was dropped, the most first: cells by assay, cell type, dataset (deduplicate and the rule on
        donors) or reason (rescue_without_primary); empty for rules on numbers and the filter.
    """

    rule: str
    setting: str
    n_cells: int
    n_matching: int
    values: dict[str, int] = Field(default_factory=dict)


class GenesRecord(Document):
    """The genes of a corpus: how many, and the digest of their ordered ids."""

    n: int
    digest: str


class CorpusDocument(Document):
    """The content of corpus.json, format 1."""

    format: Literal[1] = FORMAT
    name: str
    id: str
    created: datetime
    census: CensusRecord
    organism: str
    recipe: Recipe
    recipe_digest: str
    ontology: OntologyRecord | None
    n_read: int
    n_cells: int
    dropped: tuple[DroppedCells, ...]
    genes: GenesRecord
    identity: IdentityKind
    columns: tuple[str, ...]
    notes: tuple[str, ...] = ()
    software: dict[str, str]
