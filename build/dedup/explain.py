"""What looking for near-duplicates will hold and take, before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.build.explain import BASE_BYTES, Explanation, Line
from curate.rates import rate_of

if TYPE_CHECKING:
    from pathlib import Path

    from curate.build.embeddings.embedding import Embedding
    from curate.corpus import Corpus

BYTES_PER_CELL = 80
"""Key, row, the eight nearest clusters, places by home and by guest, what is dropped."""


def explain_near_duplicates(corpus: Corpus, embedding: Embedding, above: float, *, root: Path) -> Explanation:
    """Say what `near_duplicates` will hold and take of all cells of a corpus; it does not look.

    Parameters
    ----------
    root
        The workspace, for its measured rates.
    """
    n, rate = corpus.n_cells, rate_of(root, "dedup")
    n_bytes = embedding.values.nbytes
    held = round(BASE_BYTES + BYTES_PER_CELL * n + n_bytes)
    return Explanation(
        title=f"near-duplicates of corpus {corpus.name}, cosine above {above:g} in {embedding.name}",
        lines=(
            Line("cells compared, at most", n, "cells", is_estimate=False, source="filters come before"),
            Line("embedding to read", n_bytes, "bytes", is_estimate=False, source=embedding.name),
            Line("memory", held, "bytes", is_estimate=True, source="the process, its arrays, mapped files"),
            Line(
                "time, at most",
                n / rate.per_s,
                "s",
                is_estimate=True,
                source=f"{rate.per_s:,.3g} cells/s, {rate.source}",
            ),
        ),
        notice="how many cells it drops is known when it has run; what follows counts them in",
    )
