"""What source.json says: which cells of which file, how they are perturbed, which genes they have."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field

from curate.documents import Document

FORMAT: Final = 1
NO_PERTURBATIONS: Final = frozenset(
    ("", "unassigned", "unknown", "na", "n/a", "nan", "none", "null", "<na>", "not assigned")
)
"""Values, in lower case, that do not say how a cell is perturbed; one that is given as control does."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FileRecord(Document):
    """Where the file was, and what tells quickly that it is still the same."""

    path: str
    relative_path: str = Field(description="From the folder of the source: a workspace may move with it.")
    kind: Literal["h5ad", "census"]
    layer: str
    n_bytes: int
    mtime_ns: int = Field(description="Time of the last change, of the newest file of a store.")


class PerturbationRecord(Document):
    """How the cells are perturbed; `counts` has the cells of each value, controls among them."""

    column: str
    control: tuple[str, ...]
    n_control: int
    counts: dict[str, int]

    @property
    def unassigned(self) -> dict[str, int]:
        """The cells of values that do not say how they are perturbed, such as "unassigned"."""
        return {name: n for name, n in self.counts.items() if name not in self.assigned}

    @property
    def assigned(self) -> dict[str, int]:
        """The cells of each perturbation, controls among them."""
        return {
            name: n
            for name, n in self.counts.items()
            if name in self.control or name.strip().lower() not in NO_PERTURBATIONS
        }

    @property
    def n_perturbations(self) -> int:
        """Number of perturbations, without controls."""
        return len(self.assigned) - len(self.control)


class GenesRecord(Document):
    """The genes of the source in those of the corpus; see `curate.gene_report.GeneReport`."""

    n_genes: int
    n_space: int
    n_mapped: int
    n_measured: int
    mapped_fraction: float
    measured_fraction: float
    how: dict[str, int]
    n_unmapped: int
    n_summed: int = Field(description="Genes of the source that meet others in one gene of the corpus.")
    looks_like: dict[str, int] = Field(description="By organism, unmapped genes that are genes there.")
    counts_kept_fraction: float = Field(description="Share of all counts that mapped genes hold.")


class FingerprintRecord(Document):
    """Digests of what the file holds, whatever its bytes: the id of a source is made of them."""

    cells: Sha256 = Field(description="Of the names of the cells, in order.")
    genes: Sha256 = Field(description="Of the names of the genes, in order.")
    counts: Sha256 = Field(description="Of the content hash of each cell, in order.")
    perturbations: Sha256 = Field(description="Of the perturbation of each cell, in order.")


class SourceDocument(Document):
    """The content of source.json, format 1."""

    format: Literal[1] = FORMAT
    name: str
    id: Sha256
    created: datetime
    corpus: str
    corpus_genes: Sha256
    organism: str
    file: FileRecord
    n_cells: int
    genes: GenesRecord
    perturbation: PerturbationRecord
    fingerprint: FingerprintRecord
    columns: tuple[str, ...]
    labels: Sha256 = Field(description="sha256 of cells.parquet.")
    map: dict[str, str] = Field(default={}, description="Which obs column each Census column came from.")
    description: str | None = None
    notes: tuple[str, ...] = ()
    software: dict[str, str]
