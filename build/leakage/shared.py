"""Cells that two sources share. Looked for once, and kept beside the source that was compared.

::

    corpora/<corpus>/sources/<name>/shared/<of which two, and by which version of the search>/
        shared.json     of which sources, what each method found
        shared.parquet  the source (by its id), the row in it, and whether joinid, exact and near found it

The source of fewer counts is the evaluation set here, and is indexed; the other passes by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import polars as pl

from curate.atomic import atomic_folder
from curate.build.leakage import doubles
from curate.build.leakage.compared import SourceCells
from curate.build.leakage.doubles import (
    INDEXED_PER_S,
    SOURCE_NONZEROS_PER_S,
    methods_for,
    minutes,
    slices,
)
from curate.build.leakage.guard import CELL_METHODS, find_overlap
from curate.build.leakage.made import Made
from curate.build.leakage.scan import METHOD_VERSION
from curate.build.leakage.sources import evaluation_of_source
from curate.documents import Document, canonical_digest, file_digest
from curate.errors import LeakageError, SourceError
from curate.scratch import kept_in, scratch_of
from curate.sources.source import CONTENT, find_source, source_names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.sources.source import Source

FOLDER, _HEADER, _ROWS = "shared", "shared.json", "shared.parquet"
FORMAT: Final = 1


class SharedDocument(Document):
    """shared.json; what is counted is counted by the id of the source."""

    format: Literal[1] = FORMAT
    sources: dict[str, str]
    method_version: int
    n_cells: dict[str, int]
    n_found: dict[str, dict[str, int]]
    n_too_few: int
    why_not: dict[str, str]
    sha256: str


@dataclass(frozen=True)
class Shared:
    """The cells that two sources share.

    Attributes
    ----------
    rows
        By the id of the source, bool [n_cells], those that any method found.
    header
        Counts; `n_too_few` cells of the source that was indexed detect too little to be decided by content.
    """

    rows: Mapping[str, NDArray[np.bool_]]
    header: SharedDocument

    def n_of(self, source: Source) -> int:
        """Return how many cells of one of them the other holds."""
        return int(self.rows[source.id].sum())

    @property
    def made(self) -> Made:
        """Which methods compared."""
        found = {method for counts in self.header.n_found.values() for method in counts}
        return Made.of(found, self.header.why_not, self.header.n_too_few)


def other_sources(source: Source) -> list[Source]:
    """Return the other sources of the corpus, by name; one of the same content is another."""
    corpus = source.corpus
    return [find_source(corpus, name) for name in source_names(corpus) if name != source.name]


def seconds_to_compare(one: Source, other: Source) -> float:
    """Return what comparing two sources takes at most: one is indexed, both are read; no counts are."""
    indexed, passing = _by_size(one, other)
    nnz = _n_nonzeros(indexed)
    how = "near" if "near" in methods_for(indexed) else "exact"
    n_read = nnz + len(slices(indexed)) * _n_nonzeros(passing)
    return n_read / SOURCE_NONZEROS_PER_S + nnz / INDEXED_PER_S[how]


def shared_when_small(
    one: Source, other: Source, *, allowed_s: float | None = None
) -> tuple[Shared | None, str]:
    """Return what two sources share, where that is known or takes little, or why not with the remedy.

    Parameters
    ----------
    allowed_s
        What it may take; `doubles.AT_ONCE_S` by default.

    Raises
    ------
    As `find_shared`.
    """
    kept = kept_shared(one, other)
    seconds = seconds_to_compare(one, other)
    if kept is None and seconds > (doubles.AT_ONCE_S if allowed_s is None else allowed_s):
        return None, (
            f"source {one.name!r} was not compared with source {other.name!r}, whose cells it may hold; that "
            f"takes about {minutes(seconds)}: run `curate corpus compare-source {one.name}`"
        )
    return kept or find_shared(one, other), ""


def kept_shared(one: Source, other: Source) -> Shared | None:
    """Return what was found before of two sources; None when it was not looked for.

    Raises
    ------
    SourceError
        When what was kept is damaged.
    """
    if one.id == other.id:
        return _the_same(one, other)
    homes = [home for each in (one, other) for home in (each.path / FOLDER, scratch_of(each.path / FOLDER))]
    folder = next((each for home in homes if (each := home / _key(one, other)).exists()), None)
    return None if folder is None else _read(folder, one, other)


def find_shared(one: Source, other: Source) -> Shared:
    """Return the cells that two sources share, by every method for cells; kept, or looked for now.

    Memory: as `find_doubles`. A search that was killed goes on where it was.

    Raises
    ------
    CensusError
        When the Census of the corpus, whose genes both are read in, cannot be opened.
    SourceError
        When the file of a source cannot be read, or has changed.
    WriteError
        When what is found cannot be kept.
    """
    kept = kept_shared(one, other)
    if kept is not None:
        return kept
    indexed, passing = _by_size(one, other)
    by: dict[str, dict[str, NDArray[np.bool_]]] = {
        each.id: {method: np.zeros(each.n_cells, np.bool_) for method in CELL_METHODS}
        for each in (one, other)
    }
    why_not: dict[str, str] = {}
    n_too_few = 0
    with indexed.corpus.open_census() as census:
        var = census.read_var(indexed.corpus.header.organism)
    for rows in slices(indexed):
        evaluation = evaluation_of_source(indexed, var=var, rows=rows)
        try:
            overlap = find_overlap(SourceCells(passing), evaluation, by=methods_for(indexed))
        except LeakageError:
            # Panels without a gene in common: nothing can be said by content.
            why_not |= dict.fromkeys(("exact", "near"), "they have no gene in common")
            overlap = find_overlap(SourceCells(passing), evaluation, by=["joinid"])
        for method, same in overlap.same.items():
            by[indexed.id][method][rows] = same.evaluation
            by[passing.id][method] |= same.cells
            if same.why_not is not None:
                why_not[method] = same.why_not
        n_too_few += len(overlap.scan.few) if overlap.scan is not None else 0
    if "near" not in methods_for(indexed):
        why_not.setdefault("near", f"both have more than {doubles.SLICE_NONZEROS:,} non-zeros")
    # A cell names its best few: others may hold the same counts.
    content = indexed.columns([CONTENT])[CONTENT].to_numpy()
    exact = by[indexed.id]["exact"]
    exact |= np.isin(content, content[exact])
    return _keep(one, other, by, n_too_few, why_not)


def _by_size(one: Source, other: Source) -> tuple[Source, Source]:
    first, second = sorted((one, other), key=lambda each: (_n_nonzeros(each), each.id))
    return first, second


def _n_nonzeros(source: Source) -> float:
    return float(source.columns(["nnz"])["nnz"].sum())


def _key(one: Source, other: Source) -> str:
    pair = sorted([each.id, each.header.labels] for each in (one, other))
    return canonical_digest({"sources": pair, "method_version": METHOD_VERSION})[:16]


def _the_same(one: Source, other: Source) -> Shared:
    """One content under two names: every cell is shared, and nothing need be read."""
    n = one.n_cells
    header = SharedDocument(
        sources={one.id: one.name},
        method_version=METHOD_VERSION,
        n_cells={one.id: n},
        n_found={one.id: {"exact": n}},
        n_too_few=0,
        why_not={},
        sha256="",
    )
    return Shared({one.id: np.ones(n, np.bool_), other.id: np.ones(n, np.bool_)}, header)


def _read(folder: Path, one: Source, other: Source) -> Shared:
    try:
        header = SharedDocument.model_validate_json((folder / _HEADER).read_text())
        if header.sha256 != file_digest(folder / _ROWS):
            raise ValueError(f"the sha256 of {_ROWS} is not the one recorded")
        found = pl.read_parquet(folder / _ROWS)
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        reason = str(error).split("\n")[0]
        raise SourceError(f"{folder} is damaged: {reason}; remove it to have it made again") from None
    rows = {}
    for each in (one, other):
        rows[each.id] = np.zeros(each.n_cells, np.bool_)
        rows[each.id][found.filter(pl.col("source") == each.id)["row"].to_numpy()] = True
    return Shared(rows, header)


def _keep(
    one: Source,
    other: Source,
    by: Mapping[str, Mapping[str, NDArray[np.bool_]]],
    n_too_few: int,
    why_not: Mapping[str, str],
) -> Shared:
    """Write down what was found, beside the first."""
    rows = {name: np.logical_or.reduce(list(masks.values())) for name, masks in by.items()}
    tables = [
        pl.DataFrame(
            {"source": [name] * int(held.sum()), "row": np.flatnonzero(held)}
            | {method: mask[held] for method, mask in by[name].items()}
        )
        for name, held in rows.items()
    ]
    folder = kept_in(one.path / FOLDER) / _key(one, other)
    with atomic_folder(folder) as aside:
        pl.concat(tables).write_parquet(aside / _ROWS)
        SharedDocument(
            sources={each.id: each.name for each in (one, other)},
            method_version=METHOD_VERSION,
            n_cells={name: int(mask.sum()) for name, mask in rows.items()},
            n_found={
                name: {method: int(mask.sum()) for method, mask in masks.items()}
                for name, masks in by.items()
            },
            n_too_few=n_too_few,
            why_not=dict(why_not),
            sha256=file_digest(aside / _ROWS),
        ).save(aside / _HEADER)
    return _read(folder, one, other)
