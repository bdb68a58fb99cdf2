"""Rules by content in a recipe: one of equal cells stays, and one of cells without a primary copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from curate.census import Census
from curate.corpus.build import build_corpus
from curate.corpus.content import census_content
from curate.errors import CorpusError, RecipeError
from curate.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.corpus import Corpus
    from tests.conftest import WriteRelease

PRIMARY = "is_primary_data == True"
N_GENES = 60


def some_counts(n: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).poisson(1.5, size=(n, N_GENES)).astype(np.float32)


def datasets() -> dict[str, Any]:
    """Return three datasets: "b" repeats 20 of "a" as primary, "c" is not primary.

    Of the 70 cells of "c", 40 are cells of "a", 10 stand in it twice and are nowhere else, 9 stand once, and
    one has counts of three genes.
    """
    a = some_counts(100, 0)
    own = some_counts(19, 2)
    few = np.zeros((1, N_GENES), np.float32)
    few[0, :3] = 1
    c = np.concatenate([a[:40], own[:10], own[:10], own[10:], few])
    return {
        "a": (a, {"assay": ["10x 3' v3"] * 90 + ["Smart-seq2"] * 10}),
        "b": (np.concatenate([some_counts(30, 1), a[30:50]]), {"cell_type": ["B cell"] * 50}),
        "c": (c, {"is_primary_data": [False] * 70, "assay": ["10x 3' v3"] * 65 + ["Smart-seq2"] * 5}),
    }


@pytest.fixture(scope="module")
def store(write_release: WriteRelease, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_release(tmp_path_factory.mktemp("copies") / "store", datasets())


def build(store: Path, path: Path, *, types: dict[str, Any] | None = None, **cells: Any) -> Corpus:
    recipe = Recipe.model_validate({"name": "copies", "cells": cells, "cell_types": types or {}})
    with Census.open(uri=store) as census:
        return build_corpus(recipe, census, path)


def sizes(corpus: Corpus) -> dict[str, int]:
    return dict(corpus.value_counts("dataset_id").iter_rows())


def test_one_of_equal_cells_stays_and_the_others_are_counted(store: Path, tmp_path: Path) -> None:
    corpus = build(store, tmp_path / "corpus", filter=PRIMARY, deduplicate="content")
    (rule,) = [each for each in corpus.header.dropped if each.rule == "deduplicate"]
    assert (rule.setting, rule.n_cells, rule.n_matching) == ("content", 20, 20)
    assert set(rule.values) <= {"a", "b"}
    assert sum(rule.values.values()) == 20
    assert sizes(corpus) == {"a": 100 - rule.values.get("a", 0), "b": 50 - rule.values.get("b", 0)}
    assert corpus.n_cells == 130
    assert corpus.header.n_read == 130 + sum(each.n_cells for each in corpus.header.dropped)


def test_which_one_stays_does_not_depend_on_the_order_of_the_store(
    write_release: WriteRelease, store: Path, tmp_path: Path
) -> None:
    def named(held: dict[str, Any]) -> dict[str, Any]:
        return {
            name: (counts, columns | {"observation_joinid": [f"{name}{i}" for i in range(len(counts))]})
            for name, (counts, columns) in held.items()
        }

    there = named(datasets())
    other = {name: there[name] for name in ("c", "b", "a")}
    corpora = [
        build(write_release(tmp_path / f"store-{i}", held), tmp_path / f"corpus-{i}", deduplicate="content")
        for i, held in enumerate([there, other])
    ]
    assert sorted(corpora[0].identity()) == sorted(corpora[1].identity())
    # Of a cell that is primary in one dataset and not in another, the primary one stays.
    assert [sizes(corpus)["c"] for corpus in corpora] == [20, 20]


def test_cells_with_counts_of_too_few_genes_are_kept_and_said(store: Path, tmp_path: Path) -> None:
    corpus = build(store, tmp_path / "corpus", deduplicate="content")
    assert sizes(corpus)["c"] == 10 + 9 + 1
    assert any(
        note.startswith("deduplicate: 1 cells have fewer than 25 genes") for note in corpus.header.notes
    )


def test_one_copy_of_cells_without_a_primary_copy_is_rescued(store: Path, tmp_path: Path) -> None:
    corpus = build(store, tmp_path / "corpus", filter=PRIMARY, rescue_without_primary=True)
    assert sizes(corpus) == {"a": 100, "b": 50, "c": 19}
    assert corpus.columns(["is_primary_data"])["is_primary_data"].to_list() == [True] * 150 + [False] * 19
    dropped = {each.rule: each for each in corpus.header.dropped}
    assert dropped["filter"].n_cells == 0
    assert dropped["rescue_without_primary"].n_cells == 51
    assert dropped["rescue_without_primary"].values == {
        "a primary copy is in the Census": 40,
        "another copy is kept": 10,
        "fewer than 25 genes with counts": 1,
    }
    assert any("19 cells that are not primary are kept" in note for note in corpus.header.notes)


def test_a_primary_copy_counts_wherever_it_is_and_other_rules_hold_for_the_rescued(
    store: Path, tmp_path: Path
) -> None:
    corpus = build(
        store,
        tmp_path / "corpus",
        filter=f"{PRIMARY} and dataset_id != 'a'",
        assays=["10x 3' v3"],
        rescue_without_primary=True,
        types={"min_cells": 12},
    )
    # The 40 cells of "c" that are in "a" have a primary copy, though the filter drops it.
    assert sizes(corpus) == {"c": 15}
    dropped = {each.rule: each.n_cells for each in corpus.header.dropped}
    # "a" by the filter; "b", of unknown assay, and five of "c" by the assays.
    assert dropped == {"filter": 100, "assays": 55, "rescue_without_primary": 50, "min_cells": 0}


def test_both_rules_go_together(store: Path, tmp_path: Path) -> None:
    corpus = build(
        store, tmp_path / "corpus", filter=PRIMARY, deduplicate="content", rescue_without_primary=True
    )
    assert corpus.n_cells == 130 + 19
    assert [each.rule for each in corpus.header.dropped] == [
        "filter",
        "rescue_without_primary",
        "deduplicate",
    ]
    assert corpus.header.n_read == corpus.n_cells + sum(each.n_cells for each in corpus.header.dropped)


def test_a_build_that_was_killed_goes_on_without_reading_the_counts_again(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: Any, **settings: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("curate.corpus.build.seal_cells", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build(store, tmp_path / "corpus", filter=PRIMARY, deduplicate="content")
    whole = build(store, tmp_path / "whole", filter=PRIMARY, deduplicate="content")
    monkeypatch.setattr(Census, "entries", None)
    corpus = build(store, tmp_path / "corpus", filter=PRIMARY, deduplicate="content")
    assert corpus.id == whole.id
    assert sorted(path.name for path in corpus.path.iterdir()) == sorted(
        path.name for path in whole.path.iterdir()
    )


def test_hashes_of_the_whole_census_in_the_workspace_are_used(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells: dict[str, Any] = {"filter": PRIMARY, "rescue_without_primary": True, "deduplicate": "content"}
    expected = build(store, tmp_path / "alone", **cells)
    with Census.open(uri=store) as census:
        census_content(tmp_path, census, "homo_sapiens")
    monkeypatch.setattr(Census, "entries", None)
    with Census.open(uri=store) as census:
        recipe = Recipe.model_validate({"name": "copies", "cells": cells})
        found = build_corpus(recipe, census, tmp_path / "found", root=tmp_path)
    assert found.id == expected.id


def test_small_blocks_give_the_same_corpus(store: Path, tmp_path: Path) -> None:
    recipe = Recipe.model_validate(
        {
            "name": "copies",
            "cells": {"filter": PRIMARY, "rescue_without_primary": True, "deduplicate": "content"},
        }
    )
    with Census.open(uri=store) as census:
        corpora = [build_corpus(recipe, census, tmp_path / f"of-{n}", block_cells=n) for n in (17, 10_000)]
    assert corpora[0].id == corpora[1].id


def test_a_rescue_without_a_filter_on_primary_cells_is_refused() -> None:
    recipe = {"name": "copies", "cells": {"filter": "nnz > 3", "rescue_without_primary": True}}
    with pytest.raises(ValueError, match="goes with a filter on is_primary_data"):
        Recipe.model_validate(recipe)


def test_a_filter_that_keeps_nothing_is_an_error_before_counts_are_read(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Census, "entries", None)
    with pytest.raises(RecipeError, match="keeps none of the 220 cells"):
        build(store, tmp_path / "corpus", filter="dataset_id == 'd'", deduplicate="content")


def test_an_unknown_way_to_deduplicate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('name = "copies"\n[cells]\ndeduplicate = "barcode"\n')
    with pytest.raises(RecipeError, match=r"cells.deduplicate: .*'content'"):
        Recipe.load(path)


def test_a_store_without_counts_cannot_be_deduplicated(write_release: WriteRelease, tmp_path: Path) -> None:
    bare = write_release(tmp_path / "bare", {"a": (None, {"donor_id": ["1"] * 5})}, n_genes=30)
    with pytest.raises(CorpusError, match="holds no counts"):
        build(bare, tmp_path / "corpus", deduplicate="content")
    assert not (tmp_path / ".corpus.partial").exists()


def test_a_corpus_without_these_rules_reads_no_counts(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Census, "entries", None)
    assert build(store, tmp_path / "corpus", filter=PRIMARY).n_cells == 150
    assert pl.scan_parquet(tmp_path / "corpus" / "cells.parquet").collect().height == 150
