"""What a selection saves in reading, and what it costs against `random`: the notes of a manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.build.bytes_read import bytes_saved
from curate.build.strategies.tiles import TILE_CELLS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from curate.build.candidates import Candidates
    from curate.build.embeddings.embedding import Embedding
    from curate.build.selection import Selection, Strategy
    from curate.corpus import Corpus

LABELS = "cell_type"


def measure_costs(
    strategy: Strategy,
    corpus: Corpus,
    candidates: Candidates,
    cells: pl.DataFrame,
    selection: Selection,
    *,
    embedding: Embedding | None,
    keys: NDArray[np.uint64],
    rng: np.random.Generator,
    settings: Mapping[str, Any],
) -> dict[str, int | float | str]:
    """Return what a strategy measures of a selection, and the bytes of its tiles; nothing where it has none.

    Parameters
    ----------
    cells, keys, settings
        As the strategy was given them.
    embedding
        Of the corpus; coverage is measured on it.
    """
    if strategy.costs is None:
        return {}
    costs = strategy.costs(
        cells,
        None if embedding is None else embedding.values,
        selection,
        labels=candidates.of(corpus.columns([LABELS])[LABELS]),
        keys=keys,
        rng=rng,
        embedding_rows=candidates.rows,
        **settings,
    )
    notes = {**selection.notes, **costs}
    return {**costs, **bytes_saved(corpus, notes, tile_cells=settings.get("tile_cells", TILE_CELLS))}
