from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from curate.build.embeddings.embed_file import import_embedding
from curate.build.embeddings.embedding import Embedding
from curate.errors import EmbeddingError

if TYPE_CHECKING:
    from pathlib import Path

    from curate.corpus import Corpus


def test_values_are_taken_over_row_by_row(corpus: Corpus, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(corpus.n_cells, 4))
    np.save(tmp_path / "latent.npy", values)
    embedding = import_embedding(corpus, tmp_path / "latent.npy", name="latent")
    np.testing.assert_array_equal(embedding.values, values.astype(np.float32))
    assert embedding.header.model == "file"
    assert embedding.header.parameters == {"file": "latent.npy"}
    assert Embedding.open(embedding.path, corpus).id == embedding.id


def test_the_id_is_one_of_content(corpus: Corpus, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(corpus.n_cells, 4)).astype(np.float32)
    np.save(tmp_path / "c-order.npy", values)
    np.save(tmp_path / "fortran.npy", np.asfortranarray(values.astype(np.float64)))
    np.save(tmp_path / "other.npy", values + np.float32(1e-3))
    one, same, other = (
        import_embedding(corpus, tmp_path / f"{name}.npy", name=name)
        for name in ("c-order", "fortran", "other")
    )
    assert one.id == same.id != other.id


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((10, 3)), r"has shape \(10, 3\), corpus all has 600 cells; give one row a cell"),
        (np.zeros((600, 0)), r"has shape \(600, 0\)"),
        (np.zeros(600), "holds no matrix of numbers"),
        (np.full((600, 2), "a"), "holds no matrix of numbers"),
        (np.where(np.arange(1200).reshape(600, 2) == 801, np.nan, 0), "nan at row 400, dimension 1"),
        (np.full((600, 2), np.inf), "inf at row 0, dimension 0"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(
    corpus: Corpus, tmp_path: Path, values: Any, message: str
) -> None:
    np.save(tmp_path / "latent.npy", values)
    with pytest.raises(EmbeddingError, match=message):
        import_embedding(corpus, tmp_path / "latent.npy", name="latent")
    assert not list(corpus.embeddings_path.glob("*latent*"))


@pytest.mark.parametrize("value", [1e300, -1e30, 1e19])
def test_values_too_large_for_distances_in_float32_are_one_error(
    value: float, corpus: Corpus, tmp_path: Path
) -> None:
    values = np.ones((corpus.n_cells, 50))
    values[77, 3] = value
    np.save(tmp_path / "large.npy", values)
    with pytest.raises(EmbeddingError, match=r"at row 77, dimension 3: distances .* to less than 1e\+18"):
        import_embedding(corpus, tmp_path / "large.npy", name="large")
    assert not (corpus.embeddings_path / "large").exists()


def test_large_values_within_reach_are_taken(corpus: Corpus, tmp_path: Path) -> None:
    np.save(tmp_path / "large.npy", np.full((corpus.n_cells, 50), 1e18))
    taken = import_embedding(corpus, tmp_path / "large.npy", name="large").values
    assert np.isfinite(np.square(2 * taken).sum(axis=1)).all()


def test_a_file_that_is_no_npy_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "latent.npy").write_text("1,2,3")
    with pytest.raises(EmbeddingError, match=r"latent\.npy is not a \.npy file of numbers") as caught:
        import_embedding(corpus, tmp_path / "latent.npy", name="latent")
    assert "pickle" not in str(caught.value)
    with pytest.raises(EmbeddingError, match=r"none\.npy cannot be read: No such file or directory$"):
        import_embedding(corpus, tmp_path / "none.npy", name="latent")


def test_a_pickled_array_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    np.save(tmp_path / "latent.npy", np.full((600, 2), None), allow_pickle=True)
    with pytest.raises(EmbeddingError, match=r"is not a \.npy file of numbers"):
        import_embedding(corpus, tmp_path / "latent.npy", name="latent")


def test_a_name_that_is_taken_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    np.save(tmp_path / "latent.npy", np.zeros((600, 2)))
    import_embedding(corpus, tmp_path / "latent.npy", name="latent")
    with pytest.raises(EmbeddingError, match="has an embedding 'latent'; give this one another name"):
        import_embedding(corpus, tmp_path / "latent.npy", name="latent")
