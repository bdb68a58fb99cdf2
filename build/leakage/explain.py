"""What looking for an evaluation set in a corpus or a source will read, hold and take, before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from curate.build.bytes_read import NONZEROS_PER_CELL, counts_size
from curate.build.explain import BASE_BYTES, Explanation, Line
from curate.build.leakage.doubles import SOURCE_NONZEROS_PER_S, what_it_takes
from curate.build.leakage.guard import CELL_METHODS, METHODS, Method
from curate.build.leakage.sketches import Bands
from curate.census import Census
from curate.h5ad.source import H5adSource
from curate.rates import rate_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.corpus import Corpus
    from curate.sources.source import Source

BYTES_PER_NONZERO = 8
"""Four of the evaluation set, and as much again while it is packed."""
USUAL_BANDS = Bands(4, 34)
BYTES_PER_BAND_AND_CELL = 24
"""A key, a place and two to four starts of buckets."""
NULL_BYTES = 0.35e9
"""Ranks and the sample of the null over 30,000 genes, and three blocks of counts."""
GENE_SET_S = 5.0
"""To index some evaluation cells over one set of genes, a second for each 40,000 at least."""


def explain_overlap(
    corpus: Corpus,
    path: str | Path,
    *,
    root: Path | None,
    n_cells: int | None = None,
    by: Sequence[Method] = METHODS,
) -> Explanation:
    """Say what `find_overlap` will read, hold and take; no counts are read.

    Parameters
    ----------
    root
        The workspace, for its measured rates.
    n_cells
        Cells of the corpus to compare; all by default.

    Raises
    ------
    SourceError, CensusError
        When the evaluation set cannot be opened.
    """
    n_compared = corpus.n_cells if n_cells is None else n_cells
    n_evaluation, n_nonzeros, source = _size(path, corpus.header.organism)
    name = Path(str(path)).name
    lines = [
        Line("cells compared", n_compared, "cells", is_estimate=False, source=f"of corpus {corpus.name}"),
        Line("evaluation cells", n_evaluation, "cells", is_estimate=False, source=name),
    ]
    if "exact" in by or "near" in by:
        size = counts_size(corpus)
        rate = rate_of(root or corpus.path, "leakage")
        n_datasets = corpus.value_counts("dataset_id").height
        indexing_s = n_datasets * max(GENE_SET_S, n_evaluation / 40_000)
        held = BASE_BYTES + NULL_BYTES + BYTES_PER_NONZERO * n_nonzeros
        held += BYTES_PER_BAND_AND_CELL * USUAL_BANDS.n * n_evaluation
        lines += [
            Line(
                "pairs decided",
                float(n_compared) * n_evaluation,
                "",
                is_estimate=False,
                source="a few dozen of them a cell are met",
            ),
            Line(
                "counts to read",
                round(size.n_bytes * n_compared / corpus.header.n_read),
                "bytes",
                is_estimate=True,
                source=f"once; {size.source}",
            ),
            Line("memory", round(held), "bytes", is_estimate=True, source=f"{source}, and its index"),
            Line(
                "time",
                n_compared / rate.per_s,
                "s",
                is_estimate=True,
                source=f"{rate.per_s:,.3g} cells/s, {rate.source}",
            ),
            Line(
                "time to index, at most",
                indexing_s,
                "s",
                is_estimate=True,
                source=f"where the {n_datasets:,} datasets all measured other genes",
            ),
        ]
    else:
        lines.append(Line("counts to read", 0, "bytes", is_estimate=False, source="only the index is"))
    notice = "" if set(by) & set(CELL_METHODS) else "no method that finds cells is among them"
    return Explanation(
        title=f"{name} in corpus {corpus.name} by {_methods(by)}", lines=tuple(lines), notice=notice
    )


def explain_source(
    source: Source, path: str | Path, *, n_cells: int | None = None, by: Sequence[Method] = METHODS
) -> Explanation:
    """Say what looking for an evaluation set among the cells of a source will read and take.

    Parameters
    ----------
    n_cells
        Cells of the source to compare; all by default.

    Raises
    ------
    SourceError, CensusError
        When the evaluation set cannot be opened.
    """
    n_compared = source.n_cells if n_cells is None else n_cells
    n_evaluation, _, _ = _size(path, source.header.organism)
    name = Path(str(path)).name
    nnz = float(source.columns(["nnz"])["nnz"].sum()) * n_compared / source.n_cells
    by_content = "exact" in by or "near" in by
    return Explanation(
        title=f"{name} in source {source.name} by {_methods(by)}",
        lines=(
            Line("cells compared", n_compared, "cells", is_estimate=False, source=f"of {source.name}"),
            Line("evaluation cells", n_evaluation, "cells", is_estimate=False, source=name),
            Line(
                "bytes to read, at most",
                source.header.file.n_bytes if by_content else 0,
                "bytes",
                is_estimate=True,
                source="the file of the source" if by_content else "only labels are",
            ),
            Line(
                "time",
                nnz / SOURCE_NONZEROS_PER_S if by_content else 0.0,
                "s",
                is_estimate=True,
                source=f"{SOURCE_NONZEROS_PER_S:,.3g} non-zeros/s, default: a dense h5ad file on 2 cores",
            ),
        ),
    )


def explain_doubles(source: Source) -> Explanation:
    """Say what looking for the cells of a source in its corpus will read, hold and take."""
    takes, corpus = what_it_takes(source), source.corpus
    nnz = float(source.columns(["nnz"])["nnz"].sum())
    held = BASE_BYTES + NULL_BYTES + BYTES_PER_NONZERO * nnz / takes.n_passes
    held += BYTES_PER_BAND_AND_CELL * USUAL_BANDS.n * source.n_cells / takes.n_passes
    return Explanation(
        title=f"source {source.name} in corpus {corpus.name} by {_methods(takes.methods)}",
        lines=(
            Line("cells compared", corpus.n_cells, "cells", is_estimate=False, source="the corpus"),
            Line("cells of the source", source.n_cells, "cells", is_estimate=False, source=source.name),
            Line(
                "passes over the counts",
                takes.n_passes,
                "",
                is_estimate=False,
                source=f"{nnz:,.3g} non-zeros of the source",
            ),
            Line(
                "counts to read",
                takes.n_passes * takes.n_bytes,
                "bytes",
                is_estimate=True,
                source=takes.size.source + (", over a network" if takes.is_remote else ""),
            ),
            Line("memory", round(held), "bytes", is_estimate=True, source="a slice of the source, its index"),
            Line("time", takes.seconds, "s", is_estimate=True, source="reading, and indexing at most"),
        ),
    )


def _methods(by: Sequence[Method]) -> str:
    return ", ".join(method for method in METHODS if method in by)


def _size(path: str | Path, organism: str) -> tuple[int, float, str]:
    """Return cells and non-zeros of an evaluation set, and how they are known."""
    if "://" in str(path) or Path(path).is_dir():
        with Census.open(uri=str(path)) as census:
            n_cells = census.n_cells(organism)
            return n_cells, float(census.n_nonzeros(organism)), "the non-zeros of the store"
    with H5adSource.open(path, layer="X", check=False) as source:
        most = source.n_values
        usual = min(float(most), NONZEROS_PER_CELL * source.n_cells) if source.is_dense else float(most)
        return source.n_cells, usual, "the stored values of X"
