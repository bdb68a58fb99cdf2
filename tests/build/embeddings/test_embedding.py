from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from curate.build.embeddings.embed_file import import_embedding
from curate.build.embeddings.embedding import Embedding, check_name, embedding_names
from curate.errors import EmbeddingError

if TYPE_CHECKING:
    from pathlib import Path

    from curate.corpus import Corpus


@pytest.fixture
def embedding(corpus: Corpus, tmp_path: Path) -> Embedding:
    values = np.arange(corpus.n_cells * 3, dtype=np.float32).reshape(-1, 3)
    np.save(tmp_path / "values.npy", values)
    return import_embedding(corpus, tmp_path / "values.npy", name="mine")


def test_its_values_are_mapped_and_cannot_be_written(embedding: Embedding) -> None:
    assert isinstance(embedding.values, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        embedding.values[0, 0] = 1


def test_one_that_is_not_there_names_the_command_and_those_there_are(
    corpus: Corpus, embedding: Embedding
) -> None:
    with pytest.raises(EmbeddingError, match=r"no embedding 'mein'; did you mean 'mine'\?, or make one with"):
        Embedding.open(embedding.path.parent / "mein", corpus)


def test_without_any_the_command_is_named(corpus: Corpus) -> None:
    with pytest.raises(EmbeddingError, match=r"no embedding 'pca'; make one with `curate embed all`"):
        Embedding.open(corpus.embeddings_path / "pca", corpus)


def test_one_of_another_corpus_is_refused(embedding: Embedding, other_corpus: Corpus) -> None:
    with pytest.raises(
        EmbeddingError, match=r"is an embedding of another corpus .* run `curate embed other`"
    ):
        Embedding.open(embedding.path, other_corpus)


def test_one_of_another_shape_is_refused(corpus: Corpus, embedding: Embedding) -> None:
    np.save(embedding.path / "embedding.npy", np.zeros((corpus.n_cells - 1, 3), dtype=np.float32))
    with pytest.raises(EmbeddingError, match=r"holds float32 \(\d+, 3\), not float32 \(\d+, 3\); remove"):
        Embedding.open(embedding.path, corpus)


def test_one_of_another_type_is_refused(corpus: Corpus, embedding: Embedding) -> None:
    np.save(embedding.path / "embedding.npy", np.zeros((corpus.n_cells, 3)))
    with pytest.raises(EmbeddingError, match="holds float64"):
        Embedding.open(embedding.path, corpus)


def test_one_that_was_cut_short_is_refused(corpus: Corpus, embedding: Embedding) -> None:
    path = embedding.path / "embedding.npy"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(EmbeddingError, match=r"embedding\.npy cannot be read .* run `curate embed`"):
        Embedding.open(embedding.path, corpus)


def test_one_flipped_bit_is_found_on_demand(corpus: Corpus, embedding: Embedding) -> None:
    embedding.verify()
    path = embedding.path / "embedding.npy"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(EmbeddingError, match="is damaged: the sha256 of its values is"):
        Embedding.open(embedding.path, corpus).verify()


def test_a_changed_id_is_found_on_demand(corpus: Corpus, embedding: Embedding) -> None:
    path = embedding.path / "embedding.json"
    path.write_text(path.read_text().replace(embedding.id, "0" * 64))
    with pytest.raises(EmbeddingError, match="is damaged"):
        Embedding.open(embedding.path, corpus).verify()


def test_a_later_format_is_refused(corpus: Corpus, embedding: Embedding) -> None:
    path = embedding.path / "embedding.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(EmbeddingError, match="of format 2, this curate reads format 1; update curate"):
        Embedding.open(embedding.path, corpus)


@pytest.mark.parametrize("content", ["", "[]", '{"format": 1}', '{"format": 1, "colour": "red"}'])
def test_a_damaged_header_is_refused(corpus: Corpus, embedding: Embedding, content: str) -> None:
    (embedding.path / "embedding.json").write_text(content)
    with pytest.raises(EmbeddingError, match=r"embedding\.json is damaged; remove .* `curate embed all`"):
        Embedding.open(embedding.path, corpus)


def test_only_finished_ones_are_listed(corpus: Corpus, embedding: Embedding) -> None:
    unfinished = embedding.path.parent / ".pca.partial"
    unfinished.mkdir()
    (unfinished / "embedding.json").write_text("{}")
    assert embedding_names(corpus) == ["mine"]


@pytest.mark.parametrize("name", ["", ".hidden", "-n", "a/b", "..", "a b"])
def test_names_that_are_no_folder_names_are_refused(name: str) -> None:
    with pytest.raises(EmbeddingError, match="cannot name an embedding"):
        check_name(name)
