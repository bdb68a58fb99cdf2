"""What looking for an evaluation set in a corpus will read, hold and take, before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from curate.build.bytes_read import NONZEROS_PER_CELL, counts_size
from curate.build.explain import BASE_BYTES, Explanation, Line
from curate.build.leakage.guard import CELL_METHODS, METHODS, Method
from curate.build.leakage.sketches import Bands
from curate.census import Census
from curate.h5ad.source import H5adSource
from curate.rates import rate_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.corpus import Corpus

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
    n_evaluation: int | None = None,
) -> Explanation:
    """Say what `find_overlap` will read, hold and take; no counts are read.

    Parameters
    ----------
    root
        The workspace, for its measured rates.
    n_cells
        Cells of the corpus to compare; all by default.
    n_evaluation
        Cells of the evaluation set to compare with; all by default.

    Raises
    ------
    SourceError, CensusError
        When the evaluation set cannot be opened.
    """
    n_compared = corpus.n_cells if n_cells is None else n_cells
    n_there, n_nonzeros, source = _size(path, corpus.header.organism)
    n_evaluation = n_there if n_evaluation is None else n_evaluation
    n_nonzeros *= n_evaluation / max(1, n_there)
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
    looked = ", ".join(method for method in METHODS if method in by)
    notice = "" if set(by) & set(CELL_METHODS) else "no method that finds cells is among them"
    return Explanation(title=f"{name} in corpus {corpus.name} by {looked}", lines=tuple(lines), notice=notice)


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
