"""Strategies beside each other on one corpus."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from curate.build.build import build
from curate.build.comparison.chart import comparison_chart
from curate.build.comparison.compare import Compared, Comparison, compare_strategies, jaccard
from curate.build.comparison.measures import MEASURES, Measurer
from curate.build.comparison.page import comparison_json, comparison_page, comparison_table, notes_of
from curate.build.diversity.vendi import spectrum, vendi_score
from curate.build.embeddings.embedding import Embedding
from curate.errors import SelectionError
from curate.manifests.registry import Registry
from curate.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from curate.corpus import Corpus

FAULTY = """
import os, signal

def raises(n):
    raise ValueError(f"no {n}")

def ends(n):
    os._exit(3)

def killed(n):
    os.kill(os.getpid(), signal.SIGKILL)

def first(n):
    print("what a function prints is in nobody's way")
    return range(n)
"""


@pytest.fixture(scope="module")
def corpus(atlas_workspace: Path) -> Corpus:
    return Workspace.find(atlas_workspace).corpus()


@pytest.fixture(scope="module")
def embedding(corpus: Corpus) -> Embedding:
    return Embedding.open(corpus.embeddings_path / "pca", corpus)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("own") / "own.py"
    path.write_text(FAULTY)
    return str(path)


@pytest.fixture(scope="module")
def comparison(corpus: Corpus, embedding: Embedding, own: str) -> Comparison:
    return compare_strategies(
        corpus,
        strategies=["random", "sketch(k=40)", "blocks", f"{own}:raises", f"{own}:first", f"{own}:killed"],
        n_cells=100,
        seeds=[0, 3],
        embedding=embedding,
        rare_below=0.01,
    )


def row(comparison: Comparison, strategy: str) -> Compared:
    (found,) = [each for each in comparison.compared if each.strategy.endswith(strategy)]
    return found


def test_what_is_compared_is_what_build_chooses(
    comparison: Comparison, corpus: Corpus, embedding: Embedding, tmp_path: Path
) -> None:
    """The measures and overlaps, recomputed from manifests of the same strategies, sizes and seeds."""
    rows: dict[tuple[str, int], np.ndarray[Any, Any]] = {}
    for strategy in ("random", "sketch(k=40)", "blocks"):
        for manifest in build(
            corpus,
            registry=Registry(tmp_path / strategy),
            strategy=strategy,
            n_cells=100,
            seed=[0, 3],
            embedding=embedding,
        ):
            seed = manifest.document.selection.seed
            assert seed is not None
            joinids = manifest.cells()["soma_joinid"].to_numpy()
            rows[strategy, seed] = np.searchsorted(corpus.joinids(), joinids)
    types = corpus.columns(["cell_type"])["cell_type"].cast(pl.String)
    for (strategy, seed), held in rows.items():
        values = (row(comparison, strategy).by_seed or {})[seed]
        counts = types[held].value_counts()["count"].to_numpy()
        assert values["types"] == counts.size
        shares = counts / counts.sum()
        assert values["shannon"] == pytest.approx(-(shares * np.log2(shares)).sum())
        assert values["vendi"] == pytest.approx(vendi_score(spectrum([embedding.values[held]])))
        distance = np.linalg.norm(embedding.values[:, None] - embedding.values[None, held], axis=2).min(
            axis=1
        )
        assert values["mean_distance"] == pytest.approx(distance.mean(), rel=1e-5)
        assert comparison.radius is not None
        assert values["covered"] == pytest.approx((distance <= comparison.radius).mean())
    names = [each.strategy for each in comparison.ran]
    expected = np.mean([jaccard(rows["random", s], rows["sketch(k=40)", s]) for s in (0, 3)])
    assert comparison.jaccard[names.index("random"), names.index("sketch(k=40)")] == pytest.approx(expected)


def test_rare_types_are_those_of_the_corpus(comparison: Comparison, corpus: Corpus) -> None:
    counts = corpus.columns(["cell_type"])["cell_type"].cast(pl.String).value_counts()
    rare = counts.filter(pl.col("count") < 0.01 * corpus.n_cells)
    assert comparison.n_rare == rare.height > 0
    assert comparison.rare_share == pytest.approx(rare["count"].sum() / corpus.n_cells)
    sketched = row(comparison, "sketch(k=40)")
    assert (sketched.mean("rare_cells") or 0) > (row(comparison, "random").mean("rare_cells") or 0)
    assert 0 < (sketched.mean("rare_types") or 0) <= 1


def test_time_and_memory_are_those_of_a_process_of_its_own(comparison: Comparison) -> None:
    for each in comparison.ran:
        assert (each.mean("peak_bytes") or 0) >= comparison.base_bytes
        assert 5e7 < (each.mean("peak_bytes") or 0) < 1e9
        assert 0 < (each.mean("seconds") or 0) < 60
    assert comparison.base_bytes > 5e7


def test_the_effective_size_is_that_of_the_weights(comparison: Comparison) -> None:
    assert row(comparison, "random").mean("effective_size") is None
    assert 0 < (row(comparison, "blocks").mean("effective_size") or 0) <= 100


def test_a_strategy_that_fails_is_a_row_with_its_error_and_the_rest_goes_on(comparison: Comparison) -> None:
    assert [each.outcome for each in comparison.compared] == ["ok", "ok", "ok", "failed", "ok", "failed"]
    assert row(comparison, "raises").reason == "own.py:raises raised ValueError: no 100 (line 5 of own.py)"
    assert row(comparison, "killed").reason.startswith("its process was ended by SIGKILL; it may have taken")
    assert row(comparison, "first").mean("types") is not None
    assert comparison.jaccard.shape == (4, 4)


def test_overlaps_are_symmetric_shares(comparison: Comparison) -> None:
    np.testing.assert_array_equal(comparison.jaccard, comparison.jaccard.T)
    np.testing.assert_array_equal(np.diag(comparison.jaccard), 1)
    assert ((comparison.jaccard >= 0) & (comparison.jaccard <= 1)).all()
    assert jaccard(np.array([1, 2, 3]), np.array([2, 3, 4, 5])) == 2 / 5
    share = 100 / comparison.n_corpus
    assert comparison.by_chance == pytest.approx(share**2 / (2 * share - share**2))


def test_without_an_embedding_labels_are_compared_and_what_needs_one_is_skipped(corpus: Corpus) -> None:
    found = compare_strategies(corpus, strategies=["sketch", "random"], fraction=0.1)
    assert [each.outcome for each in found.compared] == ["skipped", "ok"]
    assert found.compared[0].reason == "needs an embedding; make one with `curate embed demo`"
    assert "covered" not in found.measures
    assert {"types", "shannon", "seconds", "peak_bytes"} <= set(found.measures)
    assert (found.n_cells, found.fraction) == (corpus.n_cells // 10, 0.1)


def test_the_same_twice_overlaps_wholly(corpus: Corpus) -> None:
    found = compare_strategies(corpus, strategies=["reweight", "reweight(by=cell_type)"], fraction=0.1)
    np.testing.assert_array_equal(found.jaccard, np.ones((2, 2)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategies": ["rendom"]}, "no strategy named 'rendom'"),
        ({"strategies": ["random(k=3)"]}, "random has no parameter 'k'"),
        ({"fraction": 1e-9}, "selects 0 cells"),
        ({"n_cells": 5}, "give either a fraction or a number of cells"),
        ({"strategies": ["sketch"]}, "no strategy could be compared: sketch: needs an embedding"),
    ],
)
def test_what_cannot_be_compared_is_refused(settings: dict[str, Any], message: str, corpus: Corpus) -> None:
    request: dict[str, Any] = {"strategies": ["random"], "fraction": 0.1} | settings
    with pytest.raises(SelectionError, match=message):
        compare_strategies(corpus, **request)


def test_a_process_that_ends_without_a_word_is_told(corpus: Corpus, own: str) -> None:
    with pytest.raises(SelectionError, match=r"own.py:ends: its process failed: exit 3"):
        compare_strategies(corpus, strategies=[f"{own}:ends"], n_cells=5)


def test_the_share_of_wanted_types_is_measured(corpus: Corpus) -> None:
    wanted = np.arange(corpus.n_cells) % 3 == 0
    measurer = Measurer(corpus, embedding=None, rare_below=0.001, wanted=wanted)
    assert measurer.measure(np.array([0, 1, 3, 5]))["task_cells"] == 0.5


def test_the_table_has_a_row_for_each_strategy_seed_and_measure_and_for_each_pair(
    comparison: Comparison,
) -> None:
    table = comparison_table(comparison)
    of_random = table.filter(pl.col("strategy") == "random", pl.col("seed") == 3)
    assert set(of_random["measure"]) == set(MEASURES) - {"task_cells", "effective_size"}
    pairs = table.filter(pl.col("measure") == "jaccard")
    assert pairs.height == 4 * 3
    failed = table.filter(pl.col("outcome") == "failed")
    assert failed.height == 2
    assert failed["value"].null_count() == 2


def test_json_says_all_of_it(comparison: Comparison) -> None:
    content = json.loads(json.dumps(comparison_json(comparison), allow_nan=False))
    held = {each["strategy"]: each for each in content["strategies"]}
    assert held["random"]["measures"]["types"] == row(comparison, "random").mean("types")
    assert set(held["random"]["by_seed"]) == {"0", "3"}
    assert content["jaccard"]["random"]["random"] == 1
    assert content["jaccard"]["random"]["blocks"] == content["jaccard"]["blocks"]["random"]


def test_the_page_shows_measures_overlaps_and_errors(comparison: Comparison) -> None:
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as capture:
        console.print(comparison_page(comparison))
    text = capture.get()
    for expected in (
        "100 cells of 1,",
        "sketch(k=40)",
        "Jaccard",
        "failed",
        "own.py:raises raised ValueError",
        "Means over 2 seeds",
        "simulated data, no real cells",
    ):
        assert expected in text


def test_the_chart_draws_every_strategy_that_ran(comparison: Comparison, tmp_path: Path) -> None:
    from curate.charts import save_chart

    chart = comparison_chart(comparison)
    for suffix in (".svg", ".png"):
        save_chart(chart, tmp_path / f"chart{suffix}")
    drawn = (tmp_path / "chart.svg").read_text()
    for expected in (
        "random",
        "sketch(k=40)",
        "blocks",
        "Corpus covered",
        "Peak memory",
        "Jaccard",
        "Not drawn",
    ):
        assert expected in drawn
    alone = compare_only(comparison, "random")
    assert "Jaccard" not in json.dumps(comparison_chart(alone).to_dict())


def compare_only(comparison: Comparison, strategy: str) -> Comparison:
    from dataclasses import replace

    return replace(comparison, compared=(row(comparison, strategy),), jaccard=np.ones((1, 1)))


AIMED = """
import numpy as np
from curate.build.selection import Selection, Strategy


