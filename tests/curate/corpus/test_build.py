"""Building a corpus: what is kept and counted, the id, going on after an interruption."""

from __future__ import annotations

import errno
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from curate.census import Census
from curate.corpus import Corpus
from curate.corpus.build import build_corpus
from curate.corpus.plan import STANDARD_COLUMNS
from curate.errors import CorpusError, WriteError
from curate.identity import identity_hash, release_identity_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from curate.recipe import Recipe

STUDY_RULES = """
name = "small-study"
[cells]
filter = "is_primary_data == True"
assays = ["10x 3' v3", "10x 3' v2"]
[cell_types]
descendants_of = "native cell"
min_cells = 5
min_tech_samples = 3
min_ancestors = 3
[ontology]
source = "small.obo"
"""


def build(recipe: Recipe, store: Path, path: Path, **settings: Any) -> Corpus:
    with Census.open(uri=store) as census:
        return build_corpus(recipe, census, path, **settings)


def test_each_rule_of_the_study_drops_what_was_counted_by_hand(
    store: Path, recipe: Callable[[str], Recipe], tmp_path: Path
) -> None:
    corpus = build(recipe(STUDY_RULES), store, tmp_path / "corpus")
    assert {each.rule: (each.n_cells, each.n_matching, each.values) for each in corpus.header.dropped} == {
        "filter": (10, 10, {}),
        "assays": (3, 7, {"Smart-seq2": 3}),
        "descendants_of": (8, 8, {"cultured cell": 5, "unknown": 3}),
        "min_cells": (4, 7, {"monocyte": 4}),
        "min_tech_samples": (8, 16, {"T cell": 8}),
        "min_ancestors": (7, 15, {"lymphocyte": 7}),
    }
    assert (corpus.header.n_read, corpus.n_cells) == (46, 6)
    assert set(corpus.columns(["cell_type"])["cell_type"]) == {"B cell"}
    assert corpus.header.ontology is not None
    assert (corpus.header.ontology.source, corpus.header.ontology.release) == ("small.obo", "2020-02-03")


def test_the_same_files_make_the_same_corpus_on_any_day(
    store: Path, write_store: Callable[..., Path], recipe: Callable[[str], Recipe], tmp_path: Path
) -> None:
    corpus = build(recipe(STUDY_RULES), store, tmp_path / "corpus")
    other_day = write_store(tmp_path / "other day", build_date="2027-12-31")
    assert build(recipe(STUDY_RULES), other_day, tmp_path / "same").id == corpus.id
    with corpus.open_census(uri=str(other_day)) as census:
        assert census.release == "2027-12-31"
    other_counts = write_store(tmp_path / "other counts", count=2)
    assert build(recipe(STUDY_RULES), other_counts, tmp_path / "other").id != corpus.id
    with pytest.raises(CorpusError, match="was built from another Census"):
        corpus.open_census(uri=str(other_counts))


@pytest.mark.parametrize(
    "rules",
    [
        "",
        "[cells]\nfilter = \"is_primary_data == True and donor_id != '2'\"",
        '[cells]\nassays = ["Smart-seq2"]',
        "[cell_types]\nmin_cells = 8",
        "[cell_types]\nmin_tech_samples = 3\nmin_cells = 6",
        STUDY_RULES.removeprefix('\nname = "small-study"'),
    ],
)
def test_the_cells_dropped_by_the_rules_add_up(
    rules: str, store: Path, recipe: Callable[[str], Recipe], tmp_path: Path
) -> None:
    header = build(recipe('name = "any"\n' + rules), store, tmp_path / "corpus").header
    assert header.n_read - sum(each.n_cells for each in header.dropped) == header.n_cells > 0


def test_the_index_holds_the_cells_that_passed_with_their_values(
    coordinate_census: Path, coordinate_obs: pl.DataFrame, recipe: Callable[[str], Recipe], tmp_path: Path
) -> None:
    corpus = build(
        recipe('name = "any"\n[cells]\nfilter = "is_primary_data == True and disease == \'COVID-19\'"'),
        coordinate_census,
        tmp_path / "corpus",
        block_cells=77,
    )
    expected = coordinate_obs.with_row_index("soma_joinid").filter(
        pl.col("is_primary_data") & pl.col("disease").str.starts_with("COVID-19")
    )
    assert corpus.joinids().tolist() == expected["soma_joinid"].to_list()
    assert corpus.header.columns == STANDARD_COLUMNS
    for name in set(STANDARD_COLUMNS) & set(expected.columns):
        assert corpus.columns([name])[name].to_list() == expected[name].to_list(), name
    assert corpus.columns(["observation_joinid"])["observation_joinid"].to_list() == (
        expected["observation_joinid"].to_list()
    )
    np.testing.assert_array_equal(
        corpus.identity(), identity_hash(expected["dataset_id"], expected["observation_joinid"])
    )
    assert corpus.header.identity == "dataset_id+observation_joinid"


