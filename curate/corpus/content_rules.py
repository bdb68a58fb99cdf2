"""The rules by content of a corpus build: one copy of equal cells, and of cells without a primary copy.

They come after the rules on cells and before those on cell types, on the blocks that the former set aside.
What they drop is left out of blocks written anew beside the old ones, so that a build that was killed goes on
where it was: the old blocks and the hashes are kept until the corpus is sealed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa

from curate.corpus.blocks import CANDIDATE, Block, taken, whole
from curate.corpus.content import census_content, hashed, is_kept
from curate.corpus.copies import MIN_GENES, find_copies, is_among
from curate.corpus.corpus import JOINID, OBSERVATION_JOINID
from curate.corpus.document import DroppedCells
from curate.corpus.seal import cell_identity
from curate.documents import canonical_digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.census import Census
    from curate.recipe import Recipe

HASHES_FOLDER, KEPT_FOLDER = "hashes", "kept"
HAS_PRIMARY, OTHER_KEPT = "a primary copy is in the Census", "another copy is kept"
TOO_FEW = f"fewer than {MIN_GENES} genes with counts"


@dataclass(frozen=True)
class ContentOutcome:
    """The blocks without what was dropped, what each rule dropped, and what is worth knowing."""

    blocks: list[Block]
    dropped: tuple[DroppedCells, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Cells:
    """The cells of all blocks, [n_cells] each, in joinid order."""

    identity: NDArray[np.uint64]
    is_primary: NDArray[np.bool_]
    is_candidate: NDArray[np.bool_]
    hashes: NDArray[np.uint64]
    is_comparable: NDArray[np.bool_]
    datasets: pl.Series


def apply_content_rules(
    recipe: Recipe, census: Census, blocks: list[Block], folder: Path, *, root: Path | None
) -> ContentOutcome:
    """Drop what the recipe's rules by content drop; nothing is read where it has none.

    `deduplicate` reads the counts of the cells of the blocks, `rescue_without_primary` also those of every
    primary cell of the Census, for a copy may be anywhere.

    Parameters
    ----------
    folder
        Where hashes and blocks are kept until the corpus is sealed.
    root
        The workspace: where it knows what every cell of the Census holds (`curate duplicates --census`),
        nothing is read again.

    Raises
    ------
    CensusError
        When the counts cannot be read.
    CorpusError
        When the Census holds no counts.
    """
    rules = recipe.cells
    has_rules = rules.deduplicate is not None or rules.rescue_without_primary
    if not has_rules or not any(block.counts.n_kept for block in blocks):
        return ContentOutcome(blocks)
    cells, primary = _read(recipe, census, blocks, folder, root=root)
    stays = np.ones(cells.identity.size, np.bool_)
    dropped: list[DroppedCells] = []
    notes: list[str] = []
    if rules.rescue_without_primary:
        reasons = _rescue(cells, primary, stays)
        dropped.append(_record("rescue_without_primary", "true", reasons))
        n_kept = int((cells.is_candidate & stays).sum())
        notes.append(
            f"rescue_without_primary: {n_kept:,} cells that are not primary are kept, for no primary cell of "
            "the Census holds the same counts"
        )
    if rules.deduplicate is not None:
        surplus = find_copies(
            cells.hashes,
            cells.is_comparable & stays,
            is_primary=cells.is_primary,
            identity=cells.identity,
        ).surplus
        stays[surplus] = False
        by_dataset = Counter(cells.datasets.gather(surplus).cast(pl.String).to_list())
        dropped.append(_record("deduplicate", rules.deduplicate, by_dataset))
        n_empty = int((~cells.is_comparable & stays).sum())
        if n_empty:
            notes.append(
                f"deduplicate: {n_empty:,} cells have {TOO_FEW}, too few to be told apart; they are kept"
            )
    return ContentOutcome(_without(blocks, stays, folder / KEPT_FOLDER), tuple(dropped), tuple(notes))


def _record(rule: str, setting: str, values: Counter[str]) -> DroppedCells:
    n = sum(values.values())
    most_first = dict(sorted(values.items(), key=lambda item: (-item[1], item[0])))
    return DroppedCells(rule=rule, setting=setting, n_cells=n, n_matching=n, values=most_first)


def _read(
    recipe: Recipe, census: Census, blocks: Sequence[Block], folder: Path, *, root: Path | None
) -> tuple[_Cells, NDArray[np.uint64]]:
    """Return the cells of the blocks, and what primary cells of the whole Census hold, ascending."""
    rescue = recipe.cells.rescue_without_primary
    columns = [JOINID, "is_primary_data", "dataset_id", *([CANDIDATE] if rescue else [])]
    columns += [OBSERVATION_JOINID] if OBSERVATION_JOINID in blocks[0].schema.names else []
    tables = [block.read(columns) for block in blocks]
    joinids = np.concatenate([table[JOINID].to_numpy() for table in tables])
    everywhere = _primary_cells(census, recipe.organism) if rescue else np.zeros(0, np.int64)
    if root is not None and is_kept(root, census, recipe.organism):
        content = census_content(root, census, recipe.organism)
        own, others = joinids, everywhere
    else:
        sought = np.union1d(joinids, everywhere)
        content = hashed(
            folder / HASHES_FOLDER,
            census,
            recipe.organism,
            sought,
            cells=canonical_digest({"census": census.content, "cells": sought.size}),
        )
        own, others = np.searchsorted(sought, joinids), np.searchsorted(sought, everywhere)
    comparable = content.n_genes >= MIN_GENES
    primary = np.sort(content.hashes[others[comparable[others]]])
    flags = {
        name: np.concatenate([_flags(table[name]) for table in tables])
        for name in ("is_primary_data", *([CANDIDATE] if rescue else []))
    }
    cells = _Cells(
        identity=np.concatenate([cell_identity(table, census.release) for table in tables]),
        is_primary=flags["is_primary_data"],
        is_candidate=flags.get(CANDIDATE, np.zeros(joinids.size, np.bool_)),
        hashes=content.hashes[own],
        is_comparable=comparable[own],
        datasets=pl.concat([_categories(table["dataset_id"]) for table in tables]),
    )
    return cells, primary


def _primary_cells(census: Census, organism: str) -> NDArray[np.int64]:
    tables = census.read_obs(organism, ["is_primary_data"])
    return np.concatenate([table[JOINID].to_numpy()[_flags(table["is_primary_data"])] for table in tables])


def _flags(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    flags: NDArray[np.bool_] = column.fill_null(False).to_numpy()
    return flags


def _categories(column: pa.ChunkedArray) -> pl.Series:
    series = pl.from_arrow(column)
    assert isinstance(series, pl.Series)
    return series.cast(pl.Categorical)


def _rescue(cells: _Cells, primary: NDArray[np.uint64], stays: NDArray[np.bool_]) -> Counter[str]:
    """Drop the candidates that are not to be kept; return how many for which reason."""
    candidates = np.flatnonzero(cells.is_candidate)
    is_told = cells.is_comparable[candidates]
    has_primary = is_told & is_among(cells.hashes, primary, rows=candidates)
    alone = np.zeros(stays.size, np.bool_)
    alone[candidates[is_told & ~has_primary]] = True
    others = find_copies(cells.hashes, alone, is_primary=cells.is_primary, identity=cells.identity).surplus
    stays[candidates[~is_told | has_primary]] = False
    stays[others] = False
    reasons = {HAS_PRIMARY: int(has_primary.sum()), OTHER_KEPT: others.size, TOO_FEW: int((~is_told).sum())}
    return Counter({reason: n for reason, n in reasons.items() if n})


def _without(blocks: Sequence[Block], stays: NDArray[np.bool_], folder: Path) -> list[Block]:
    """Return the blocks, those that lose cells written anew; their counts are still those of the old."""
    folder.mkdir(exist_ok=True)
    kept, first = [], 0
    for block in blocks:
        table = block.read()
        rows = stays[first : first + table.num_rows]
        first += table.num_rows
        if rows.all():
            kept.append(block)
            continue
        left = [taken(whole(table[name]), np.flatnonzero(rows)) for name in table.column_names]
        path = folder / block.path.name
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, block.schema) as writer:
            writer.write_table(pa.table(left, schema=block.schema))
        kept.append(Block(path, block.schema, block.counts))
    return kept
