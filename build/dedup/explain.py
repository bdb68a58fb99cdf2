"""What looking for near-duplicates will hold and take, before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.build.explain import Explanation, Line, process_lines

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
    n, n_bytes = corpus.n_cells, embedding.values.nbytes
    return Explanation(
        title=f"near-duplicates of corpus {corpus.name}, cosine above {above:g} in {embedding.name}",
        lines=(
            Line("cells compared, at most", n, "cells", is_estimate=False, source="filters come before"),
            Line("embedding to read", n_bytes, "bytes", is_estimate=False, source=embedding.name),
            *process_lines(root, "dedup", n, "cells", held_bytes=BYTES_PER_CELL * n + n_bytes),
        ),
    )
