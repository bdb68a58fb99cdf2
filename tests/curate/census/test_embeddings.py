from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import requests
import tiledbsoma as soma

from curate.build.embeddings.embed_file import import_census_embedding
from curate.build.embeddings.embedding import Embedding
from curate.census import Census, location
from curate.corpus.build import build_corpus
from curate.errors import CensusError, EmbeddingError
from curate.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.corpus import Corpus

HUMAN = "homo_sapiens"
N_CELLS, D = 600, 3


def coordinates() -> NDArray[np.float32]:
    """1000 i + k + 0.5 for cell i and dimension k."""
    i, k = np.ogrid[:N_CELLS, :D]
    return (1000 * i + k + 0.5).astype(np.float32)


def table_of(values: NDArray[np.float32], cells: NDArray[np.int64]) -> pa.Table:
    rows, columns = np.repeat(cells, D), np.tile(np.arange(D), cells.size)
    return pa.table({"soma_dim_0": rows, "soma_dim_1": columns, "soma_data": values[cells].ravel()})


def write_hosted(path: Path, *, release: str = "2026-01-31", organism: str = HUMAN) -> None:
    """Write an embedding as the Census hosts them."""
    info = {"census_version": release, "experiment_name": organism, "embedding_name": "scvi"}
    with soma.SparseNDArray.create(str(path), type=pa.float32(), shape=(N_CELLS, D)) as array:
        array.write(table_of(coordinates(), np.arange(N_CELLS)))
        array.metadata["CxG_embedding_info"] = json.dumps(info)


@pytest.fixture
def store(tmp_path: Path, coordinate_census: Path) -> Path:
    """The coordinate store with `scvi` of every cell and `partial` of the first 500 in its obsm."""
    path = tmp_path / "store"
    shutil.copytree(coordinate_census, path)
    rna = path / "census_data" / HUMAN / "ms" / "RNA"
    with soma.Measurement.open(str(rna), "w") as measurement:
        obsm = measurement.add_new_collection("obsm")
        for name, n in {"scvi": N_CELLS, "partial": 500}.items():
            with obsm.add_new_sparse_ndarray(name, type=pa.float32(), shape=(N_CELLS, D)) as array:
                array.write(table_of(coordinates(), np.arange(n)))
    return path


@pytest.fixture
def corpus_of_store(store: Path, tmp_path: Path) -> Corpus:
    """The cells of two datasets: joinids 250 to 599."""
    recipe = Recipe.model_validate({"name": "part", "cells": {"filter": "dataset_id != 'dataset-a'"}})
    with Census.open(uri=store) as census:
        return build_corpus(recipe, census, tmp_path / "part")


def test_an_embedding_in_obsm_is_read_for_the_cells_asked_for(store: Path) -> None:
    joinids = np.array([1, 2, 77, 300, 599])
    with Census.open(uri=store) as census:
        d, blocks = census.read_embedding(HUMAN, "scvi", joinids)
        np.testing.assert_array_equal(np.vstack(list(blocks)), coordinates()[joinids])
    assert d == D