def choose(cells, embedding, n, *, keys, rng, wanted, n_reference):
    assert wanted == ("CL:0000236",), wanted
    assert n_reference == (0 if embedding is None else 20), n_reference
    is_wanted = (cells["cell_type"] == "naive B cell").to_numpy()
    return np.lexsort((keys, ~is_wanted))[:n]


def from_task(target):
    n_reference = 0 if target.reference is None else len(target.reference)
    assert "CL:0000236" in target.ontology
    return {"wanted": target.wanted, "n_reference": n_reference}


aimed = Strategy(choose, "B cells.", "nobody", reads=("cell_type",), from_task=from_task)
"""


def test_what_chooses_for_a_task_is_told_it_and_what_the_task_leaves_out_nobody_chooses(
    corpus: Corpus, embedding: Embedding, tmp_path: Path
) -> None:
    from curate.build.task.task import Task

    (tmp_path / "own.py").write_text(AIMED)
    (tmp_path / "task.toml").write_text(
        'name = "b"\nkind = "classification"\n[wanted]\ncell_types = ["B cell"]\n'
        "[exclude]\nwhere = \"tissue_general == 'lung'\"\n"
    )
    task = Task.open(tmp_path / "task.toml", corpus)
    aimed = f"{tmp_path}/own.py:aimed"
    found = compare_strategies(
        corpus, strategies=["random", aimed], n_cells=20, embedding=embedding, task=task
    )
    assert [each.outcome for each in found.compared] == ["ok", "ok"], found.compared
    of_type = task.matches.of_type
    assert (found.task, found.task_share) == ("b", of_type.mean())
    is_lung = (corpus.columns(["tissue_general"])["tissue_general"].cast(pl.String) == "lung").to_numpy()
    assert found.n_available == corpus.n_cells - is_lung.sum() < corpus.n_cells
    assert row(found, "aimed").mean("task_cells") == 1
    assert (row(found, "random").mean("task_cells") or 0) < 0.5
    assert "Task b: its types are" in " ".join(notes_of(found))
    without = compare_strategies(corpus, strategies=["random", aimed], n_cells=20)
    assert row(without, "aimed").reason == "needs a task; name its document with --task"
    assert "task_cells" not in without.measures