def test_any_parquet_reader_reads_the_index(
    coordinate_census: Path, recipe: Callable[[str], Recipe], tmp_path: Path
) -> None:
    corpus = build(recipe('name = "any"'), coordinate_census, tmp_path / "corpus")
    by_polars = pl.read_parquet(tmp_path / "corpus" / "cells.parquet")
    assert by_polars.height == corpus.n_cells == 600
    assert by_polars.columns == ["soma_joinid", *corpus.header.columns]
    assert (
        by_polars["cell_type"].cast(pl.String).to_list()
        == corpus.columns(["cell_type"])["cell_type"].to_list()
    )
    chunk = pa.parquet.read_metadata(tmp_path / "corpus" / "cells.parquet").row_group(0)
    encodings = {chunk.column(i).path_in_schema: chunk.column(i).encodings for i in range(chunk.num_columns)}
    schema = pa.parquet.read_schema(tmp_path / "corpus" / "cells.parquet")
    without_values = [field.name for field in schema if field.nullable]
    assert without_values == [name for name in by_polars.columns if by_polars[name].null_count()]
    assert "DELTA_BINARY_PACKED" in encodings["soma_joinid"]
    assert "RLE_DICTIONARY" in encodings["cell_type"]


def test_an_older_release_lacks_columns_and_its_identity_is_its_own(
    write_store: Callable[..., Path], recipe: Callable[[str], Recipe], tmp_path: Path
) -> None:
    store = write_store(tmp_path / "old", schema_version="1.0.0", build_date="2023-05-15")
    corpus = build(recipe(STUDY_RULES), store, tmp_path / "corpus")
    assert corpus.header.identity == "release+soma_joinid"
    assert not {"raw_sum", "nnz", "tissue_type"} & set(corpus.header.columns)
    assert not (corpus.path / "observation_joinids.parquet").exists()
    np.testing.assert_array_equal(corpus.identity(), release_identity_hash("2023-05-15", corpus.joinids()))
    with pytest.raises(CorpusError, match="no column 'observation_joinid'"):
        corpus.columns(["observation_joinid"])