def test_it_is_read_in_blocks(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from curate.census import embeddings

    monkeypatch.setattr(embeddings, "BLOCK_CELLS", 64)
    with Census.open(uri=store) as census:
        blocks = list(census.read_embedding(HUMAN, "scvi", np.arange(N_CELLS))[1])
    assert [len(block) for block in blocks] == [64] * 9 + [24]
    np.testing.assert_array_equal(np.vstack(blocks), coordinates())


def test_a_corpus_takes_it_over(corpus_of_store: Corpus) -> None:
    embedding = import_census_embedding(corpus_of_store, "scvi", name="scvi")
    np.testing.assert_array_equal(embedding.values, coordinates()[corpus_of_store.joinids()])
    assert embedding.header.model == "census"
    assert embedding.header.parameters["census"] == "scvi"
    embedding.verify()
    assert Embedding.open(embedding.path, corpus_of_store).id == embedding.id


def test_cells_without_an_embedding_are_counted_and_nothing_is_left(corpus_of_store: Corpus) -> None:
    message = "100 of the 350 cells with joinids 250 to 599 have no embedding 'partial'"
    with pytest.raises(CensusError, match=message):
        import_census_embedding(corpus_of_store, "partial", name="partial")
    assert not list(corpus_of_store.embeddings_path.glob("*partial*"))


def test_a_name_that_is_taken_is_refused(corpus_of_store: Corpus) -> None:
    import_census_embedding(corpus_of_store, "scvi", name="scvi")
    with pytest.raises(EmbeddingError, match="has an embedding 'scvi'; give this one another name"):
        import_census_embedding(corpus_of_store, "scvi", name="scvi")


class TestHosted:
    """The list of hosted embeddings is faked, the arrays it names are real."""

    @pytest.fixture
    def hosted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Where the embeddings of the release would lie; the list names `scvi` in it."""
        import cellxgene_census.experimental as experimental

        folder = tmp_path / "hosted"
        (folder / "2026-01-31").mkdir(parents=True)

        def metadata(name: str, organism: str, release: str) -> dict[str, Any]:
            if (name, organism, release) != ("scvi", HUMAN, "2026-01-31"):
                raise ValueError(f"No embeddings found for {name}")
            return {"id": "CxG-czi-1"}

        monkeypatch.setattr(experimental, "get_embedding_metadata_by_name", metadata)
        monkeypatch.setattr(location, "HOSTED_EMBEDDINGS", str(folder))
        return folder / "2026-01-31" / "CxG-czi-1"

    def test_a_hosted_embedding_is_found_by_name(self, coordinate_census: Path, hosted: Path) -> None:
        write_hosted(hosted)
        with Census.open(uri=coordinate_census) as census:
            d, blocks = census.read_embedding(HUMAN, "scvi", np.arange(5, 600, 7))
            np.testing.assert_array_equal(np.vstack(list(blocks)), coordinates()[5::7])
        assert d == D

    @pytest.mark.parametrize(
        ("release", "organism", "message"),
        [
            ("2023-12-15", HUMAN, "is of homo_sapiens in release 2023-12-15, not homo_sapiens in 2026-01-31"),
            ("2026-01-31", "mus_musculus", "is of mus_musculus in release 2026-01-31"),
        ],
    )
    def test_one_of_another_release_or_organism_is_refused(
        self, coordinate_census: Path, hosted: Path, release: str, organism: str, message: str
    ) -> None:
        write_hosted(hosted, release=release, organism=organism)
        with Census.open(uri=coordinate_census) as census, pytest.raises(CensusError, match=message):
            census.read_embedding(HUMAN, "scvi", np.arange(5))

    def test_an_unknown_name_is_refused(self, coordinate_census: Path, hosted: Path) -> None:
        message = r"neither the store nor the list .* 'nmf' of homo_sapiens"
        with Census.open(uri=coordinate_census) as census, pytest.raises(CensusError, match=message):
            census.read_embedding(HUMAN, "nmf", np.arange(5))
        assert not hosted.exists()

    def test_an_array_that_is_not_there_is_said(self, coordinate_census: Path, hosted: Path) -> None:
        message = r"cannot open the embedding 'scvi' of homo_sapiens"
        with Census.open(uri=coordinate_census) as census, pytest.raises(CensusError, match=message):
            census.read_embedding(HUMAN, "scvi", np.arange(5))
        assert not hosted.exists()

    def test_no_network_is_said_with_the_way_out(
        self, coordinate_census: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unreachable(*_: object, **__: object) -> None:
            raise requests.ConnectionError("no route")

        monkeypatch.setattr(requests, "get", unreachable)
        message = r"cannot be reached \(ConnectionError\); .* --from FILE"
        with Census.open(uri=coordinate_census) as census, pytest.raises(CensusError, match=message):
            census.read_embedding(HUMAN, "scvi", np.arange(5))
