"""What `curate embed` will read, hold and take, before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.build.bytes_read import counts_size
from curate.build.embeddings.cells import MIN_CELLS_FITTED, MIN_WINDOWS_FITTED
from curate.build.explain import Explanation, Line, corpus_nonzeros, counts_line, process_lines
from curate.build.strategies.tiles import TILE_CELLS
from curate.passes.units import Windows

if TYPE_CHECKING:
    from pathlib import Path

    from curate.corpus import Corpus

BLOCK_BYTES_PER_NONZERO = 200
"""Four blocks under way in embed, what TileDB decompresses for them, and what malloc keeps; measured."""
INDEX_BYTES_PER_CELL = 16
"""What embed holds of the index before the passes: joinids, or the non-zeros of the cells."""


def explain_embed(
    corpus: Corpus,
    *,
    root: Path,
    n_components: int,
    n_hvgs: int,
    fit_fraction: float,
    block_cells: int,
) -> Explanation:
    """Say what `embed` will read, hold and take; nothing of the store is read.

    Parameters
    ----------
    root
        The workspace, for its measured rates.
    """
    size = counts_size(corpus)
    n_tiles = np.unique(corpus.joinids() // TILE_CELLS).size
    nonzeros, per_cell, source = corpus_nonzeros(corpus)
    passes = embed_passes(corpus, fit_fraction)
    n_genes = corpus.header.genes.n
    passing = (
        corpus.n_cells
        + 64 * n_genes
        + 56 * min(n_hvgs, n_genes) ** 2
        + BLOCK_BYTES_PER_NONZERO * block_cells * per_cell
    )
    held = max(INDEX_BYTES_PER_CELL * corpus.n_cells, passing)
    return Explanation(
        title=f"embedding of corpus {corpus.name}, {n_components} dimensions",
        lines=(
            Line("cells", corpus.n_cells, "cells", is_estimate=False, source="the corpus"),
            Line("passes over the counts", passes, "", is_estimate=False, source="the method"),
            Line(
                "tiles a pass",
                n_tiles,
                "tiles",
                is_estimate=False,
                source="those that hold a cell of the corpus",
            ),
            counts_line("counts to read", passes * n_tiles, size),
            Line("non-zeros", passes * nonzeros, "non-zeros", is_estimate=True, source=source),
            Line("to write", 4 * corpus.n_cells * n_components, "bytes", is_estimate=False, source="float32"),
            *process_lines(root, "embed", passes * nonzeros, "non-zeros", held_bytes=held),
        ),
    )


def embed_passes(corpus: Corpus, fit_fraction: float) -> float:
    """Return how often `embed` reads the counts: twice the cells it is fitted on, once all of them."""
    n_windows = Windows.of(corpus.joinids()).numbers.size
    return 1 + 2 * min(
        1.0, max(fit_fraction, MIN_CELLS_FITTED / corpus.n_cells, MIN_WINDOWS_FITTED / n_windows)
    )
