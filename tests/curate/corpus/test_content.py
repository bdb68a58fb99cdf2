"""Content hashes that are kept: over which genes, going on after a break, refused when damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from curate.census import Census, CensusWriter, Dataset, Entries
from curate.content import content_hashes, gene_keys
from curate.corpus import content_pass as module
from curate.corpus.build import build_corpus
from curate.corpus.content import (
    census_content,
    corpus_content,
    genes_digest,
    is_kept,
    is_known,
    measured_by_all,
)
from curate.errors import CensusError, CorpusError
from curate.recipe import Recipe
from curate.workspace import CensusSettings, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.corpus import Corpus
    from tests.conftest import WriteRelease

HUMAN = "homo_sapiens"


@pytest.fixture
def corpus(coordinate_census: Path, tmp_path: Path) -> Corpus:
    """The 450 cells of two datasets of the store, and half of its genes."""
    recipe = Recipe.model_validate(
        {
            "name": "two",
            "cells": {"filter": "dataset_id != 'dataset-b'"},
            "genes": {"feature_type": "lncRNA"},
        }
    )
    workspace = Workspace.create(tmp_path / "workspace", census=CensusSettings(uri=str(coordinate_census)))
    with Census.open(uri=coordinate_census) as census:
        return build_corpus(recipe, census, workspace.corpora_path / "two")


def expected(
    counts: NDArray[np.float32], rows: NDArray[np.int64], genes: NDArray[np.int64] | None = None
) -> NDArray[np.uint64]:
    chosen = np.arange(counts.shape[1]) if genes is None else genes
    keys = gene_keys([f"ENSG{j:011d}" for j in chosen])
    return content_hashes(sp.csr_array(counts[rows][:, chosen]), keys)


def test_hashes_are_over_every_gene_of_the_census_not_over_the_list_of_the_corpus(
    corpus: Corpus, coordinate_counts: NDArray[np.float32]
) -> None:
    found = corpus_content(corpus)
    joinids = corpus.joinids()
    assert corpus.header.genes.n == 30
    assert found.header.n_genes == 120
    assert found.hashes.tolist() == expected(coordinate_counts, joinids).tolist()
    assert found.n_genes.tolist() == (coordinate_counts[joinids] > 0).sum(axis=1).tolist()


def test_blocks_do_not_change_the_hashes(
    corpus: Corpus, coordinate_counts: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_JOINIDS", 7)
    found = corpus_content(corpus)
    assert found.hashes.tolist() == expected(coordinate_counts, corpus.joinids()).tolist()


def test_hashes_are_kept_and_the_counts_not_read_again(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_known(corpus)
    first = corpus_content(corpus)
    assert is_known(corpus)
    monkeypatch.setattr(Census, "entries", None)
    assert (corpus_content(corpus).hashes == first.hashes).all()
    assert isinstance(corpus_content(corpus).hashes, np.memmap)


@pytest.mark.parametrize("after_all", [False, True])
def test_hashes_over_some_genes_are_the_same_whether_those_over_all_are_known_or_not(
    corpus: Corpus, coordinate_counts: NDArray[np.float32], after_all: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if after_all:
        corpus_content(corpus)
    asked: list[int] = []
    entries = Census.entries

    def counted(self: Census, organism: str, *, var_joinids: NDArray[np.int64]) -> Entries:
        asked.append(len(var_joinids))
        return entries(self, organism, var_joinids=var_joinids)

    monkeypatch.setattr(Census, "entries", counted)
    genes = np.arange(0, 90)
    names = [f"ENSG{j:011d}" for j in genes]
    found = corpus_content(corpus, genes=[*names, "ENSG99999999999"])
    assert found.hashes.tolist() == expected(coordinate_counts, corpus.joinids(), genes).tolist()
    assert found.n_genes.tolist() == (coordinate_counts[corpus.joinids()][:, genes] > 0).sum(axis=1).tolist()
    assert (found.header.n_genes, found.header.genes) == (90, genes_digest(names))
    # Of the genes that are not wanted, where the hashes over all are there to take theirs from.
    assert asked == [30 if after_all else 90]


def test_hashes_over_every_gene_by_name_are_those_over_all(corpus: Corpus) -> None:
    whole = corpus_content(corpus)
    named = corpus_content(corpus, genes=[f"ENSG{j:011d}" for j in range(120)])
    assert (named.hashes == whole.hashes).all()
    assert named.header.genes == whole.header.genes


def test_a_pass_that_was_killed_goes_on_where_it_was(
    corpus: Corpus, coordinate_counts: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_S", 0.0)
    monkeypatch.setattr(module, "BLOCK_JOINIDS", 100)
    read = Entries.read
    asked: list[int] = []

    def killed(self: Entries, joinids: NDArray[np.int64]) -> Iterator[Any]:
        asked.append(int(joinids[0]))
        if joinids[0] == 200 and asked.count(200) == 1:
            raise KeyboardInterrupt
        return read(self, joinids)

    monkeypatch.setattr(Entries, "read", killed)
    with pytest.raises(KeyboardInterrupt):
        corpus_content(corpus)
    assert not is_known(corpus)
    assert is_known(corpus, begun=True)
    asked_before = len(asked)
    found = corpus_content(corpus)
    # Joinids 250 to 449 are not of the corpus.
    assert sorted(asked[asked_before:]) == [200, 450, 500]
    assert found.hashes.tolist() == expected(coordinate_counts, corpus.joinids()).tolist()
    assert sorted(path.name for path in (corpus.path / "content" / "all").iterdir()) == [
        "content.json",
        "content.npy",
        "n_genes.npy",
    ]


def test_a_corpus_takes_the_hashes_that_its_workspace_has_of_the_whole_census(
    corpus: Corpus, coordinate_census: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = corpus.path.parents[1]
    with Census.open(uri=coordinate_census) as census:
        assert not is_kept(root, census, HUMAN)
        whole = census_content(root, census, HUMAN)
        assert is_kept(root, census, HUMAN)
    monkeypatch.setattr(Census, "entries", None)
    assert is_known(corpus)
    found = corpus_content(corpus)
    assert found.hashes.tolist() == whole.hashes[corpus.joinids()].tolist()
    assert found.header.cells == corpus.id


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("content.npy", "are damaged"),
        ("content.json", "content.json is damaged"),
        ("none", "cannot be read"),
        ("other", "are of other cells"),
    ],
)
def test_hashes_that_were_changed_are_refused(corpus: Corpus, name: str, message: str) -> None:
    corpus_content(corpus)
    folder = corpus.path / "content" / "all"
    if name == "other":
        header = (folder / "content.json").read_text()
        (folder / "content.json").write_text(header.replace(corpus.id, "0" * 64))
    elif name == "none":
        (folder / "n_genes.npy").unlink()
    else:
        data = bytearray((folder / name).read_bytes())
        data[-1] ^= 1
        (folder / name).write_bytes(bytes(data))
    with pytest.raises(CorpusError, match=f"{message}.*; remove"):
        corpus_content(corpus)


def test_genes_that_every_dataset_measured_are_found(tmp_path: Path) -> None:
    genes = pl.DataFrame(
        {
            "feature_id": [f"ENSG{j:011d}" for j in range(6)],
            "feature_name": [f"GENE{j}" for j in range(6)],
            "feature_type": ["protein_coding"] * 6,
            "feature_length": [1000] * 6,
        }
    )
    path = tmp_path / "store"
    with CensusWriter(path, genes=genes, build_date="2026-01-31", label="measured") as writer:
        for dataset, measured in {"a": [0, 1, 2, 3], "b": [1, 2, 3, 4], "c": [5]}.items():
            counts = np.zeros((2, 6), np.float32)
            counts[:, measured] = 1
            flags = np.isin(np.arange(6), measured)
            obs = pl.DataFrame({"cell_type": ["T cell"] * 2})
            writer.add_dataset(Dataset(dataset, dataset), obs, [sp.csr_array(counts)], measured=flags)
    with Census.open(uri=path) as census:
        assert measured_by_all(census, HUMAN, ["b", "a"]) == [f"ENSG{j:011d}" for j in (1, 2, 3)]
        with pytest.raises(CorpusError, match="no gene was measured by each of 3 datasets"):
            measured_by_all(census, HUMAN, ["a", "b", "c"])


def test_a_store_without_counts_has_no_content(write_release: WriteRelease, tmp_path: Path) -> None:
    store = write_release(tmp_path / "bare", {"a": (None, {"donor_id": ["1"] * 5})}, n_genes=30)
    with Census.open(uri=store) as census:
        corpus = build_corpus(Recipe(name="bare"), census, tmp_path / "corpus")
    with pytest.raises(CorpusError, match=r"holds no counts of homo_sapiens.*by identity"):
        corpus_content(corpus)


def test_genes_that_the_census_lacks_are_an_error(corpus: Corpus) -> None:
    with pytest.raises(CorpusError, match="holds none of the 2 genes"):
        corpus_content(corpus, genes=["ENSG99999999998", "ENSG99999999999"])


def test_a_census_that_has_gone_is_said_plainly(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(corpus), "census_uri", lambda self: "/nowhere/store")
    with pytest.raises(CensusError, match="/nowhere/store"):
        corpus_content(corpus)
