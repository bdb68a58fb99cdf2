"""The first stage of a corpus build: the recipe against the Census, before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from curate.corpus.cell_rules import CellRulesInUse
from curate.corpus.corpus import JOINID, OBSERVATION_JOINID
from curate.corpus.mito import find_mito_shares
from curate.corpus.rules import TALLIED, kinds_of
from curate.errors import RecipeError
from curate.nearest import nearest
from curate.ontology import GUIDE, Ontology
from curate.quality import DONOR_RULE
from curate.where import Where

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from curate.census import Census
    from curate.corpus.document import IdentityKind
    from curate.genes import GeneSpace
    from curate.recipe import Recipe

#: obs columns that every corpus keeps, where the release has them
STANDARD_COLUMNS = (
    "dataset_id",
    "donor_id",
    "assay",
    "cell_type",
    "cell_type_ontology_term_id",
    "tissue",
    "tissue_general",
    "disease",
    "sex",
    "development_stage",
    "self_reported_ethnicity",
    "suspension_type",
    "tissue_type",
    "is_primary_data",
    "raw_sum",
    "nnz",
)


@dataclass(frozen=True)
class Plan:
    """What a build will do, settled before anything is read."""

    columns: list[str]
    rules: CellRulesInUse
    genes: pl.DataFrame
    ontology: Ontology | None
    identity: IdentityKind
    notes: list[str]


def make_plan(recipe: Recipe, census: Census, *, genes: Path | None, ontology: str | Path | None) -> Plan:
    """Settle what a build will do; see `curate.corpus.build.build_corpus`.

    Raises
    ------
    RecipeError
        When a rule names an absent column or a term that is none or has no kinds, or the Census lacks genes
        of the list.
    """
    available = census.obs_columns(recipe.organism)
    rules = _cell_rules(recipe, census, available)
    columns = [name for name in STANDARD_COLUMNS if name in available]
    further = [*recipe.cells.columns, *(rule.column for rule in rules.quality)]
    columns += [name for name in dict.fromkeys(further) if name not in (*columns, JOINID, OBSERVATION_JOINID)]
    notes = []
    if recipe.census.release not in (None, census.release):
        notes.append(f"census: the recipe names release {recipe.census.release}, this is {census.release}")
    loaded = None
    if recipe.cell_types.need_ontology:
        loaded, ontology_notes = _ontology(recipe, ontology)
        notes += ontology_notes
        if recipe.cell_types.descendants_of is not None:
            kinds_of(recipe.cell_types.descendants_of, loaded)  # refuses a term that keeps nothing
    table, gene_notes = _genes(recipe, census, recipe.gene_list(genes))
    return Plan(
        columns=columns,
        rules=rules,
        genes=table,
        ontology=loaded,
        identity="dataset_id+observation_joinid"
        if OBSERVATION_JOINID in available
        else "release+soma_joinid",
        notes=notes + gene_notes,
    )


def _cell_rules(recipe: Recipe, census: Census, available: Sequence[str]) -> CellRulesInUse:
    where = Where.parse(recipe.cells.filter) if recipe.cells.filter else None
    needed = {f"filter {recipe.cells.filter!r}": sorted(where.columns) if where else []}
    needed["assays"] = ["assay"] if recipe.cells.assays else []
    if recipe.cell_types.model_dump(exclude_none=True):
        needed["the rules on cell types"] = list(TALLIED)
    needed["columns"] = list(recipe.cells.columns)
    mito = find_mito_shares(recipe, census, available)
    quality = recipe.quality.cell_rules
    needed |= {rule.name: [rule.column] for rule in quality if mito is None or rule.name != "max_mito"}
    if recipe.quality.min_cells_per_donor is not None:
        needed[DONOR_RULE] = ["dataset_id", "donor_id"]
    for rule, names in needed.items():
        for name in names:
            if name not in available:
                raise RecipeError(
                    f"recipe {recipe.name}: {rule} needs the obs column {name!r}, which this Census has not; "
                    f"{nearest(name, available)}"
                )
    return CellRulesInUse(
        where, recipe.cells.assays, quality, mito, rescue=recipe.cells.rescue_without_primary
    )


def _ontology(recipe: Recipe, override: str | Path | None) -> tuple[Ontology, list[str]]:
    named = recipe.ontology.source
    source = override or (named if named == GUIDE else recipe.beside(named))
    wanted = recipe.ontology.release
    ontology = Ontology.load(source, release=wanted)
    if wanted in (None, ontology.release):
        return ontology, []
    return ontology, [
        f"ontology: the recipe names release {wanted}, {ontology.record.source} is {ontology.release}; "
        "cell types may be kept or dropped otherwise than there"
    ]


def _genes(recipe: Recipe, census: Census, wanted: GeneSpace | None) -> tuple[pl.DataFrame, list[str]]:
    var = census.read_var(recipe.organism).select(
        JOINID, "feature_id", "feature_name", "feature_type", "feature_length"
    )
    if wanted is None:
        table = var.sort(JOINID)
        if recipe.genes.feature_type is not None:
            table = table.filter(pl.col("feature_type") == recipe.genes.feature_type)
        if table.is_empty():
            types = ", ".join(sorted(map(str, var["feature_type"].unique())))
            raise RecipeError(
                f"no gene of the Census has feature_type {recipe.genes.feature_type!r}; it has {types}"
            )
        return table, []
    table = wanted.table().select("feature_id").join(var, on="feature_id", how="inner", maintain_order="left")
    n_missing = wanted.n_genes - table.height
    if table.is_empty() or (n_missing and not recipe.genes.allow_missing):
        raise RecipeError(
            f"the Census lacks {n_missing:,} of the {wanted.n_genes:,} genes of the list; take the release "
            "that the list is of, or say allow_missing = true under [genes]"
        )
    notes = [f"genes: {n_missing:,} of the {wanted.n_genes:,} genes of the list are not in the Census"]
    return table.select(var.columns), notes if n_missing else []
