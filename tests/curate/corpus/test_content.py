"""Content hashes that are kept: over which genes, going on after a break, refused when damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp

from curate.census import Census
from curate.content import content_hashes, gene_keys
from curate.corpus import content as module
from curate.corpus.build import build_corpus
from curate.corpus.content import census_content, corpus_content, genes_digest, is_kept, is_known
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


def test_hashes_are_kept_and_the_counts_not_read_again(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_known(corpus)
    first = corpus_content(corpus)
    assert is_known(corpus)
    monkeypatch.setattr(Census, "read_counts", None)
    assert (corpus_content(corpus).hashes == first.hashes).all()
    assert isinstance(corpus_content(corpus).hashes, np.memmap)


@pytest.mark.parametrize("after_all", [False, True])
def test_hashes_over_some_genes_are_the_same_whether_those_over_all_are_known_or_not(
    corpus: Corpus, coordinate_counts: NDArray[np.float32], after_all: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if after_all:
        corpus_content(corpus)
    asked: list[int] = []
    read = Census.read_counts

    def counted(self: Census, *args: Any, **settings: Any) -> Any:
        asked.append(len(settings["var_joinids"]))
        return read(self, *args, **settings)

    monkeypatch.setattr(Census, "read_counts", counted)
    genes = np.arange(0, 90)
    names = [f"ENSG{j:011d}" for j in genes]
    found = corpus_content(corpus, genes=[*names, "ENSG99999999999"])
    assert found.hashes.tolist() == expected(coordinate_counts, corpus.joinids(), genes).tolist()
    assert found.n_genes.tolist() == (coordinate_counts[corpus.joinids()][:, genes] > 0).sum(axis=1).tolist()
    assert (found.header.n_genes, found.header.genes) == (90, genes_digest(names))
    # Of the genes that are not wanted, where the hashes over all are there to take theirs from.
    assert asked == [30 if after_all else 90]


def test_a_pass_that_was_killed_goes_on_where_it_was(
    corpus: Corpus, coordinate_counts: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_S", 0.0)
    read = Census.read_counts
    asked: list[int] = []

    def killed(self: Census, organism: str, joinids: NDArray[np.int64], **settings: Any) -> Iterator[Any]:
        asked.append(len(joinids))
        for number, block in enumerate(read(self, organism, joinids, **settings | {"block_cells": 100})):
            if number == 2 and len(asked) == 1:
                raise KeyboardInterrupt
            yield block

    monkeypatch.setattr(Census, "read_counts", killed)
    with pytest.raises(KeyboardInterrupt):
        corpus_content(corpus)
    assert not is_known(corpus)
    assert is_known(corpus, begun=True)
    found = corpus_content(corpus)
    assert asked == [400, 200]
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
    monkeypatch.setattr(Census, "read_counts", None)
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
