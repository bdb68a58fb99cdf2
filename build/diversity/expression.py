"""The scaled expression of variable genes, cell by cell: what an embedding of ours was projected from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from curate.build.embeddings.embedding import GENES_FILE, MODEL_FILE
from curate.build.embeddings.pca import PcaModel
from curate.errors import EmbeddingError
from curate.passes.counts import corpus_counts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from curate.build.embeddings.embedding import Embedding
    from curate.corpus import Corpus

BLOCK_CELLS = 2048


def expression_blocks(
    corpus: Corpus, embedding: Embedding, rows: NDArray[np.int64] | None
) -> Iterator[NDArray[np.float32]]:
    """Read the counts of cells and yield them normalised, log1p, scaled and clipped, as the model does.

    Parameters
    ----------
    embedding
        Of the model "pca": its genes, their means and standard deviations are used.
    rows
        int64 [n] ascending; None for all cells.

    Yields
    ------
    float32 [at most 2048, n_genes]
        In the order of `rows`.

    Raises
    ------
    EmbeddingError
        When the embedding has no model of genes.
    CensusError
        When the counts cannot be read.
    """
    path = embedding.path / MODEL_FILE
    if not path.is_file():
        raise EmbeddingError(
            f"embedding {embedding.name} of corpus {corpus.name} was imported and has no genes to read; "
            "name one that `curate embed` computed from counts"
        )
    scaling = PcaModel.load(path).scaling
    joinids = pl.read_parquet(embedding.path / GENES_FILE)["soma_joinid"].to_numpy()
    of_corpus = corpus.var_joinids()
    order = np.argsort(of_corpus)
    genes = order[np.searchsorted(of_corpus, joinids, sorter=order)]
    zero = scaling.zero.astype(np.float32)
    cells = corpus.joinids() if rows is None else corpus.joinids()[rows]
    with corpus_counts(corpus, block_cells=BLOCK_CELLS) as counts:
        for block in counts.blocks([cells], genes):
            excess = scaling.excess(block.counts, block.totals)
            yield excess.toarray().astype(np.float32) + zero
