from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from curate.build import embed as embed_module
from curate.build.counts import Counts
from curate.build.embed import embed
from curate.build.pca import PcaModel
from curate.census import Census
from curate.corpus.build import build_corpus
from curate.errors import EmbeddingError, WriteError
from curate.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from curate.build.embedding import Embedding
    from curate.corpus import Corpus

SMALL: dict[str, Any] = {"n_components": 5, "n_hvgs": 40}


def dense_pca(counts: NDArray[np.float32], genes: NDArray[np.int64], d: int) -> NDArray[np.float64]:
    """The same by dense arrays and a singular value decomposition."""
    x = counts.astype(np.float64)
    x = np.log1p(x / x.sum(axis=1, keepdims=True) * 1e4)[:, genes]
    x = np.clip((x - x.mean(axis=0)) / x.std(axis=0, ddof=1), -10, 10)
    x -= x.mean(axis=0)
    vt = np.linalg.svd(x, full_matrices=False)[2][:d]
    signs = np.sign(vt[np.arange(d), np.abs(vt).argmax(axis=1)])
    return np.asarray(x @ (vt * signs[:, None]).T)


class Readings:
    """Counts the passes over the counts, and breaks off the one asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passes: list[str] = []
        self.broken: str | None = None
        blocks = Counts.blocks

        def watched(
            counts: Counts, description: str, genes: NDArray[np.int64] | None = None
        ) -> Iterator[tuple[slice, sp.csr_array]]:
            self.passes.append(description)
            for n, block in enumerate(blocks(counts, description, genes)):
                if description == self.broken and n == 1:
                    raise KeyboardInterrupt
                yield block

        monkeypatch.setattr(Counts, "blocks", watched)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> Readings:
    return Readings(monkeypatch)


def files(embedding: Embedding) -> set[str]:
    return {path.name for path in embedding.path.iterdir()}


def test_the_values_are_those_of_a_dense_computation_on_the_cells_of_the_corpus(
    corpus: Corpus, coordinate_counts: NDArray[np.float32]
) -> None:
    embedding = embed(corpus, **SMALL)
    feature_ids = pl.read_parquet(embedding.path / "genes.parquet")["feature_id"]
    genes = np.array([int(feature_id[4:]) for feature_id in feature_ids])
    assert genes.size == 40
    expected = dense_pca(coordinate_counts[corpus.joinids()], genes, 5)
    np.testing.assert_allclose(embedding.values, expected, atol=1e-5)
    assert embedding.values.dtype == np.float32


def test_the_header_says_what_was_made(corpus: Corpus) -> None:
    header = embed(corpus, **SMALL, name="small").header
    assert (header.name, header.corpus, header.model) == ("small", corpus.id, "pca")
    assert (header.n_cells, header.n_components, header.n_genes) == (600, 5, 40)
    assert (header.n_cells_sampled, header.n_cells_without_counts) == (600, 0)
    assert header.parameters["n_hvgs"] == 40
    assert len(header.explained_variance_ratio) == 5
    assert 0 < sum(header.explained_variance_ratio) < 1


def test_nothing_but_the_embedding_is_left(corpus: Corpus) -> None:
    embedding = embed(corpus, **SMALL)
    assert files(embedding) == {"embedding.json", "embedding.npy", "genes.parquet", "model.safetensors"}
    assert [path.name for path in corpus.embeddings_path.iterdir()] == ["pca"]


def test_the_block_size_does_not_matter(corpus: Corpus) -> None:
    ids = {
        embed(corpus, **SMALL, name=f"blocks-{block_cells}", block_cells=block_cells).id
        for block_cells in (37, 256, 4096)
    }
    assert len(ids) == 1


def test_each_pass_reads_the_counts_once(corpus: Corpus, readings: Readings) -> None:
    embed(corpus, **SMALL)
    assert readings.passes == ["Moments of genes", "Covariance", "Projection"]


@pytest.mark.parametrize(
    ("broken", "left_to_do"),
    [
        ("Moments of genes", ["Moments of genes", "Covariance", "Projection"]),
        ("Covariance", ["Covariance", "Projection"]),
        ("Projection", ["Projection"]),
    ],
)
def test_an_interrupted_run_leaves_no_embedding_and_goes_on_from_its_finished_passes(
    corpus: Corpus, readings: Readings, broken: str, left_to_do: list[str]
) -> None:
    expected = embed(corpus, **SMALL, name="expected")
    readings.broken = broken
    with pytest.raises(KeyboardInterrupt):
        embed(corpus, **SMALL, block_cells=100)
    assert not (corpus.embeddings_path / "pca").exists()
    readings.broken = None
    readings.passes.clear()
    embedding = embed(corpus, **SMALL)
    assert readings.passes == left_to_do
    assert embedding.id == expected.id
    assert files(embedding) == files(expected)


def test_a_torn_file_of_a_killed_run_is_not_kept(corpus: Corpus, readings: Readings) -> None:
    readings.broken = "Projection"
    with pytest.raises(KeyboardInterrupt):
        embed(corpus, **SMALL, block_cells=100)
    (corpus.embeddings_path / ".pca.partial" / ".embedding.npy.0123abcd.partial").write_bytes(b"torn")
    readings.broken = None
    assert files(embed(corpus, **SMALL)) == {
        "embedding.json",
        "embedding.npy",
        "genes.parquet",
        "model.safetensors",
    }


def test_a_full_disk_is_said_and_leaves_no_embedding(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(embed_module, "write_values", full)
        with pytest.raises(WriteError, match=r"could not write .*: No space left on device"):
            embed(corpus, **SMALL)
    assert not (corpus.embeddings_path / "pca").exists()
    assert embed(corpus, **SMALL).n_components == 5


def test_passes_of_other_settings_are_not_gone_on_from(corpus: Corpus, readings: Readings) -> None:
    readings.broken = "Projection"
    with pytest.raises(KeyboardInterrupt):
        embed(corpus, **SMALL, block_cells=100)
    readings.broken = None
    readings.passes.clear()
    embedding = embed(corpus, n_components=6, n_hvgs=40)
    assert len(readings.passes) == 3
    assert embedding.n_components == 6


def test_asked_again_it_is_opened_as_it_is(corpus: Corpus, readings: Readings) -> None:
    first = embed(corpus, **SMALL)
    readings.passes.clear()
    assert embed(corpus, **SMALL).header == first.header
    assert readings.passes == []


def test_other_settings_under_the_same_name_are_refused(corpus: Corpus) -> None:
    embed(corpus, **SMALL)
    with pytest.raises(EmbeddingError, match=r"other settings \(n_hvgs 40, not 50\); give this one another"):
        embed(corpus, n_components=5, n_hvgs=50)


def test_variable_genes_are_chosen_on_a_sample_of_the_cells_by_seed(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed_module, "MIN_CELLS_SAMPLED", 10)
    sampled = [embed(corpus, **SMALL, hvg_fraction=0.05, seed=s, name=f"seed-{s}") for s in (0, 1)]
    everything = embed(corpus, **SMALL, hvg_fraction=1, name="all")
    assert [e.header.n_cells_sampled for e in (*sampled, everything)] == [30, 30, 600]
    genes = [tuple(pl.read_parquet(e.path / "genes.parquet")["feature_id"]) for e in (*sampled, everything)]
    assert len(set(genes)) == 3


def test_a_corpus_of_fewer_genes_than_asked_for_keeps_all_that_vary(corpus: Corpus) -> None:
    assert embed(corpus, n_components=5, n_hvgs=2000).header.n_genes == 120


def test_cells_without_counts_in_the_genes_of_the_corpus_stay_and_are_counted(
    coordinate_census: Path, tmp_path: Path
) -> None:
    # Cell i has counts in the genes j with 3 | i + j: with every third gene alone, two in three are empty.
    thirds = pl.DataFrame({"feature_id": [f"ENSG{j:011d}" for j in range(0, 120, 3)]})
    thirds.write_csv(tmp_path / "genes.csv")
    recipe = Recipe.model_validate({"name": "thirds", "genes": {"list": "genes.csv"}})
    with Census.open(uri=coordinate_census) as census:
        corpus = build_corpus(recipe, census, tmp_path / "thirds", genes=tmp_path / "genes.csv")
    embedding = embed(corpus, n_components=3)
    assert embedding.header.n_cells_without_counts == 400
    empty = embedding.values[corpus.joinids() % 3 != 0]
    assert (empty == empty[0]).all()


def test_the_model_projects_cells_as_the_embedding_has_them(
    corpus: Corpus, coordinate_counts: NDArray[np.float32]
) -> None:
    import scipy.sparse as sparse

    embedding = embed(corpus, **SMALL)
    model = PcaModel.load(embedding.path / "model.safetensors")
    feature_ids = pl.read_parquet(embedding.path / "genes.parquet")["feature_id"]
    genes = [int(feature_id[4:]) for feature_id in feature_ids]
    counts = coordinate_counts[corpus.joinids()[:20]]
    projected = model.project(sparse.csr_array(counts[:, genes]), counts.sum(axis=1).astype(np.float64))
    np.testing.assert_array_equal(projected, embedding.values[:20])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_components": 0}, "0 components of 600 cells and 120 genes; ask for 1 to 119"),
        ({"n_components": 120}, "120 components .* ask for 1 to 119"),
        ({"n_components": 40, "n_hvgs": 40}, "40 components of 600 cells and 40 genes; ask for 1 to 39"),
        ({"n_components": 5, "hvg_fraction": 0.0}, "hvg_fraction 0.0 must be above 0 and at most 1"),
        ({"n_components": 5, "hvg_fraction": 1.5}, "hvg_fraction 1.5"),
        ({"n_components": 5, "hvg_fraction": float("nan")}, "hvg_fraction nan"),
        ({"n_components": 5, "target_sum": 0.0}, "target_sum 0.0 must be a number above 0"),
        ({"n_components": 5, "max_value": float("inf")}, "max_value inf must be a number above 0"),
        ({"n_components": 5, "name": "a/b"}, "'a/b' cannot name an embedding"),
    ],
)
def test_settings_out_of_range_are_refused_before_anything_is_read(
    corpus: Corpus, readings: Readings, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(EmbeddingError, match=message):
        embed(corpus, **settings)
    assert readings.passes == []
    assert not corpus.embeddings_path.exists() or not list(corpus.embeddings_path.iterdir())


def test_documents_on_disk_are_plain_json(corpus: Corpus) -> None:
    embedding = embed(corpus, **SMALL)
    content = json.loads((embedding.path / "embedding.json").read_text())
    assert content["format"] == 1
    assert content["id"] == embedding.id
