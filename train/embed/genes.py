"""The genes of data in those of a model: mapped by id, then by symbol; refused when too few are there."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from curate.errors import ModelError
from curate.gene_tables import gene_table, shipped_organisms
from curate.h5ad.genes import map_source_genes

if TYPE_CHECKING:
    from pathlib import Path

    from curate.gene_space import GeneSpace
    from curate.genes import GeneMapping
    from curate.h5ad.cells import GenesOfSource

MIN_OVERLAP = 0.5
MIN_COUNTS = 0.5
"""Below this share of the counts in a model's genes it is said that the model sees little of the cells."""


@dataclass(frozen=True)
class Overlap:
    """Which of a model's genes data have.

    Attributes
    ----------
    n_genes
        Genes of the data.
    n_model, n_found, found_fraction
        Genes of the model, those of them that the data have, and their share. The others are taken as zero.
    how
        Genes of the data by how they were mapped, or why not.
    n_summed
        Genes of the data that meet others in one gene of the model.
    counts_fraction
        Share of all counts that are in genes of the model; None before the counts are read.
    """

    n_genes: int
    n_model: int
    n_found: int
    found_fraction: float
    how: dict[str, int]
    n_summed: int
    counts_fraction: float | None = None

    @classmethod
    def of(cls, mapping: GeneMapping) -> Overlap:
        """Return the overlap of mapped genes."""
        report = mapping.report()
        return cls(
            n_genes=report.n_genes,
            n_model=report.n_space,
            n_found=report.n_measured,
            found_fraction=report.measured_fraction,
            how=report.how,
            n_summed=sum(len(names) for names in report.collisions.values()),
        )

    def sentence(self) -> str:
        """Return the numbers in words."""
        return (
            f"{self.n_found:,} of the model's {self.n_model:,} genes ({self.found_fraction:.1%}) are among "
            f"{self.n_genes:,} of the data"
        )

    def warning(self) -> str | None:
        """Return what to know where the genes found hold less than MIN_COUNTS of the counts; else None."""
        if self.counts_fraction is None or self.counts_fraction >= MIN_COUNTS:
            return None
        return (
            f"the model sees {self.counts_fraction:.1%} of the counts: the rest is in genes that it does not "
            f"read, though {self.found_fraction:.1%} of its own are there; its vectors may say little of "
            "these cells"
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        return asdict(self)


def map_to_model(
    source: GenesOfSource, genes: GeneSpace, *, organism: str, gene_column: str | None, min_overlap: float
) -> GeneMapping:
    """Map the genes of data into those of a model, by Ensembl id first, then by the symbols on record.

    Parameters
    ----------
    organism
        Whose genes the model reads.
    gene_column
        Column of var with ids or symbols; by default the usual ones are looked for.
    min_overlap
        Least share of the model's genes that the data must have.

    Raises
    ------
    ModelError
        When they have fewer.
    SourceError
        When the column is not there, no gene is the model's, or more are another organism's.
    """
    table = genes.table()
    if organism in shipped_organisms():
        # What decides between genes of one symbol.
        types = gene_table(organism).select("feature_id", "feature_type").unique("feature_id")
        table = table.join(types, on="feature_id", how="left", maintain_order="left")
    mapping = map_source_genes(source, table=table, gene_column=gene_column, organism=organism)
    refuse_small_overlap(Overlap.of(mapping), source.path, min_overlap=min_overlap)
    return mapping


def refuse_small_overlap(overlap: Overlap, of: Path | str, *, min_overlap: float) -> None:
    """Refuse data that have too few of a model's genes.

    Raises
    ------
    ModelError
        With the numbers.
    """
    if not 0 <= min_overlap <= 1:
        raise ModelError(f"a least overlap of {min_overlap:g} is no share; give one from 0 to 1")
    if overlap.found_fraction < min_overlap:
        raise ModelError(
            f"{of}: {overlap.sentence()}, at least {min_overlap:.0%} are needed; take data with more genes, "
            "a model of these genes, or lower --min-overlap"
        )
