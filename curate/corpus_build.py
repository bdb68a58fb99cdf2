"""Build a corpus: apply a recipe to a Census.

1. plan: the recipe against the Census: columns, genes, ontology. What does not fit is said before reading.
2. read: obs in a stream; what the rules on cells keep is set aside in blocks (`curate.corpus_blocks`).
3. rule: cells and tech samples of each cell type, counted over the blocks; the rules on cell types
   (`curate.corpus_rules`).
4. seal: the blocks become the files of the corpus, the folder takes its place (`curate.corpus_seal`).

A build that is killed goes on where it was: finished blocks are kept beside the folder until it is sealed.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from curate import __version__
from curate.atomic import atomic_file, atomic_folder
from curate.corpus import (
    FORMAT,
    GENES_FILE,
    HEADER_FILE,
    JOINID,
    OBSERVATION_JOINID,
    CensusRecord,
    Corpus,
    CorpusDocument,
    DroppedCells,
    GenesRecord,
    IdentityKind,
    as_frame,
)
from curate.corpus_blocks import Block, BlockCounts, CellRulesInUse, read_blocks
from curate.corpus_rules import TALLIED, TypeOutcome, apply_type_rules
from curate.corpus_seal import seal_cells
from curate.documents import canonical_digest
from curate.errors import RecipeError
from curate.genes import GeneSpace
from curate.nearest import nearest
from curate.ontology import GUIDE, Ontology
from curate.where import Where

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.census import Census
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
BLOCK_CELLS = 2**20
BLOCKS_FOLDER, PLAN_FILE = "blocks", "plan.txt"
SOFTWARE = ("cellxgene-census", "numpy", "polars", "pyarrow", "tiledbsoma")


@dataclass(frozen=True)
class Plan:
    """What a build will do, settled before anything is read."""

    columns: list[str]
    rules: CellRulesInUse
    genes: pl.DataFrame
    ontology: Ontology | None
    identity: IdentityKind
    notes: list[str]


def build_corpus(
    recipe: Recipe,
    census: Census,
    path: str | Path,
    *,
    genes: Path | None = None,
    ontology: str | Path | None = None,
    region: str | None = None,
    endpoint: str | None = None,
    anonymous: bool = False,
    block_cells: int = BLOCK_CELLS,
) -> Corpus:
    """Apply a recipe to a Census and write the corpus to a folder.

    Memory is bounded by `block_cells` (about 500 bytes a cell of a block), not by the number of cells; disk,
    while it runs, by about 60 bytes a cell that passes the rules on cells.

    Parameters
    ----------
    path
        Folder to make; its name is the name of the corpus.
    genes
        The file of the recipe's gene list, where it is not found by itself (`Recipe.gene_list`).
    ontology
        Overrules ``[ontology] source``: "guide" or an OBO file.
    region, endpoint, anonymous
        How the Census was reached, for `Corpus.open_census` to reach it again.
    block_cells
        Cells read at a time. It changes no result.

    Returns
    -------
    Corpus
        Its id depends on the content alone, not on time, uri or block size.

    Raises
    ------
    RecipeError
        When a rule names an absent column or term, the Census lacks genes of the list, or no cell is kept.
    FilterError
        When the filter compares a column with a value of another type.
    WriteError
        When `path` exists, or cannot be written.
    """
    folder = Path(path)
    plan = _plan(recipe, census, genes=genes, ontology=ontology)
    record = _census_record(census, folder, region=region, endpoint=endpoint, anonymous=anonymous)
    with atomic_folder(folder, resumable=True) as aside:
        blocks = _read(recipe, census, plan, aside / BLOCKS_FOLDER, block_cells=block_cells)
        outcome = _rule(recipe, plan, blocks)
        _seal(recipe, record, plan, blocks, outcome, aside, name=folder.name)
        shutil.rmtree(aside / BLOCKS_FOLDER)
    return Corpus.open(folder)


def _plan(recipe: Recipe, census: Census, *, genes: Path | None, ontology: str | Path | None) -> Plan:
    available = census.obs_columns(recipe.organism)
    rules = _cell_rules(recipe, available)
    columns = [name for name in STANDARD_COLUMNS if name in available]
    columns += [name for name in recipe.cells.columns if name not in (*columns, JOINID, OBSERVATION_JOINID)]
    notes = []
    if recipe.census.release not in (None, census.release):
        notes.append(f"census: the recipe names release {recipe.census.release}, this is {census.release}")
    loaded = None
    if recipe.cell_types.need_ontology:
        loaded, ontology_notes = _ontology(recipe, ontology)
        notes += ontology_notes
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


def _cell_rules(recipe: Recipe, available: Sequence[str]) -> CellRulesInUse:
    where = Where.parse(recipe.cells.filter) if recipe.cells.filter else None
    needed = {f"filter {recipe.cells.filter!r}": sorted(where.columns) if where else []}
    needed["assays"] = ["assay"] if recipe.cells.assays else []
    if recipe.cell_types.model_dump(exclude_none=True):
        needed["the rules on cell types"] = list(TALLIED)
    needed["columns"] = list(recipe.cells.columns)
    for rule, names in needed.items():
        for name in names:
            if name not in available:
                raise RecipeError(
                    f"recipe {recipe.name}: {rule} needs the obs column {name!r}, which this Census has not; "
                    f"{nearest(name, available)}"
                )
    return CellRulesInUse(where, recipe.cells.assays)


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
            "it is of, or say allow_missing = true under [genes]"
        )
    notes = [f"genes: {n_missing:,} of the {wanted.n_genes:,} genes of the list are not in the Census"]
    return table.select(var.columns), notes if n_missing else []


def _read(recipe: Recipe, census: Census, plan: Plan, folder: Path, *, block_cells: int) -> list[Block]:
    """Read obs into blocks, going on from those of an earlier build of the same cells."""
    has_texts = plan.identity == "dataset_id+observation_joinid"
    columns = [*plan.columns, OBSERVATION_JOINID] if has_texts else plan.columns
    marker = canonical_digest(
        {
            "format": FORMAT,
            "uri": census.uri,
            "release": census.release,
            "n_cells": census.n_cells(recipe.organism),
            "organism": recipe.organism,
            "cells": recipe.cells.model_dump(mode="json"),
            "columns": columns,
        }
    )
    if folder.is_dir() and (
        not (plan_file := folder / PLAN_FILE).is_file() or plan_file.read_text() != marker
    ):
        shutil.rmtree(folder)
    if not folder.is_dir():
        folder.mkdir()
        with atomic_file(folder / PLAN_FILE) as aside:
            aside.write_text(marker)
    return read_blocks(
        census, folder, plan.rules, organism=recipe.organism, columns=columns, block_cells=block_cells
    )


def _rule(recipe: Recipe, plan: Plan, blocks: Sequence[Block]) -> TypeOutcome:
    """Add up what the rules on cells dropped, and apply those on cell types; `kept` is None without any."""
    dropped = _dropped_cells(recipe, [block.counts for block in blocks])
    if not recipe.cell_types.model_dump(exclude_none=True):
        outcome = TypeOutcome(kept=None, dropped=dropped, notes=())
    else:
        outcome = apply_type_rules(_tally(blocks), recipe.cell_types, plan.ontology)
        outcome = replace(outcome, dropped=(*dropped, *outcome.dropped))
    n_read = sum(block.counts.n_read for block in blocks)
    if n_read == sum(each.n_cells for each in outcome.dropped):
        worst = max(outcome.dropped, key=lambda each: each.n_cells, default=None)
        reason = (
            f"the rule {worst.rule} ({worst.setting}) drops {worst.n_cells:,}" if worst else "there are none"
        )
        raise RecipeError(f"recipe {recipe.name} keeps none of the {n_read:,} cells: {reason}; loosen it")
    return outcome


def _dropped_cells(recipe: Recipe, counts: Sequence[BlockCounts]) -> tuple[DroppedCells, ...]:
    dropped = []
    if recipe.cells.filter is not None:
        n = sum(each.filter_dropped for each in counts)
        dropped.append(DroppedCells(rule="filter", setting=recipe.cells.filter, n_cells=n, n_matching=n))
    if recipe.cells.assays is not None:
        by_assay = sum((Counter(each.assay_values) for each in counts), Counter[str]())
        dropped.append(
            DroppedCells(
                rule="assays",
                setting=", ".join(recipe.cells.assays),
                n_cells=sum(each.assays_dropped for each in counts),
                n_matching=sum(each.assays_matching for each in counts),
                values=dict(sorted(by_assay.items(), key=lambda item: (-item[1], item[0]))),
            )
        )
    return tuple(dropped)


def _tally(blocks: Sequence[Block]) -> pl.DataFrame:
    """Count the kept cells of each cell type, term, dataset and donor."""
    tallies = [
        as_frame(block.read(list(TALLIED)))
        .group_by(TALLIED)
        .agg(pl.len().cast(pl.Int64).alias("n_cells"))
        .with_columns(pl.col(TALLIED).cast(pl.String))
        for block in blocks
    ]
    return pl.concat(tallies).group_by(TALLIED).agg(pl.col("n_cells").sum())


def _seal(
    recipe: Recipe,
    census: CensusRecord,
    plan: Plan,
    blocks: Sequence[Block],
    outcome: TypeOutcome,
    aside: Path,
    *,
    name: str,
) -> None:
    sealed = seal_cells(blocks, aside, columns=plan.columns, kept_types=outcome.kept)
    genes = GeneSpace.from_table(plan.genes)
    plan.genes.write_parquet(aside / GENES_FILE)
    content = {
        "format": FORMAT,
        "organism": recipe.organism,
        "release": census.release,
        "genes": genes.digest,
        "identity": plan.identity,
        "cells": sealed.content,
    }
    document = CorpusDocument(
        name=name,
        id=canonical_digest(content),
        created=datetime.now(UTC),
        census=census,
        organism=recipe.organism,
        recipe=recipe,
        recipe_digest=recipe.digest,
        ontology=plan.ontology.record if plan.ontology else None,
        n_read=sum(block.counts.n_read for block in blocks),
        n_cells=sealed.n_cells,
        dropped=outcome.dropped,
        genes=GenesRecord(n=genes.n_genes, digest=genes.digest),
        identity=plan.identity,
        columns=tuple(plan.columns),
        notes=(*plan.notes, *outcome.notes),
        software={"curate": __version__, **{name: version(name) for name in SOFTWARE}},
    )
    document.save(aside / HEADER_FILE)


def _census_record(
    census: Census, folder: Path, *, region: str | None, endpoint: str | None, anonymous: bool
) -> CensusRecord:
    is_local = "://" not in census.uri
    return CensusRecord(
        release=census.release,
        schema_version=census.schema_version,
        uri=str(Path(census.uri).resolve()) if is_local else census.uri,
        relative_path=os.path.relpath(census.uri, folder) if is_local else None,
        region=region,
        endpoint=endpoint,
        anonymous=anonymous,
    )
