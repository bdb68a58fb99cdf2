"""Build a corpus: apply a recipe to a Census.

1. plan: the recipe against the Census (`curate.corpus.plan`). What does not fit is said before reading.
2. read: obs in a stream; what the rules on cells keep is set aside in blocks (`curate.corpus.blocks`).
   The rules by content, where the recipe has any, leave copies out of them (`curate.corpus.content_rules`).
3. rule: cells of each donor, cells and tech samples of each cell type, counted over the blocks; the rules on
   donors (`curate.corpus.donors`) and on cell types (`curate.corpus.rules`).
4. seal: the blocks become the files of the corpus, the folder takes its place (`curate.corpus.seal`).

A build that is killed goes on where it was: finished blocks are kept beside the folder until it is sealed.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa

from curate import __version__
from curate.atomic import atomic_file, atomic_folder
from curate.corpus.blocks import Block, BlockCounts, read_blocks, whole
from curate.corpus.content_rules import ContentOutcome, apply_content_rules
from curate.corpus.corpus import GENES_FILE, HEADER_FILE, OBSERVATION_JOINID, Corpus
from curate.corpus.document import FORMAT, CensusRecord, CorpusDocument, DroppedCells, GenesRecord
from curate.corpus.donors import DONOR, apply_donor_rule
from curate.corpus.plan import Plan, make_plan
from curate.corpus.rules import TALLIED, TypeOutcome, apply_type_rules
from curate.corpus.seal import KeptCells, seal_cells
from curate.documents import canonical_digest
from curate.errors import RecipeError
from curate.genes import GeneSpace
from curate.threads import mapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.census import Census
    from curate.recipe import Recipe

BLOCK_CELLS = 2**19
BLOCKS_FOLDER, PLAN_FILE = "blocks", "plan.txt"
SOFTWARE = ("cellxgene-census", "numpy", "polars", "pyarrow", "tiledbsoma")


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
    root: Path | None = None,
) -> Corpus:
    """Apply a recipe to a Census and write the corpus to a folder.

    Memory is bounded by `block_cells` (about 500 bytes a cell of a block), not by the number of cells; disk,
    while it runs, by about 80 bytes a cell that passes the rules on cells.

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
    root
        The workspace, where content hashes of the whole Census may be kept. It changes no result.

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
    plan = make_plan(recipe, census, genes=genes, ontology=ontology)
    record = _census_record(census, folder, region=region, endpoint=endpoint, anonymous=anonymous)
    with atomic_folder(folder, resumable=True) as aside:
        blocks = _read(recipe, census, plan, aside / BLOCKS_FOLDER, block_cells=block_cells)
        content = apply_content_rules(recipe, census, blocks, aside / BLOCKS_FOLDER, root=root)
        outcome, kept = _rule(recipe, plan, content)
        _clear(aside)
        _seal(recipe, record, plan, content.blocks, outcome, kept, aside, name=folder.name)
        shutil.rmtree(aside / BLOCKS_FOLDER)
    return Corpus.open(folder)


