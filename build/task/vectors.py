"""The training half of a reference in the space of an embedding.

1. the genes of the reference are aligned to those of the corpus, and to those of the embedding's model;
2. counts are read in blocks, of the training half only, and every value checked;
3. the model projects them; a gene that the reference lacks takes its mean in the corpus: absent, not zero;
4. the vectors are ordered by the names of their cells, so that the order of the file does not matter.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from curate.build.embeddings.embedding import GENES_FILE, MODEL_FILE
from curate.build.embeddings.pca import PcaModel
from curate.build.task.reference import open_census
from curate.content import content_hashes, gene_keys
from curate.documents import canonical_digest
from curate.errors import SourceError, TaskError
from curate.genes import map_genes
from curate.h5ad.genes import map_source_genes
from curate.h5ad.matrix import flaw_of
from curate.h5ad.source import H5adSource
from curate.progress import progress
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from curate.build.embeddings.embedding import Embedding
    from curate.build.task.reference import Reference
    from curate.corpus import Corpus
    from curate.genes import GeneMapping
    from curate.task import TaskDocument

MIN_GENES_FRACTION = 0.5
"""Share of the model's genes that a reference must have: with fewer, most of a vector is the corpus' mean."""
BLOCK_CELLS = 2048


@dataclass(frozen=True)
class GeneOverlap:
    """Genes of the corpus and of the embedding's model that a reference measured."""

    n_genes: int
    n_corpus: int
    n_in_corpus: int
    n_model: int | None = None
    n_in_model: int | None = None


@dataclass(frozen=True)
class ReferenceVectors:
    """The training half of a reference in the space of an embedding.

    Attributes
    ----------
    values
        float32 [n, d], ordered by the names of the cells.
    digest
        sha256 (hex) of what they are made from: names, and counts of the model's genes (or the file's own
        vectors).
    n_empty
        Cells of the training half without a count in the genes of the corpus; they are left out.
    overlap
        None where the file's own vectors are taken.
    """

    values: NDArray[np.float32]
    digest: str
    n_empty: int
    overlap: GeneOverlap | None


def reference_vectors(
    document: TaskDocument, reference: Reference, corpus: Corpus, embedding: Embedding
) -> ReferenceVectors:
    """Bring the training half of a reference into the space of an embedding, in a stream.

    Memory: the vectors, two blocks of counts, and the file's obs and var.

    Raises
    ------
    TaskError
        When the embedding has no model and the document names no vectors, these are of another dimension or
        not finite, or the reference lacks more than half of the model's genes or holds no counts.
    SourceError, CensusError
        When it cannot be read, or shares no gene with the corpus.
    """
    if embedding.header.model != "pca":
        return _own_vectors(reference, embedding)
    model = PcaModel.load(embedding.path / MODEL_FILE)
    genes = pl.read_parquet(embedding.path / GENES_FILE)["feature_id"].to_list()
    index = corpus.genes().index
    positions = np.array([index[gene] for gene in genes], np.int64)
    with _opened_counts(document, reference, corpus) as counts:
        overlap = _overlap(counts.mapping, positions)
        _refuse_few_genes(reference, embedding, overlap)
        return _projected(reference, counts, positions, model, overlap)


def gene_overlap(
    document: TaskDocument, reference: Reference, corpus: Corpus, embedding: Embedding | None
) -> GeneOverlap:
    """Return which genes a reference shares with a corpus, and with the model of an embedding.

    Raises
    ------
    SourceError, CensusError
        When it cannot be read, or shares no gene with the corpus.
    """
    positions = None
    if embedding is not None and embedding.header.model == "pca":
        index = corpus.genes().index
        genes = pl.read_parquet(embedding.path / GENES_FILE)["feature_id"].to_list()
        positions = np.array([index[gene] for gene in genes], np.int64)
    with _opened_counts(document, reference, corpus) as counts:
        return _overlap(counts.mapping, positions)


@dataclass(frozen=True)
class _Counts:
    """Counts of the training half, in blocks, and where their genes go in those of the corpus."""

    mapping: GeneMapping
    blocks: Iterator[sp.csr_array]


@contextmanager
def _opened_counts(document: TaskDocument, reference: Reference, corpus: Corpus) -> Iterator[_Counts]:
    if reference.kind == "census":
        with open_census(document, reference.source, corpus) as census:
            organism = corpus.header.organism
            var = census.read_var(organism)
            every = map_genes(var["feature_id"].to_list(), table=corpus.gene_table)
            shared = np.flatnonzero(every.target >= 0)
            if not shared.size:
                raise TaskError(f"{_shares_none(reference, corpus)}: none of its {var.height:,} ids is there")
            mapping = map_genes(var["feature_id"][shared].to_list(), table=corpus.gene_table)
            held = census.read_counts(
                organism,
                reference.rows,
                var_joinids=var["soma_joinid"].to_numpy()[shared],
                block_cells=BLOCK_CELLS,
            )
            yield _Counts(mapping, (block.counts for block in held))
        return
    with _opened_file(reference) as source:
        try:
            mapping = map_source_genes(
                source,
                table=corpus.gene_table,
                gene_column=reference.source.gene_column,
                organism=corpus.header.organism,
            )
        except SourceError as error:
            raise TaskError(f"{_shares_none(reference, corpus)}: {error}") from None
        yield _Counts(mapping, source.blocks(BLOCK_CELLS, cells=_mask(reference.rows, source.n_cells)))


