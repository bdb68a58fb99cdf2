"""What hashing the counts of a corpus or of a whole Census will read, hold and take, before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.build.bytes_read import BYTES_PER_NONZERO, counts_size
from curate.build.explain import BASE_BYTES, Explanation, Line, corpus_nonzeros
from curate.build.strategies.tiles import TILE_CELLS
from curate.corpus.content import is_kept, is_known
from curate.rates import rate_of

if TYPE_CHECKING:
    from pathlib import Path

    from curate.census import Census
    from curate.corpus import Corpus

WORK = "read content"
#: identity, hash, order, genes with counts, flags and codes of a cell
HELD_BYTES_PER_CELL, KEPT_BYTES_PER_CELL = 50, 12
COUNTS_BYTES = 600e6
"""Two blocks of counts while they are assembled."""


def explain_corpus_content(corpus: Corpus, *, root: Path, shared_genes: bool = False) -> Explanation:
    """Say what comparing the cells of a corpus by content takes; nothing of the store is read.

    Parameters
    ----------
    root
        The workspace, for its measured rates.
    shared_genes
        Over other genes than those that hashes may be kept over.
    """
    nonzeros, _, source = corpus_nonzeros(corpus)
    size = counts_size(corpus)
    n_tiles = len(set((corpus.joinids() // TILE_CELLS).tolist()))
    lines = _lines(
        corpus.n_cells,
        nonzeros,
        Line("non-zeros", nonzeros, "non-zeros", is_estimate=True, source=source),
        Line(
            "counts to read",
            round(n_tiles * size.bytes_per_tile),
            "bytes",
            is_estimate=True,
            source=f"{n_tiles:,} tiles that hold a cell of the corpus; {size.source}",
        ),
        root=root,
        is_known=is_known(corpus) and not shared_genes,
    )
    return Explanation(title=f"content of corpus {corpus.name}", lines=lines)


def explain_census_content(
    census: Census, organism: str, *, root: Path, shared_genes: bool = False
) -> Explanation:
    """Say what comparing all cells of a Census by content takes; see `explain_corpus_content`."""
    nonzeros = census.n_nonzeros(organism)
    lines = _lines(
        census.n_cells(organism),
        nonzeros,
        Line("non-zeros", nonzeros, "non-zeros", is_estimate=False, source="the store"),
        Line(
            "counts to read",
            round(nonzeros * BYTES_PER_NONZERO),
            "bytes",
            is_estimate=True,
            source=f"{BYTES_PER_NONZERO:g} bytes a non-zero",
        ),
        root=root,
        is_known=is_kept(root, census, organism) and not shared_genes,
    )
    return Explanation(title=f"content of {organism} in {census.uri}", lines=lines)


def _lines(n_cells: int, nonzeros: float, *counts: Line, root: Path, is_known: bool) -> tuple[Line, ...]:
    rate = rate_of(root, WORK)
    cells = Line("cells", n_cells, "cells", is_estimate=False, source="all of them")
    memory = round(BASE_BYTES + HELD_BYTES_PER_CELL * n_cells)
    if is_known:
        return (
            cells,
            Line("counts to read", 0, "bytes", is_estimate=False, source="their hashes are kept"),
            Line("memory", memory, "bytes", is_estimate=True, source="hashes and their order"),
        )
    when = f", {rate.measured:%Y-%m-%d}" if rate.measured else ""
    speed = f"{rate.per_s:,.3g} {rate.unit}/s, {rate.source}{when}"
    return (
        cells,
        *counts,
        Line("to write", KEPT_BYTES_PER_CELL * n_cells, "bytes", is_estimate=False, source="hashes, genes"),
        Line(
            "memory",
            round(max(memory, BASE_BYTES + COUNTS_BYTES)),
            "bytes",
            is_estimate=True,
            source="blocks of counts, then hashes and their order",
        ),
        Line("time", nonzeros / rate.per_s, "s", is_estimate=True, source=speed),
    )
