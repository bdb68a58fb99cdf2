"""The training half of a reference in the space of an embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from curate.build.embeddings.embed_file import import_embedding
from curate.build.embeddings.embedding import GENES_FILE, MODEL_FILE
from curate.build.embeddings.pca import PcaModel
from curate.build.task.task import Task
from curate.errors import TaskError
from curate.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from curate.build.embeddings.embedding import Embedding
    from curate.build.task.vectors import ReferenceVectors
    from curate.corpus import Corpus
    from tests.build.task.conftest import Cells, WriteTask

ALL = "[split]\ntrain_fraction = 1\n"


def vectors(task: Task, embedding: Embedding) -> ReferenceVectors:
    found = task.vectors(embedding)
    assert found is not None
    return found


def test_cells_of_the_corpus_get_the_vectors_that_the_embedding_has_of_them(
    corpus: Corpus, embedding: Embedding, own: Cells, write_task: WriteTask
) -> None:
    found = vectors(Task.open(write_task(ALL, reference=own), corpus), embedding)
    in_order_of_names = np.argsort(own.names, kind="stable")
    np.testing.assert_array_equal(found.values, embedding.values[::10][in_order_of_names])
    assert found.overlap is not None
    assert (found.overlap.n_in_model, found.overlap.n_model) == (100, 100)


def test_a_gene_that_the_reference_lacks_takes_its_mean_not_zero(
    corpus: Corpus, embedding: Embedding, own: Cells, write_task: WriteTask
) -> None:
    model = PcaModel.load(embedding.path / MODEL_FILE)
    genes = pl.read_parquet(embedding.path / GENES_FILE)["feature_id"].to_list()
    lost = genes[7]
    kept = [i for i, gene in enumerate(own.genes) if gene != lost]
    without = own.at(np.arange(len(own.names)))
    without.counts, without.genes = own.counts[:, kept], [own.genes[i] for i in kept]
    found = vectors(Task.open(write_task(ALL, reference=without), corpus), embedding)
    assert found.overlap is not None
    assert found.overlap.n_in_model == 99

    # By hand, cell by cell: scaled expression of the genes that are there, centred, times the loadings.
    place = {gene: i for i, gene in enumerate(own.genes)}
    of_corpus = [place[gene] for gene in corpus.genes().feature_ids if gene != lost]
    totals = own.counts[:, of_corpus].sum(axis=1, dtype=np.float64)
    of_model = own.counts[:, [place[gene] for gene in genes]].astype(np.float64)
    scaling = model.scaling
    scaled = (np.log1p(of_model / totals[:, None] * scaling.target_sum) - scaling.mean) / scaling.std
    centred = np.clip(scaled, -scaling.max_value, scaling.max_value) - scaling.zero - model.center
    centred[:, 7] = 0
    expected = (centred @ model.components.T.astype(np.float64))[np.argsort(own.names, kind="stable")]
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-4)


def test_the_order_of_the_file_and_of_its_genes_does_not_matter(
    corpus: Corpus, embedding: Embedding, foreign: Cells, write_task: WriteTask
) -> None:
    first = vectors(Task.open(write_task(reference=foreign), corpus), embedding)
    rng = np.random.default_rng(0)
    other = foreign.at(rng.permutation(len(foreign.names)))
    columns = rng.permutation(len(other.genes))
    other.counts, other.genes = other.counts[:, columns], [other.genes[i] for i in columns]
    second = vectors(Task.open(write_task(reference=other), corpus), embedding)
    np.testing.assert_array_equal(first.values, second.values)
    assert first.digest == second.digest


def test_other_counts_of_the_training_half_give_another_digest(
    corpus: Corpus, embedding: Embedding, foreign: Cells, write_task: WriteTask
) -> None:
    first = vectors(Task.open(write_task(ALL, reference=foreign), corpus), embedding)
    foreign.counts[3] += foreign.counts[3] > 0
    second = vectors(Task.open(write_task(ALL, reference=foreign), corpus), embedding)
    assert first.digest != second.digest


def test_a_cell_without_counts_is_left_out(
    corpus: Corpus, embedding: Embedding, foreign: Cells, write_task: WriteTask
) -> None:
    foreign.counts[:2] = 0
    found = vectors(Task.open(write_task(ALL, reference=foreign), corpus), embedding)
    assert (len(found.values), found.n_empty) == (198, 2)
    foreign.counts[:] = 0
    with pytest.raises(TaskError, match="no raw counts where looked for: X has no value above zero"):
        vectors(Task.open(write_task(ALL, reference=foreign), corpus), embedding)


def test_a_reference_without_shared_genes_or_with_too_few_is_refused(
    corpus: Corpus, embedding: Embedding, foreign: Cells, write_task: WriteTask
) -> None:
    genes = pl.read_parquet(embedding.path / GENES_FILE)["feature_id"].to_list()
    kept = [i for i, gene in enumerate(foreign.genes) if gene not in genes[:51]]
    few = foreign.at(np.arange(200))
    few.counts, few.genes = foreign.counts[:, kept], [foreign.genes[i] for i in kept]
    with pytest.raises(TaskError, match=r"49 of the 100 genes of embedding pca \(49 %\), and at least 50 %"):
        vectors(Task.open(write_task(reference=few), corpus), embedding)
    foreign.genes = [f"ENSG{90_000_000_000 + i}" for i in range(len(foreign.genes))]
    with pytest.raises(TaskError, match=r"shares no genes with corpus demo: .* 0 of its 300 genes"):
        vectors(Task.open(write_task(reference=foreign), corpus), embedding)


def test_counts_are_taken_from_raw_where_x_has_none_in_the_training_half(
    corpus: Corpus, embedding: Embedding, foreign: Cells, write_task: WriteTask
) -> None:
    counts = foreign.counts.copy()
    first = vectors(Task.open(write_task(reference=foreign), corpus), embedding)
    foreign.counts, foreign.raw = np.log1p(counts), counts
    second = vectors(Task.open(write_task(reference=foreign), corpus), embedding)
    np.testing.assert_array_equal(first.values, second.values)
    foreign.raw = None
    with pytest.raises(TaskError, match="no raw counts where looked for: X has values that are no int"):
        vectors(Task.open(write_task(reference=foreign), corpus), embedding)


def test_a_census_gives_the_vectors_that_a_file_of_the_same_cells_gives(
    corpus: Corpus, embedding: Embedding, atlas_census: Path, write_task: WriteTask
) -> None:
    text = f'[reference]\ncensus = {{uri = "{atlas_census}"}}\nwhere = "tissue_general == \'kidney\'"\n{ALL}'
    task = Task.open(write_task(text), corpus)
    assert task.reference is not None
    found = vectors(task, embedding)
    joinids = corpus.joinids()
    in_corpus = np.isin(task.reference.rows, joinids)
    order = np.argsort(task.reference.names.to_numpy(), kind="stable")
    rows = np.searchsorted(joinids, task.reference.rows[order][in_corpus[order]])
    assert rows.size > 50
    np.testing.assert_array_equal(found.values[in_corpus[order]], embedding.values[rows])


@pytest.fixture
def imported(fresh_workspace: Path, embedding: Embedding, tmp_path: Path) -> Embedding:
    corpus = Workspace.find(fresh_workspace).corpus()
    np.save(tmp_path / "values.npy", embedding.values)
    return import_embedding(corpus, tmp_path / "values.npy", name="mine")


def test_an_embedding_without_a_model_takes_the_vectors_of_the_file(
    corpus: Corpus, imported: Embedding, foreign: Cells, write_task: WriteTask
) -> None:
    foreign.obsm["X_mine"] = np.arange(2_000, dtype=np.float32).reshape(200, 10)
    foreign.obsm["X_small"] = np.zeros((200, 3), np.float32)
    foreign.obsm["X_broken"] = np.full((200, 10), np.nan, np.float32)
    with pytest.raises(TaskError, match=r"'mine' is not a PCA of `curate embed`, which .* embedding_key"):
        vectors(Task.open(write_task(reference=foreign), corpus), imported)

    def with_key(key: str) -> ReferenceVectors:
        text = f'[reference]\nh5ad = "reference.h5ad"\nembedding_key = "{key}"\n{ALL}'
        return vectors(Task.open(write_task(text, reference=foreign), corpus), imported)

    found = with_key("X_mine").values
    np.testing.assert_array_equal(found, foreign.obsm["X_mine"][np.argsort(foreign.names, kind="stable")])
    with pytest.raises(TaskError, match=r"obsm 'X_small' .* has 3 dimensions, embedding 'mine' 10"):
        with_key("X_small")
    with pytest.raises(TaskError, match=r"obsm 'X_broken' .* is not finite in 200 cells"):
        with_key("X_broken")


def test_matrices_of_references_may_be_dense(
    corpus: Corpus, embedding: Embedding, own: Cells, write_task: WriteTask, tmp_path: Path
) -> None:
    import anndata as ad
    import pandas as pd

    path = write_task(ALL, reference=own)
    first = vectors(Task.open(path, corpus), embedding)
    dense = ad.AnnData(
        sp.csr_matrix(own.counts).toarray(),
        obs=pd.DataFrame(own.obs, index=own.names),
        var=pd.DataFrame(index=own.genes),
    )
    dense.write_h5ad(tmp_path / "reference.h5ad")
    np.testing.assert_array_equal(vectors(Task.open(path, corpus), embedding).values, first.values)
