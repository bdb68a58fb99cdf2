"""Nothing that happens to the held-out half of a reference changes what is chosen, nor a manifest's id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from curate.build.build import build
from curate.build.selection import Selection, Strategy
from curate.build.strategies import STRATEGIES
from curate.build.task.halves import split_halves
from curate.build.task.target import TaskTarget
from curate.build.task.task import Task
from curate.errors import LeakageError
from curate.manifests.registry import Registry
from curate.task import SplitRule
from curate.train.models import MODELS
from curate.train.models.network import Network
from curate.train.shards.materialize import materialize
from curate.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.build.embeddings.embedding import Embedding
    from curate.corpus import Corpus
    from curate.manifests.manifest import Manifest
    from curate.train.shards import Shards
    from tests.build.task.conftest import Cells, WriteTask


def nearest(
    cells: pl.DataFrame,
    embedding: NDArray[np.float32],
    n: int,
    *,
    keys: NDArray[np.uint64],
    rng: np.random.Generator,
    reference: NDArray[np.float32],
    wanted: tuple[str, ...],
) -> Selection:
    """Choose the cells nearest to the mean of the reference, told apart by the last bit of each number."""
    del cells, rng
    distance = ((embedding - reference.mean(axis=0)) ** 2).sum(axis=1) + len(wanted)
    return Selection(rows=np.sort(np.lexsort((keys, distance))[:n]))


def of_target(target: TaskTarget) -> dict[str, Any]:
    return {"reference": target.reference, "wanted": target.wanted}


@pytest.fixture(autouse=True)
def _strategy(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Strategy(
        select=nearest, summary="Nearest.", reference="None.", needs_embedding=True, from_task=of_target
    )
    monkeypatch.setitem(STRATEGIES, "nearest", card)


def held_out(cells: Cells) -> NDArray[np.int64]:
    return np.flatnonzero(split_halves(SplitRule(), pl.Series(cells.names), None).held_out)


def relabelled(cells: Cells) -> None:
    labels = ["hepatocyte", "unknown", "no type at all", "T cell"]
    for i in held_out(cells):
        cells.obs["cell_type"][i] = labels[i % 4]


def other_counts(cells: Cells) -> None:
    rows = held_out(cells)
    cells.counts[rows] = np.random.default_rng(3).poisson(2, cells.counts[rows].shape)


def no_counts(cells: Cells) -> None:
    # Values that no count can be: which layer is taken must not follow from them.
    cells.counts[held_out(cells)] += 0.5
    cells.raw = np.ones_like(cells.counts)


def reordered(cells: Cells) -> None:
    order = np.arange(len(cells.names))
    rows = held_out(cells)
    order[rows] = rows[::-1]
    moved = cells.at(order)
    cells.counts, cells.names, cells.obs = moved.counts, moved.names, moved.obs


def moved_to_the_front(cells: Cells) -> None:
    rows = held_out(cells)
    moved = cells.at(np.concatenate([rows, np.setdiff1d(np.arange(len(cells.names)), rows)]))
    cells.counts, cells.names, cells.obs = moved.counts, moved.names, moved.obs


def fewer(cells: Cells) -> None:
    left = cells.at(np.setdiff1d(np.arange(len(cells.names)), held_out(cells)[:40]))
    cells.counts, cells.names, cells.obs = left.counts, left.names, left.obs


CHANGES = (relabelled, other_counts, no_counts, reordered, moved_to_the_front, fewer)


@pytest.mark.parametrize(
    ("change", "exclude"),
    [
        pytest.param(change, exclude, id=f"{change.__name__}-{exclude}")
        for change in CHANGES
        for exclude in ("none", "all")
        if (change, exclude) != (no_counts, "all")
    ],
)
def test_changing_the_held_out_half_changes_neither_target_nor_cells_nor_id(
    change: Callable[[Cells], None],
    exclude: str,
    corpus: Corpus,
    embedding: Embedding,
    foreign: Cells,
    write_task: WriteTask,
    tmp_path: Path,
) -> None:
    text = f'[exclude]\nreference = "{exclude}"\nby = ["exact", "near"]\n'
    before = made(text, corpus, embedding, foreign, write_task, tmp_path / "before")
    change(foreign)
    after = made(text, corpus, embedding, foreign, write_task, tmp_path / "after")
    np.testing.assert_array_equal(before[0], after[0])
    assert before[1].cells().equals(after[1].cells())
    assert before[1].id == after[1].id
    records = [each.document.selection.task for each in (before[1], after[1])]
    assert records[0] is not None
    assert records[1] is not None
    assert records[0].digest == records[1].digest
    # The file is another one, and the manifest says so beside the id.
    assert records[0].reference is not None
    assert records[1].reference is not None
    assert records[0].reference.sha256 != records[1].reference.sha256


def test_a_reference_that_is_to_be_left_out_and_cannot_be_compared_is_refused(
    corpus: Corpus, embedding: Embedding, foreign: Cells, write_task: WriteTask, tmp_path: Path
) -> None:
    no_counts(foreign)
    text = '[exclude]\nreference = "all"\nby = ["exact", "near"]\n'
    with pytest.raises(LeakageError, match=r'could not be compared .*exclude.reference = "none" in the task'):
        made(text, corpus, embedding, foreign, write_task, tmp_path / "refused")


@pytest.fixture
def shards(corpus: Corpus, fresh_workspace: Path, tmp_path: Path) -> Shards:
    [built] = build(corpus, registry=Registry(tmp_path / "chosen"), strategy="random", fraction=0.5)
    manifest = type(built)(built.document, built.folder, Workspace.find(fresh_workspace), corpus)
    return materialize(manifest, tmp_path / "shards")


@pytest.mark.parametrize("change", CHANGES, ids=[change.__name__ for change in CHANGES])
def test_changing_the_held_out_half_changes_neither_a_model_for_the_task_nor_what_it_is_shown(
    change: Callable[[Cells], None], corpus: Corpus, shards: Shards, foreign: Cells, write_task: WriteTask
) -> None:
    before = model_for_task(corpus, shards, foreign, write_task)
    change(foreign)
    assert model_for_task(corpus, shards, foreign, write_task) == before
    train = np.setdiff1d(np.arange(len(foreign.names)), held_out(foreign))
    for i in train:
        foreign.obs["cell_type"][i] = "T cell"
    assert model_for_task(corpus, shards, foreign, write_task) != before


def model_for_task(
    corpus: Corpus, shards: Shards, reference: Cells, write_task: WriteTask
) -> tuple[Any, bytes]:
    """Return what the contrastive model learned of a task, and how it draws cells."""
    task = Task.open(write_task("", reference=reference), corpus)
    target = TaskTarget(task.document.name, task.wanted, task.document.wanted.descendants, task.ontology)
    kind = MODELS["contrastive"]
    model = kind.create(shards, kind.presets["tiny"], seed=0, task=target)
    assert isinstance(model, Network)
    weights = model.sampling_weights(shards)
    assert weights is not None
    return model.facts, weights.tobytes()


@pytest.mark.parametrize("what", ["cell_type", "counts"])
def test_changing_the_training_half_does_change_the_id(
    what: str,
    corpus: Corpus,
    embedding: Embedding,
    foreign: Cells,
    write_task: WriteTask,
    tmp_path: Path,
) -> None:
    before = made("", corpus, embedding, foreign, write_task, tmp_path / "before")
    train = int(np.setdiff1d(np.arange(len(foreign.names)), held_out(foreign))[5])
    if what == "counts":
        foreign.counts[train] += 1
    else:
        foreign.obs["cell_type"][train] = "hepatocyte"
    after = made("", corpus, embedding, foreign, write_task, tmp_path / "after")
    assert before[1].id != after[1].id


def made(
    text: str,
    corpus: Corpus,
    embedding: Embedding,
    reference: Cells,
    write_task: WriteTask,
    registry: Path,
) -> tuple[NDArray[np.float32], Manifest]:
    task = Task.open(write_task(text, reference=reference), corpus)
    (manifest,) = build(
        corpus,
        registry=Registry(registry),
        strategy="nearest",
        fraction=0.05,
        embedding=embedding,
        task=task,
    )
    vectors = task.vectors(embedding)
    assert vectors is not None
    return vectors.values, manifest