def test_block_size_uri_time_and_dictionary_order_do_not_change_the_id(
    coordinate_census: Path, recipe: Callable[[str], Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recipe('name = "any"\n[cells]\nfilter = "is_primary_data == True"\n[cell_types]\nmin_cells = 50')
    first = build(wanted, coordinate_census, tmp_path / "first")
    for block_cells in (23, 100, 599):
        again = build(
            wanted, coordinate_census, tmp_path / f"blocks-of-{block_cells}", block_cells=block_cells
        )
        assert again.id == first.id
        assert again.header.dropped == first.header.dropped
    copy = shutil.copytree(coordinate_census, tmp_path / "copy")
    assert build(wanted, copy, tmp_path / "of-the-copy").id == first.id

    def reversed_dictionaries(self: Census, *args: Any, **kwargs: Any) -> Iterator[pa.Table]:
        for table in read_obs(self, *args, **kwargs):
            yield pa.table({name: _reversed(table[name]) for name in table.column_names})

    read_obs = Census.read_obs
    monkeypatch.setattr(Census, "read_obs", reversed_dictionaries)
    assert build(wanted, coordinate_census, tmp_path / "reversed", block_cells=100).id == first.id


def _reversed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_dictionary(column.type):
        return column
    array = column.combine_chunks()
    n = len(array.dictionary)
    codes = pa.array(n - 1 - array.indices.to_numpy(zero_copy_only=False), pa.int32())
    return pa.chunked_array(
        [pa.DictionaryArray.from_arrays(codes, array.dictionary.take(pa.array(range(n - 1, -1, -1))))]
    )


@pytest.mark.parametrize(
    "change",
    [
        '[cells]\nfilter = "soma_joinid != 3"',
        '[cells]\ncolumns = ["sex_ontology_term_id"]',
        '[genes]\nfeature_type = "protein_coding"',
    ],
    ids=["one cell less", "one column more", "fewer genes"],
)
def test_other_content_has_another_id(
    change: str, coordinate_census: Path, recipe: Callable[[str], Recipe], tmp_path: Path
) -> None:
    first = build(recipe('name = "any"'), coordinate_census, tmp_path / "first")
    other = build(recipe('name = "any"\n' + change), coordinate_census, tmp_path / "other")
    assert other.id != first.id


def test_the_recipe_that_led_to_the_cells_does_not_enter_the_id(
    coordinate_census: Path, recipe: Callable[[str], Recipe], tmp_path: Path
) -> None:
    first = build(recipe('name = "any"'), coordinate_census, tmp_path / "first")
    same = build(recipe('name = "some"\n[cells]\nfilter = "nnz >= 0"'), coordinate_census, tmp_path / "other")
    assert same.id == first.id
    assert same.header.recipe_digest != first.header.recipe_digest


class Killed(Exception):
    pass


def test_a_killed_build_goes_on_behind_its_last_finished_block(
    coordinate_census: Path, recipe: Callable[[str], Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recipe('name = "any"\n[cells]\nfilter = "is_primary_data == True"\n[cell_types]\nmin_cells = 50')
    undisturbed = build(wanted, coordinate_census, tmp_path / "undisturbed")
    read_obs = Census.read_obs
    started: list[int] = []

    def in_pieces(
        self: Census, *args: Any, joinids: slice, stop: int | None, **kwargs: Any
    ) -> Iterator[pa.Table]:
        started.append(joinids.start)
        for table in read_obs(self, *args, joinids=joinids, **kwargs):
            for first in range(0, table.num_rows, 50):
                if stop is not None and joinids.start + first >= stop:
                    raise Killed
                yield table.slice(first, 50)

    for stop in (300, 400):
        monkeypatch.setattr(
            Census, "read_obs", lambda *args, _stop=stop, **kw: in_pieces(*args, stop=_stop, **kw)
        )
        with pytest.raises(Killed):
            build(wanted, coordinate_census, tmp_path / "corpus", block_cells=100)
        assert not (tmp_path / "corpus").exists()
    monkeypatch.setattr(Census, "read_obs", lambda *args, **kw: in_pieces(*args, stop=None, **kw))
    corpus = build(wanted, coordinate_census, tmp_path / "corpus", block_cells=100)
    assert started == [0, 300, 400]
    assert corpus.id == undisturbed.id
    assert corpus.header.dropped == undisturbed.header.dropped
    assert sorted(path.name for path in corpus.path.iterdir()) == [
        "cells.parquet",
        "corpus.json",
        "genes.parquet",
        "identity.npy",
        "observation_joinids.parquet",
    ]
    assert not (tmp_path / ".corpus.partial").exists()


def test_a_block_that_was_cut_short_is_read_again(
    coordinate_census: Path, recipe: Callable[[str], Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recipe('name = "any"')
    monkeypatch.setattr("curate.corpus.build.seal_cells", _killed)
    with pytest.raises(Killed):
        build(wanted, coordinate_census, tmp_path / "corpus", block_cells=100)
    monkeypatch.undo()
    blocks = sorted((tmp_path / ".corpus.partial" / "blocks").glob("*.arrow"))
    assert len(blocks) == 6
    blocks[2].write_bytes(blocks[2].read_bytes()[:-20])
    corpus = build(wanted, coordinate_census, tmp_path / "corpus", block_cells=100)
    assert corpus.id == build(wanted, coordinate_census, tmp_path / "other").id


def test_blocks_behind_a_lost_one_are_read_again_in_blocks_of_another_size(
    coordinate_census: Path, recipe: Callable[[str], Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.corpus.build.seal_cells", _killed)
    folder = tmp_path / ".corpus.partial" / "blocks"
    with pytest.raises(Killed):
        build(recipe('name = "any"'), coordinate_census, tmp_path / "corpus", block_cells=100)
    (folder / "000002.arrow").unlink()
    with pytest.raises(Killed):
        build(recipe('name = "any"'), coordinate_census, tmp_path / "corpus", block_cells=250)
    assert len(list(folder.glob("*.arrow"))) == 4
    monkeypatch.undo()
    corpus = build(recipe('name = "any"'), coordinate_census, tmp_path / "corpus")
    assert corpus.joinids().tolist() == list(range(600))


def _killed(*_: object, **__: object) -> None:
    raise Killed


def test_blocks_of_another_filter_are_not_used(
    coordinate_census: Path, recipe: Callable[[str], Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.corpus.build.seal_cells", _killed)
    with pytest.raises(Killed):
        build(recipe('name = "any"'), coordinate_census, tmp_path / "corpus", block_cells=100)
    monkeypatch.undo()
    filtered = recipe('name = "any"\n[cells]\nfilter = "soma_joinid < 30"')
    assert build(filtered, coordinate_census, tmp_path / "corpus").n_cells == 30


def test_what_a_build_killed_while_sealing_has_left_does_not_get_into_the_corpus(
    coordinate_census: Path, recipe: Callable[[str], Recipe], tmp_path: Path
) -> None:
    (tmp_path / ".corpus.partial").mkdir()
    (tmp_path / ".corpus.partial" / "observation_joinids.parquet").write_text("half")
    (tmp_path / ".corpus.partial" / "left.over").write_text("half")
    corpus = build(recipe('name = "any"'), coordinate_census, tmp_path / "corpus")
    assert not (corpus.path / "left.over").exists()
    assert corpus.columns(["observation_joinid"]).height == 600


def test_a_full_disk_leaves_no_corpus(
    coordinate_census: Path, recipe: Callable[[str], Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("curate.corpus.build.seal_cells", full)
    with pytest.raises(WriteError, match=r"could not write .*corpus: No space left on device"):
        build(recipe('name = "any"'), coordinate_census, tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def test_a_corpus_is_never_written_over(
    coordinate_census: Path, recipe: Callable[[str], Recipe], tmp_path: Path
) -> None:
    first = build(recipe('name = "any"'), coordinate_census, tmp_path / "corpus")
    with pytest.raises(WriteError, match="exists"):
        build(recipe('name = "any"\n[cells]\nfilter = "nnz > 3"'), coordinate_census, tmp_path / "corpus")
    assert Corpus.open(tmp_path / "corpus").header == first.header