def _read(recipe: Recipe, census: Census, plan: Plan, folder: Path, *, block_cells: int) -> list[Block]:
    """Read obs into blocks, going on from those of an earlier build of the same cells."""
    has_texts = plan.identity == "dataset_id+observation_joinid"
    columns = [*plan.columns, OBSERVATION_JOINID] if has_texts else plan.columns
    marker = canonical_digest(
        {
            "format": FORMAT,
            "uri": census.uri,
            "census": census.content,
            "n_cells": census.n_cells(recipe.organism),
            "organism": recipe.organism,
            "cells": recipe.cells.model_dump(mode="json"),
            "columns": columns,
        }
        | ({"quality": recipe.quality.model_dump(mode="json")} if recipe.quality.are_any else {})
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


def _rule(recipe: Recipe, plan: Plan, content: ContentOutcome) -> tuple[TypeOutcome, KeptCells]:
    """Add up what the rules on cells and by content dropped, and apply those on donors and on cell types."""
    blocks = content.blocks
    dropped = (*_dropped_cells(recipe, [block.counts for block in blocks]), *content.dropped)
    outcome = TypeOutcome(kept=None, dropped=(), notes=())
    least, donors = recipe.quality.min_cells_per_donor, None
    has_type_rules = bool(recipe.cell_types.model_dump(exclude_none=True))
    if least is not None or has_type_rules:
        tally = _tally(blocks, TALLIED if has_type_rules else DONOR)
        if least is not None:
            donors = apply_donor_rule(tally, least)
            tally, dropped = donors.tally, (*dropped, donors.dropped)
        if has_type_rules:
            outcome = apply_type_rules(tally, recipe.cell_types, plan.ontology)
    outcome = replace(outcome, dropped=(*dropped, *outcome.dropped), notes=(*content.notes, *outcome.notes))
    kept = KeptCells(outcome.kept, donors.dropped_donors if donors is not None else frozenset())
    n_read = sum(block.counts.n_read for block in blocks)
    if n_read == sum(each.n_cells for each in outcome.dropped):
        by_size = sorted((each for each in outcome.dropped if each.n_cells), key=lambda each: -each.n_cells)
        reasons = [f"{each.rule} ({each.setting}) drops {each.n_cells:,}" for each in by_size]
        reason = f"the rule {', '.join(reasons)}" if reasons else "there are none"
        raise RecipeError(f"recipe {recipe.name} keeps none of the {n_read:,} cells: {reason}; loosen it")
    return outcome, kept


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
    dropped += [
        DroppedCells(
            rule=rule.name,
            setting=rule.setting,
            n_cells=sum(each.quality_dropped[rule.name] for each in counts),
            n_matching=sum(each.quality_matching[rule.name] for each in counts),
        )
        for rule in recipe.quality.cell_rules
    ]
    return tuple(dropped)


def _tally(blocks: Sequence[Block], names: Sequence[str]) -> pl.DataFrame:
    """Count the kept cells of each combination of labels."""
    counted = mapped(partial(_tally_block, names=names), blocks)
    return pl.concat(counted).group_by(names).agg(pl.col("n_cells").sum())


def _tally_block(block: Block, *, names: Sequence[str]) -> pl.DataFrame:
    """Count by one number a cell, made of the codes, which is quicker than by the labels."""
    table = block.read(list(names))
    columns = [whole(table[name]) for name in names]
    sizes = [len(column.dictionary) + 1 for column in columns]
    combined = np.zeros(table.num_rows, np.int64)
    for column, size in zip(columns, sizes, strict=True):
        combined *= size
        combined += column.indices.cast(pa.int64()).fill_null(size - 1).to_numpy()
    counted = pl.Series("code", combined).value_counts(name="n_cells")
    codes = counted["code"].to_numpy()
    labels = {}
    for name, column, size in reversed(list(zip(names, columns, sizes, strict=True))):
        codes, own = np.divmod(codes, size)
        labels[name] = pl.Series([*column.dictionary.to_pylist(), None], dtype=pl.String)[own]
    return pl.DataFrame(labels).select(names).with_columns(counted["n_cells"].cast(pl.Int64))


def _clear(aside: Path) -> None:
    """Remove what a build that was killed while sealing has left; its blocks stay."""
    for path in aside.iterdir():
        if path.name != BLOCKS_FOLDER:
            path.unlink()


def _seal(
    recipe: Recipe,
    census: CensusRecord,
    plan: Plan,
    blocks: Sequence[Block],
    outcome: TypeOutcome,
    kept: KeptCells,
    aside: Path,
    *,
    name: str,
) -> None:
    sealed = seal_cells(blocks, aside, columns=plan.columns, kept=kept, release=census.release)
    genes = GeneSpace.from_table(plan.genes)
    plan.genes.write_parquet(aside / GENES_FILE)
    content = {
        "format": FORMAT,
        "organism": recipe.organism,
        "census": census.content,
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
        content=census.content,
        schema_version=census.schema_version,
        label=census.summary.get("label"),
        uri=str(Path(census.uri).resolve()) if is_local else census.uri,
        relative_path=os.path.relpath(census.uri, folder) if is_local else None,
        region=region,
        endpoint=endpoint,
        anonymous=anonymous,
    )
