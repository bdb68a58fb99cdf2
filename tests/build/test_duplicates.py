"""Cells marked primary twice, and cells without a primary copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from curate.build.duplicates import census_duplicates, corpus_duplicates
from curate.build.explain_content import explain_census_content, explain_corpus_content
from curate.census import Census
from curate.corpus import Corpus
from curate.corpus.build import build_corpus
from curate.errors import CorpusError
from curate.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.conftest import WriteRelease

HUMAN, N_GENES = "homo_sapiens", 60


def some_counts(n: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).poisson(1.5, size=(n, N_GENES)).astype(np.float32)


def datasets() -> dict[str, Any]:
    """Return datasets whose copies are counted by hand.

    Primary twice: 20 cells of "a" in "b", 5 of these in "c" as well, 3 that stand twice in "c". Not primary,
    in "d": 40 cells of "a", 10 contents that stand twice and 9 that stand once without a primary copy. Too
    few genes: two empty cells of "c", one cell of two genes of "d".
    """
    a, twice, alone = some_counts(100, 0), some_counts(3, 1), some_counts(19, 2)
    few = np.zeros((1, N_GENES), np.float32)
    few[0, :2] = 1
    d = np.concatenate([few, a[60:], alone[:10], alone])
    return {
        "a": (a, {}),
        "b": (a[:20], {}),
        "c": (np.concatenate([a[:5], twice, twice, np.zeros((2, N_GENES), np.float32)]), {}),
        "d": (d, {"is_primary_data": [False] * 70}),
    }


@pytest.fixture(scope="module")
def store(write_release: WriteRelease, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_release(tmp_path_factory.mktemp("copies") / "store", datasets())


@pytest.fixture(scope="module")
def corpora(store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Corpus]:
    folder = tmp_path_factory.mktemp("corpora")
    filters = {"all": None, "primary": "is_primary_data == True"}
    with Census.open(uri=store) as census:
        return {
            name: build_corpus(
                Recipe.model_validate({"name": name, "cells": {"filter": rule}}), census, folder / name
            )
            for name, rule in filters.items()
        }


def test_a_census_shows_both_kinds(store: Path, tmp_path: Path) -> None:
    with Census.open(uri=store) as census:
        found, cells = census_duplicates(tmp_path, census, HUMAN)
    assert (found.n_cells, found.n_primary, found.n_genes) == (203, 133, 60)
    assert (found.n_contents_twice, found.n_cells_twice, found.n_surplus) == (23, 20 + 20 + 5 + 6, 28)
    assert (found.n_without_primary, found.n_contents_alone) == (29, 19)
    assert (found.n_too_few, found.n_without_counts) == (3, 2)
    assert [(each.dataset_a, each.dataset_b, each.n_cells) for each in found.pairs] == [
        ("a", "b", 20),
        ("a", "c", 5),
        ("b", "c", 5),
        ("c", "c", 3),
    ]
    assert [(e.dataset, e.n_not_primary, e.n_without_primary) for e in found.datasets] == [("d", 70, 29)]
    assert cells.height == 51 + 29
    assert list(found.to_json(top=1)["pairs"]) == [{"dataset_a": "a", "dataset_b": "b", "n_cells": 20}]


def test_the_list_names_every_cell_and_the_one_of_each_content_that_stays(
    store: Path, tmp_path: Path
) -> None:
    with Census.open(uri=store) as census:
        _, cells = census_duplicates(tmp_path, census, HUMAN)
        texts = {
            joinid: text
            for table in census.read_obs(HUMAN, ["observation_joinid"])
            for joinid, text in zip(
                table["soma_joinid"].to_pylist(), table["observation_joinid"].to_pylist(), strict=True
            )
        }
    assert cells.columns == [
        "soma_joinid",
        "dataset_id",
        "observation_joinid",
        "is_primary_data",
        "n_genes",
        "finding",
        "content",
        "is_kept",
    ]
    assert [texts[joinid] for joinid in cells["soma_joinid"]] == cells["observation_joinid"].to_list()
    rows = cells["soma_joinid"].to_numpy()
    counts = np.concatenate([held for held, _ in datasets().values()])
    contents = [counts[row].tobytes() for row in rows]
    assert len(set(contents)) == cells["content"].n_unique() == 23 + 19
    assert cells["n_genes"].to_list() == (counts[rows] > 0).sum(axis=1).tolist()
    assert cells.filter(cells["is_kept"])["content"].n_unique() == cells["is_kept"].sum() == 42
    by_finding = dict(cells["finding"].value_counts().iter_rows())
    assert by_finding == {"primary twice": 51, "no primary copy": 29}


def test_a_corpus_shows_the_same_as_its_census(
    store: Path, corpora: dict[str, Corpus], tmp_path: Path
) -> None:
    with Census.open(uri=store) as census:
        there, cells = census_duplicates(tmp_path, census, HUMAN)
    here, own = corpus_duplicates(corpora["all"])
    assert here.to_json() | {"what": ""} == there.to_json() | {"what": ""}
    assert own.equals(cells)


def test_a_corpus_of_primary_cells_shows_the_first_kind_only(corpora: dict[str, Corpus]) -> None:
    found, cells = corpus_duplicates(corpora["primary"])
    assert (found.n_cells, found.n_primary, found.n_surplus) == (133, 133, 28)
    assert (found.n_without_primary, found.datasets) == (0, ())
    assert cells["finding"].unique().to_list() == ["primary twice"]


def test_fewer_genes_can_be_enough_when_asked_for(corpora: dict[str, Corpus]) -> None:
    found, _ = corpus_duplicates(corpora["all"], min_genes=2)
    assert (found.n_too_few, found.n_without_primary) == (2, 30)
    with pytest.raises(CorpusError, match="min_genes 0 must be at least 1"):
        corpus_duplicates(corpora["all"], min_genes=0)


def test_a_release_without_observation_joinid_is_looked_at_all_the_same(
    write_release: WriteRelease, tmp_path: Path
) -> None:
    store = write_release(tmp_path / "study", datasets(), schema_version="1.0.0")
    with Census.open(uri=store) as census:
        found, cells = census_duplicates(tmp_path, census, HUMAN)
        corpus = build_corpus(Recipe(name="study"), census, tmp_path / "corpora" / "study")
    assert (found.n_surplus, found.n_without_primary) == (28, 29)
    assert "observation_joinid" not in cells.columns
    assert corpus_duplicates(corpus)[1].equals(cells)


def test_nothing_found_is_an_empty_list(write_release: WriteRelease, tmp_path: Path) -> None:
    store = write_release(tmp_path / "plain", {"a": (some_counts(30, 4), {})})
    with Census.open(uri=store) as census:
        found, cells = census_duplicates(tmp_path, census, HUMAN)
    assert (found.n_surplus, found.pairs, cells.height) == (0, (), 0)


def test_a_cell_that_two_datasets_hold_with_other_genes_is_found_over_the_shared_ones(
    tmp_path: Path,
) -> None:
    import polars as pl
    import scipy.sparse as sp

    from curate.census import CensusWriter, Dataset

    genes = pl.DataFrame(
        {
            "feature_id": [f"ENSG{j:011d}" for j in range(N_GENES)],
            "feature_name": [f"GENE{j}" for j in range(N_GENES)],
            "feature_type": ["protein_coding"] * N_GENES,
            "feature_length": [1000] * N_GENES,
        }
    )
    counts = some_counts(40, 5)
    measured = {"whole": np.ones(N_GENES, np.bool_), "part": np.arange(N_GENES) < 50}
    with CensusWriter(tmp_path / "store", genes=genes, build_date="2026-01-31", label="parts") as writer:
        for dataset, flags in measured.items():
            obs = pl.DataFrame({"cell_type": ["T cell"] * 40})
            writer.add_dataset(Dataset(dataset, dataset), obs, [sp.csr_array(counts * flags)], measured=flags)
    with Census.open(uri=tmp_path / "store") as census:
        assert census_duplicates(tmp_path, census, HUMAN)[0].n_surplus == 0
        found, _ = census_duplicates(tmp_path, census, HUMAN, shared_genes=True)
        corpus = build_corpus(Recipe(name="both"), census, tmp_path / "corpus")
    assert (found.n_surplus, found.n_genes) == (40, 50)
    assert corpus_duplicates(corpus, shared_genes=True)[0].n_surplus == 40


def test_what_it_will_take_is_told_before_and_nothing_once_hashes_are_kept(
    store: Path, corpora: dict[str, Corpus], tmp_path: Path
) -> None:
    copy = Corpus.open(_copied(corpora["all"].path, tmp_path / "all"))
    nonzeros = sum(int((counts > 0).sum()) for counts, _ in datasets().values())
    before = explain_corpus_content(copy, root=tmp_path)
    assert before.value("cells") == 203
    assert before.value("non-zeros") == nonzeros
    with Census.open(uri=store) as census:
        of_census = explain_census_content(census, HUMAN, root=tmp_path)
        assert of_census.value("non-zeros") == nonzeros
        census_duplicates(tmp_path, census, HUMAN)
        assert explain_census_content(census, HUMAN, root=tmp_path).value("counts to read") == 0
        again = explain_census_content(census, HUMAN, root=tmp_path, shared_genes=True)
        assert again.value("non-zeros") == nonzeros
    corpus_duplicates(copy)
    assert explain_corpus_content(copy, root=tmp_path).value("counts to read") == 0


def _copied(source: Path, target: Path) -> Path:
    import shutil

    shutil.copytree(source, target, ignore=shutil.ignore_patterns("content"))
    return target
