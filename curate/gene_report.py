"""What became of a source's genes in a gene space, as numbers and names."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class GeneReport:
    """What became of a source's genes in a gene space.

    Attributes
    ----------
    n_genes, n_space
        Genes of the source, and of the space.
    n_mapped, mapped_fraction
        Genes of the source that have a place in the space, and their share of the source's genes.
    n_measured, measured_fraction
        Genes of the space that the source has, and their share of the space; several of the source may meet
        in one.
    how
        Genes of the source by how they were mapped, or why not.
    unmapped
        Names of those without a place.
    collisions
        Names of those that meet in one gene of the space, by its feature_id; their counts are summed.
    looks_like
        By organism, names of genes without a place that are genes there and not of the space's organism.
    """

    n_genes: int
    n_space: int
    n_mapped: int
    n_measured: int
    mapped_fraction: float
    measured_fraction: float
    how: dict[str, int]
    unmapped: tuple[str, ...]
    collisions: dict[str, tuple[str, ...]]
    looks_like: dict[str, tuple[str, ...]]

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON holds it."""
        return asdict(self)

    def sentence(self) -> str:
        """Return the shares both ways, with their numbers."""
        return (
            f"the corpus has {self.n_mapped:,} of its {self.n_genes:,} genes ({self.mapped_fraction:.1%}); "
            f"it measured {self.n_measured:,} of the corpus' {self.n_space:,} ({self.measured_fraction:.1%})"
        )
