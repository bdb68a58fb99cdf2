"""build with a task: targets, exclusions, what the manifest says of them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from curate.build.build import build
from curate.build.candidates import find_candidates
from curate.build.ladder import build_ladder
from curate.build.leakage.scan import METHOD_VERSION
from curate.build.selection import Selection, Strategy
from curate.build.strategies import STRATEGIES
from curate.build.task import task as task_module
from curate.build.task.task import Task
from curate.errors import TaskError
from curate.identity import cell_keys
from curate.manifests.diff import diff
from curate.manifests.page import page
from curate.manifests.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.build.embeddings.embedding import Embedding
    from curate.build.task.target import TaskTarget
    from curate.corpus import Corpus
    from tests.build.task.conftest import Cells, WriteTask

SEEN: list[TaskTarget] = []
B_CELLS = '[wanted]\ncell_types = ["B cell"]\n'


def first(
    cells: pl.DataFrame,
    embedding: NDArray[np.float32] | None,
    n: int,
    *,
    keys: NDArray[np.uint64],
    rng: np.random.Generator,
    target: TaskTarget,
) -> Selection:
    """Choose the first cells, and keep what was said of the task."""
    del cells, embedding, keys, rng
    SEEN.append(target)
    return Selection(rows=np.arange(n))


@pytest.fixture(autouse=True)
def _strategies(monkeypatch: pytest.MonkeyPatch) -> None:
    SEEN.clear()
    card: dict[str, Any] = {"select": first, "summary": "First.", "reference": "None.", "nested": True}
    card["from_task"] = lambda target: {"target": target}
    monkeypatch.setitem(STRATEGIES, "first", Strategy(**card, needs_embedding=True))
    monkeypatch.setitem(STRATEGIES, "by-type", Strategy(**card))


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "manifests")


def test_the_cells_that_match_a_description_are_its_reference(
    corpus: Corpus, embedding: Embedding, write_task: WriteTask, registry: Registry
) -> None:
    task = Task.open(write_task(B_CELLS), corpus)
    (manifest,) = build(
        corpus, registry=registry, strategy="first", n_cells=10, embedding=embedding, task=task
    )
    is_b = corpus.columns(["cell_type"])["cell_type"].cast(str).is_in(["naive B cell", "memory B cell"])
    assert SEEN[0].wanted == ("CL:0000236",)
    assert SEEN[0].reference is not None
    np.testing.assert_array_equal(SEEN[0].reference, embedding.values[is_b.to_numpy()])
    record = manifest.document.selection.task
    assert record is not None
    assert record.reference is not None
    assert (record.reference.kind, record.reference.n_train) == ("corpus", int(is_b.sum()))
    assert record.digest is not None
    assert manifest.verify().ok


def test_a_description_looks_at_no_cell_that_is_left_out(
    corpus: Corpus, embedding: Embedding, write_task: WriteTask, registry: Registry
) -> None:
    cells = corpus.columns(["cell_type", "dataset_id"]).with_columns(pl.all().cast(str))
    is_b = cells["cell_type"].is_in(["naive B cell", "memory B cell"])
    dataset = cells.filter(is_b)["dataset_id"].value_counts(sort=True)["dataset_id"][0]
    task = Task.open(write_task(f'{B_CELLS}[exclude]\ndataset_ids = ["{dataset}"]\n'), corpus)
    (manifest,) = build(
        corpus, registry=registry, strategy="first", n_cells=10, embedding=embedding, task=task
    )
    left = (is_b & (cells["dataset_id"] != dataset)).to_numpy()
    assert SEEN[0].reference is not None
    np.testing.assert_array_equal(SEEN[0].reference, embedding.values[left])
    (excluded,) = manifest.document.exclusions
    assert (excluded.reason, excluded.parameters) == ("task dataset", {"dataset_ids": [dataset]})
    assert excluded.n_cells == int((cells["dataset_id"] == dataset).sum())


def test_of_many_cells_that_match_those_of_the_smallest_keys_are_taken(
    corpus: Corpus, embedding: Embedding, write_task: WriteTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Task.open(write_task(B_CELLS), corpus)
    monkeypatch.setattr(task_module, "MOST_MATCHING", 20)
    aim = task.aim(find_candidates(corpus, None), embedding)
    keys = cell_keys(corpus.identity(), seed=0, purpose="task reference")
    matching = np.flatnonzero(task.matches.every)
    rows = np.sort(matching[np.argsort(keys[matching])[:20]])
    assert aim.target.reference is not None
    np.testing.assert_array_equal(aim.target.reference, embedding.values[rows])
    assert aim.record.reference is not None
    assert (aim.record.reference.n_train, aim.record.reference.n_used) == (matching.size, 20)


def test_a_strategy_that_reads_no_embedding_gets_no_vectors_and_reads_no_counts(
    corpus: Corpus, foreign: Cells, write_task: WriteTask, registry: Registry
) -> None:
    genes = [f"ENSG{90_000_000_000 + i}" for i in range(len(foreign.genes))]
    foreign.genes = genes  # None is shared: to align them would fail.
    text = '[exclude]\nreference = "none"\n'
    task = Task.open(write_task(text, reference=foreign), corpus)
    (manifest,) = build(corpus, registry=registry, strategy="by-type", n_cells=10, task=task)
    assert SEEN[0].reference is None
    assert len(SEEN[0].wanted) > 3
    record = manifest.document.selection.task
    assert record is not None
    assert record.reference is not None
    assert record.reference.n_used is None


def test_cells_of_the_reference_are_left_out_for_every_strategy_and_the_reason_is_counted(
    corpus: Corpus, own: Cells, write_task: WriteTask, registry: Registry
) -> None:
    rows = np.arange(0, corpus.n_cells, 10)
    for half in ("all", "held-out"):
        text = f'[exclude]\nreference = "{half}"\nby = ["exact"]\n'
        task = Task.open(write_task(text, reference=own), corpus)
        assert task.reference is not None
        (manifest,) = build(corpus, registry=registry, strategy="random", fraction=0.5, name=half, task=task)
        joinids = manifest.cells()["soma_joinid"].to_numpy()
        held_out = task.reference.held_out_rows
        expected = rows if half == "all" else rows[held_out]
        assert not np.isin(corpus.joinids()[expected], joinids).any()
        (excluded,) = manifest.document.exclusions
        assert excluded.reason == "task reference"
        # Cells of the corpus that repeat one of these go with it.
        assert excluded.n_cells >= len(expected)
        assert excluded.parameters == {"by": "exact", "method_version": METHOD_VERSION, "cells": half}
        record = manifest.document.selection.task
        assert record is not None
        assert record.digest is None
        assert manifest.verify().ok


def test_cells_of_a_census_are_left_out_by_who_they_are(
    corpus: Corpus, atlas_census: Path, write_task: WriteTask, registry: Registry
) -> None:
    where = "where = \"tissue_general == 'kidney'\"\n"
    text = f'[reference]\ncensus = {{uri = "{atlas_census}"}}\n{where}[exclude]\nby = ["joinid"]\n'
    task = Task.open(write_task(text), corpus)
    assert task.reference is not None
    (manifest,) = build(corpus, registry=registry, strategy="random", fraction=1, task=task)
    tissues = corpus.columns(["tissue_general"])["tissue_general"].cast(str)
    assert manifest.document.n_cells == corpus.n_cells - int((tissues == "kidney").sum())


def test_cells_that_match_a_filter_of_the_task_are_left_out(
    corpus: Corpus, write_task: WriteTask, registry: Registry
) -> None:
    text = B_CELLS + "[exclude]\nwhere = \"tissue_general == 'blood'\"\n"
    (manifest,) = build(
        corpus, registry=registry, strategy="random", fraction=1, task=Task.open(write_task(text), corpus)
    )
    assert "blood" not in manifest.document.composition["tissue_general"]
    assert manifest.document.exclusions[0].reason == "task where"


def test_the_name_of_a_task_and_the_place_of_its_reference_do_not_enter_the_id(
    corpus: Corpus, embedding: Embedding, foreign: Cells, write_task: WriteTask, tmp_path: Path
) -> None:
    ids = []
    for name, file in (("mine", "reference.h5ad"), ("yours", "elsewhere.h5ad")):
        foreign.write(tmp_path / file)
        path = write_task(f'[reference]\nh5ad = "{file}"\n', reference=foreign)
        path.write_text(path.read_text().replace('name = "mine"', f'name = "{name}"'))
        (manifest,) = build(
            corpus,
            registry=Registry(tmp_path / name),
            strategy="first",
            n_cells=10,
            embedding=embedding,
            task=Task.open(path, corpus),
        )
        ids.append(manifest.id)
    assert ids[0] == ids[1]


def test_a_manifest_without_a_task_says_nothing_of_one_and_keeps_its_id(
    corpus: Corpus, registry: Registry
) -> None:
    (manifest,) = build(corpus, registry=registry, strategy="random", n_cells=10)
    assert b'"task"' not in manifest.document.to_bytes()
    assert "task" not in manifest.document.asked()["selection"]


def test_diff_and_show_tell_the_task(
    corpus: Corpus, embedding: Embedding, write_task: WriteTask, registry: Registry
) -> None:
    from rich.console import Console

    task = Task.open(write_task(B_CELLS), corpus)
    (plain,) = build(corpus, registry=registry, strategy="random", n_cells=10)
    (aimed,) = build(corpus, registry=registry, strategy="first", n_cells=10, embedding=embedding, task=task)
    changes = {change.name: (change.a, change.b) for change in diff(plain, aimed).settings}
    assert changes["selection.task.name"] == (None, "mine")
    assert changes["selection.task.wanted"] == (None, ["CL:0000236"])
    assert "selection.task.digest" in changes
    assert not any("n_used" in name or "sha256" in name for name in changes)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(page(aimed.document))
    shown = console.export_text()
    assert "mine, classification, digest" in shown
    assert "1 type and their kinds (CL:0000236)" in shown


def test_a_ladder_resolves_a_task_once_for_all_its_strategies(
    corpus: Corpus, embedding: Embedding, foreign: Cells, write_task: WriteTask, registry: Registry
) -> None:
    task = Task.open(write_task('[exclude]\nby = ["exact"]\n', reference=foreign), corpus)
    arguments: dict[str, Any] = {"fractions": (0.01, 0.1), "embedding": embedding, "task": task}
    ladder = build_ladder(corpus, registry=registry, strategies=["random", "first"], **arguments)
    digests = {step.record.strategy: step.document.selection.task for step in ladder.steps}
    assert digests["random"] is not None
    assert digests["first"] is not None
    assert digests["random"].digest is None
    assert digests["first"].digest is not None
    again = build_ladder(corpus, registry=registry, strategies=["random", "first"], **arguments)
    assert not any(step.is_new for step in again.steps)


def test_a_strategy_for_a_task_asks_for_one(corpus: Corpus, embedding: Embedding, registry: Registry) -> None:
    with pytest.raises(TaskError, match="first chooses for a stated task; name its document with --task"):
        build(corpus, registry=registry, strategy="first", n_cells=10, embedding=embedding)
    assert registry.names() == []


def test_a_task_that_would_change_nothing_is_refused(
    corpus: Corpus, write_task: WriteTask, registry: Registry
) -> None:
    task = Task.open(write_task(B_CELLS), corpus)
    with pytest.raises(TaskError, match="does not choose for a task, and task mine leaves no cells out"):
        build(corpus, registry=registry, strategy="random", n_cells=10, task=task)
    with pytest.raises(TaskError, match="random does not choose for a task"):
        build_ladder(corpus, registry=registry, strategies=["random"], fractions=(0.1,), task=task)


def test_a_description_that_matches_nothing_is_refused_with_what_there_is(
    corpus: Corpus, embedding: Embedding, write_task: WriteTask, registry: Registry
) -> None:
    task = Task.open(write_task('[wanted]\ncell_types = ["B cell"]\ntissues = ["retina"]\n'), corpus)
    message = (
        r"none of the [\d,]+ cells to choose from .* \(.*B cell \d+, tissue retina \d+; all together 0\)"
    )
    with pytest.raises(TaskError, match=message):
        build(corpus, registry=registry, strategy="first", n_cells=10, embedding=embedding, task=task)
