"""Reading a corpus: columns, counts, genes, its Census, and what is said of a damaged one."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from curate.census import Census
from curate.corpus import Corpus
from curate.corpus.build import build_corpus
from curate.errors import CensusError, CorpusError
from curate.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def corpus(coordinate_census: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    recipe = Recipe.model_validate({"name": "any", "cells": {"filter": "soma_joinid >= 100"}})
    with Census.open(uri=coordinate_census) as census:
        return build_corpus(recipe, census, tmp_path_factory.mktemp("corpora") / "any")


@pytest.fixture
def copied(corpus: Corpus, tmp_path: Path) -> Path:
    return shutil.copytree(corpus.path, tmp_path / "copied")


def test_columns_come_in_the_order_asked_for_as_enums_and_numbers(
    corpus: Corpus, coordinate_obs: pl.DataFrame
) -> None:
    frame = corpus.columns(["donor_id", "soma_joinid", "observation_joinid", "raw_sum"])
    assert frame.schema == {
        "donor_id": pl.Enum(coordinate_obs[100:]["donor_id"].unique().sort()),
        "soma_joinid": pl.Int64(),
        "observation_joinid": pl.String(),
        "raw_sum": pl.Float64(),
    }
    expected = coordinate_obs[100:]
    assert frame["donor_id"].to_list() == expected["donor_id"].to_list()
    assert frame["observation_joinid"].to_list() == expected["observation_joinid"].to_list()


def test_the_counts_of_a_cell_add_up_to_its_raw_sum(
    corpus: Corpus, coordinate_counts: np.ndarray[Any, np.dtype[np.float32]]
) -> None:
    sums = corpus.columns(["raw_sum"])["raw_sum"].to_numpy()
    np.testing.assert_array_equal(sums, coordinate_counts.sum(axis=1)[100:])


def test_an_absent_column_is_named_with_the_nearest(corpus: Corpus) -> None:
    with pytest.raises(CorpusError, match="corpus any has no column 'cel_type'; did you mean 'cell_type'"):
        corpus.columns(["donor_id", "cel_type"])


def test_joinids_ascend_and_identities_are_distinct(corpus: Corpus) -> None:
    assert corpus.joinids().tolist() == list(range(100, 600))
    assert corpus.joinids().dtype == np.int64
    identity = corpus.identity()
    assert identity.dtype == np.uint64
    assert len(np.unique(identity)) == corpus.n_cells == 500
    assert not identity.flags.writeable


def test_value_counts_count_a_cell_for_each_of_its_diseases(
    corpus: Corpus, coordinate_obs: pl.DataFrame
) -> None:
    whole = coordinate_obs[100:]["disease"].value_counts()
    n = dict(whole.iter_rows())
    both = n["COVID-19 || type 2 diabetes mellitus"]
    assert dict(corpus.value_counts("disease").iter_rows()) == {
        "normal": n["normal"],
        "COVID-19": n["COVID-19"] + both,
        "type 2 diabetes mellitus": both,
    }


def test_value_counts_begin_with_the_most_and_break_ties_by_value(corpus: Corpus) -> None:
    counts = corpus.value_counts("donor_id")
    assert counts.columns == ["value", "n_cells"]
    assert counts["n_cells"].sum() == 500
    assert counts.rows() == sorted(counts.rows(), key=lambda row: (-row[1], row[0]))
    assert dict(corpus.value_counts("is_primary_data").iter_rows()).keys() == {True, False}


def test_genes_and_their_joinids_are_those_of_the_census(
    corpus: Corpus, coordinate_genes: pl.DataFrame
) -> None:
    assert list(corpus.genes().feature_ids) == coordinate_genes["feature_id"].to_list()
    assert corpus.var_joinids().tolist() == list(range(120))
    assert corpus.gene_table["feature_length"].to_list() == coordinate_genes["feature_length"].to_list()


def test_the_census_of_a_corpus_opens_again(corpus: Corpus) -> None:
    with corpus.open_census() as census:
        assert census.release == corpus.header.census.release == "2026-01-31"
        assert census.n_cells("homo_sapiens") == 600


def test_a_workspace_that_moved_with_its_store_still_finds_it(
    corpus: Corpus, coordinate_census: Path, tmp_path: Path
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    shutil.copytree(coordinate_census, old / "store")
    with Census.open(uri=old / "store") as census:
        build_corpus(corpus.header.recipe, census, old / "corpora" / "any")
    old.rename(new)
    with Corpus.open(new / "corpora" / "any").open_census() as census:
        assert census.uri == str(new / "store")


def test_a_store_that_is_gone_is_an_error_and_can_be_named(copied: Path, coordinate_census: Path) -> None:
    header = json.loads((copied / "corpus.json").read_text())
    header["census"] |= {"uri": "/gone", "relative_path": "gone"}
    (copied / "corpus.json").write_text(json.dumps(header))
    with pytest.raises(CensusError, match="/gone"):
        Corpus.open(copied).open_census()
    with Corpus.open(copied).open_census(uri=str(coordinate_census)) as census:
        assert census.n_cells("homo_sapiens") == 600


def test_the_census_of_another_release_is_refused(copied: Path) -> None:
    header = json.loads((copied / "corpus.json").read_text())
    header["census"] |= {"release": "2023-05-15", "content": "2023-05-15"}
    (copied / "corpus.json").write_text(json.dumps(header))
    with pytest.raises(
        CorpusError, match=r"another Census \(release 2023-05-15\) than .* \(release 2026-01-31\)"
    ):
        Corpus.open(copied).open_census()


def test_an_opened_corpus_says_what_was_built(corpus: Corpus) -> None:
    opened = Corpus.open(str(corpus.path))
    assert opened.header == corpus.header
    assert (opened.name, opened.id, opened.n_cells) == ("any", corpus.header.id, 500)
    assert opened.embeddings_path == corpus.path / "embeddings"


@pytest.mark.parametrize("name", ["cells.parquet", "identity.npy", "genes.parquet"])
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(CorpusError, match=f"lacks {name}; build the corpus again"):
        Corpus.open(copied)


def test_a_folder_without_a_header_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(
        CorpusError, match=r"holds no corpus \(corpus.json\); make one with `curate corpus build`"
    ):
        Corpus.open(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "is a corpus of format 2, this curate reads format 1; update curate"),
        ({"n_cells": "many"}, "damaged at n_cells: .* valid integer"),
        ({"surprise": 1}, "damaged at surprise: Extra inputs"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(copied: Path, change: dict[str, object], message: str) -> None:
    header = json.loads((copied / "corpus.json").read_text()) | change
    (copied / "corpus.json").write_text(json.dumps(header))
    with pytest.raises(CorpusError, match=message):
        Corpus.open(copied)


def test_damaged_files_are_said_to_be_damaged(copied: Path) -> None:
    damaged = Corpus.open(copied)
    (copied / "cells.parquet").write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(CorpusError, match=r"cells.parquet cannot be read: .*; build the corpus again"):
        damaged.joinids()
    (copied / "identity.npy").write_bytes(b"nonsense")
    with pytest.raises(CorpusError, match=r"identity.npy is damaged"):
        damaged.identity()
    np.save(copied / "identity.npy", np.zeros(7, np.uint64))
    with pytest.raises(CorpusError, match=r"identity.npy holds 7 cells, the corpus 500"):
        damaged.identity()