def _opened_file(reference: Reference) -> H5adSource:
    """Open the first of X and raw.X, or the layer named, that holds counts in the training half.

    What the held-out half holds must not decide which layer is taken, so that it is not looked at.
    """
    named = reference.source.layer
    flaws = []
    for layer in [named] if named is not None else ["X", "raw.X"]:
        try:
            source = H5adSource.open(reference.place, layer=layer, check=False)
        except SourceError:
            if named is not None or layer == "X":
                raise
            break
        flaw = _flaw(source, reference)
        if flaw is None:
            return source
        source.close()
        flaws.append(f"{layer} has {flaw}")
    raise TaskError(
        f"the training half of {reference.name} holds no raw counts where looked for: {'; '.join(flaws)}; "
        "name the layer that has them under [reference]"
    )


def _flaw(source: H5adSource, reference: Reference) -> str | None:
    some = False
    for block in source.blocks(BLOCK_CELLS, cells=_mask(reference.rows, source.n_cells)):
        if why_not := flaw_of(block.data):
            return why_not
        some = some or bool(block.nnz)
    return None if some else "no value above zero"


def _mask(rows: NDArray[np.int64], n_cells: int) -> NDArray[np.bool_]:
    mask = np.zeros(n_cells, np.bool_)
    mask[rows] = True
    return mask


def _shares_none(reference: Reference, corpus: Corpus) -> str:
    return f"reference {reference.name} shares no genes with corpus {corpus.name}"


def _overlap(mapping: GeneMapping, positions: NDArray[np.int64] | None) -> GeneOverlap:
    measured = mapping.measured
    return GeneOverlap(
        n_genes=len(mapping.names),
        n_corpus=len(measured),
        n_in_corpus=int(measured.sum()),
        n_model=None if positions is None else len(positions),
        n_in_model=None if positions is None else int(measured[positions].sum()),
    )


def _refuse_few_genes(reference: Reference, embedding: Embedding, overlap: GeneOverlap) -> None:
    n_shared, n_model = overlap.n_in_model or 0, overlap.n_model or 0
    if n_shared < MIN_GENES_FRACTION * n_model:
        raise TaskError(
            f"reference {reference.name} has {n_shared:,} of the {n_model:,} genes of embedding "
            f"{embedding.name} ({100 * n_shared / n_model:.0f} %), and at least "
            f"{100 * MIN_GENES_FRACTION:.0f} % are needed; take a reference with more genes, or embed a "
            "corpus whose recipe lists the genes of this one"
        )


def _projected(
    reference: Reference,
    counts: _Counts,
    positions: NDArray[np.int64],
    model: PcaModel,
    overlap: GeneOverlap,
) -> ReferenceVectors:
    of_model = counts.mapping.restricted(positions)
    keys = gene_keys(of_model.space.feature_ids)
    is_absent = ~of_model.measured
    # Not a matrix product: the order of BLAS' sums may depend on the number of threads.
    loadings = model.components[:, is_absent].T.astype(np.float64)
    neutral = (model.center[is_absent, None] * loadings).sum(axis=0)
    values, totals, hashes = [], [], []
    with progress(f"Projecting {reference.name}", reference.n_train) as advance:
        for block in counts.blocks:
            total = counts.mapping.align(block).sum(axis=1).astype(np.float64)
            aligned = of_model.align(block)
            values.append((model.project(aligned, total) + neutral).astype(np.float32))
            totals.append(total)
            hashes.append(content_hashes(aligned, keys))
            advance(block.shape[0])
    total, content = np.concatenate(totals), np.concatenate(hashes)
    order = _order(reference.names)
    order = order[total[order] > 0]
    if not order.size:
        raise TaskError(
            f"none of the {reference.n_train:,} cells of the training half of {reference.name} has a count "
            "in a gene of the corpus; take another layer or file"
        )
    digest = _digest(
        reference.names.gather(order), total[order].astype("<f8"), content[order].astype("<u8"), is_absent
    )
    return ReferenceVectors(
        values=np.concatenate(values)[order],
        digest=digest,
        n_empty=reference.n_train - order.size,
        overlap=overlap,
    )


def _own_vectors(reference: Reference, embedding: Embedding) -> ReferenceVectors:
    key = reference.source.embedding_key
    if key is None or reference.kind != "h5ad":
        raise TaskError(
            f"embedding {embedding.name!r} is not a PCA of `curate embed`, which alone can project "
            f"{reference.name}; take one that `curate embed` computed, or name the key of the file's obsm "
            "that holds its vectors in that space: embedding_key under [reference]"
        )
    with H5adSource.open(reference.place, layer=reference.source.layer, check=False) as source:
        values = source.vectors(key, reference.rows)
    if values.shape[1] != embedding.n_components:
        raise TaskError(
            f"obsm {key!r} of {reference.name} has {values.shape[1]} dimensions, embedding "
            f"{embedding.name!r} {embedding.n_components}; they must be of one space"
        )
    if not np.isfinite(values).all():
        n_wrong = int((~np.isfinite(values)).any(axis=1).sum())
        raise TaskError(
            f"obsm {key!r} of {reference.name} is not finite in {counted(n_wrong, 'cell')} of the training "
            f"half ({reference.n_train:,}); give numbers"
        )
    order = _order(reference.names)
    held = np.ascontiguousarray(values[order], dtype="<f4")
    return ReferenceVectors(held, _digest(reference.names.gather(order), held), n_empty=0, overlap=None)


def _order(names: pl.Series) -> NDArray[np.int64]:
    return names.arg_sort().to_numpy().astype(np.int64)


def _digest(names: pl.Series, *arrays: NDArray[np.generic]) -> str:
    text = "".join(f"{name}\n" for name in names)
    return canonical_digest(
        {
            "names": hashlib.sha256(text.encode()).hexdigest(),
            "values": [hashlib.sha256(np.ascontiguousarray(array).data).hexdigest() for array in arrays],
        }
    )
