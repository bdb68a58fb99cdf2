"""What comparing a source of spike-ins will read, hold and take, before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from curate.build.explain import BASE_BYTES, Explanation, Line
from curate.build.leakage.doubles import SOURCE_NONZEROS_PER_S, what_it_takes
from curate.build.leakage.explain import (
    BYTES_PER_BAND_AND_CELL,
    BYTES_PER_NONZERO,
    NULL_BYTES,
    USUAL_BANDS,
    evaluation_size,
    method_names,
)
from curate.build.leakage.guard import METHODS, Method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.sources.source import Source


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
    n_evaluation, _, _ = evaluation_size(path, source.header.organism)
    name = Path(str(path)).name
    nnz = float(source.columns(["nnz"])["nnz"].sum()) * n_compared / source.n_cells
    by_content = "exact" in by or "near" in by
    return Explanation(
        title=f"{name} in source {source.name} by {method_names(by)}",
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
        title=f"source {source.name} in corpus {corpus.name} by {method_names(takes.methods)}",
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
