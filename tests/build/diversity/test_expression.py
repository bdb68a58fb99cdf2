"""Scaled expression of some cells: what the embedding was projected from."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from curate.build.diversity.expression import expression_blocks
from curate.build.embeddings.embedding import MODEL_FILE, Embedding
from curate.build.embeddings.pca import PcaModel
from curate.errors import EmbeddingError
from curate.workspace import Workspace


@pytest.fixture
def workspace(atlas_workspace: Path) -> Workspace:
    return Workspace.find(atlas_workspace)


def test_projecting_it_gives_the_embedding(workspace: Workspace) -> None:
    corpus = workspace.corpus("demo")
    embedding = Embedding.open(corpus.embeddings_path / "pca", corpus)
    rows = np.arange(3, corpus.n_cells, 11)
    expression = np.concatenate(list(expression_blocks(corpus, embedding, rows)))
    model = PcaModel.load(embedding.path / MODEL_FILE)
    assert expression.shape == (rows.size, embedding.header.n_genes)
    projected = (expression - model.scaling.zero - model.center) @ model.components.T
    np.testing.assert_allclose(projected, embedding.values[rows], atol=1e-4)


def test_all_cells_are_those_of_all_rows(workspace: Workspace) -> None:
    corpus = workspace.corpus("demo")
    embedding = Embedding.open(corpus.embeddings_path / "pca", corpus)
    whole = np.concatenate(list(expression_blocks(corpus, embedding, None)))
    assert whole.shape[0] == corpus.n_cells
    some = np.concatenate(list(expression_blocks(corpus, embedding, np.array([5, 700]))))
    np.testing.assert_array_equal(some, whole[[5, 700]])


def test_an_imported_embedding_has_no_genes_to_read(fresh_workspace: Path) -> None:
    corpus = Workspace.find(fresh_workspace).corpus("demo")
    path = shutil.copytree(corpus.embeddings_path / "pca", corpus.embeddings_path / "imported")
    (path / MODEL_FILE).unlink()
    embedding = Embedding.open(path, corpus)
    with pytest.raises(
        EmbeddingError, match="was imported and has no genes to read; name one that `curate embed`"
    ):
        next(expression_blocks(corpus, embedding, None))
