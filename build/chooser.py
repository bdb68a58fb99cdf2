"""A strategy, ready to choose: what all sizes and seeds of it share is read and prepared once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.build.candidates import cells_of
from curate.build.costs import measure_costs
from curate.build.strategies import STRATEGIES
from curate.build.strategies.named import label_of
from curate.errors import EmbeddingError, TaskError
from curate.identity import cell_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from numpy.typing import NDArray

    from curate.build.candidates import Candidates
    from curate.build.embeddings.embedding import Embedding
    from curate.build.selection import Selection, Strategy
    from curate.build.strategies.named import Settled
    from curate.build.task.target import TaskTarget
    from curate.build.task.task import Task
    from curate.corpus import Corpus
    from curate.manifests.document import TaskRecord


@dataclass(frozen=True)
class Chosen:
    """A strategy by name with its settings, the embedding that it reads, and the task that it chooses for.

    Attributes
    ----------
    task
        What the manifest says of the task; also of one that decides by its exclusions only.
    """

    name: str
    strategy: Strategy
    settings: dict[str, Any]
    embedding: Embedding | None
    target: TaskTarget | None = None
    task: TaskRecord | None = None

    def aimed(self, task: Task | None, candidates: Candidates) -> Chosen:
        """Return the strategy with its target among the candidates.

        Raises
        ------
        TaskError
            When a description matches none of them.
        """
        if task is None:
            return self
        if not self.strategy.needs_task:
            return replace(self, task=task.record())
        aim = task.aim(candidates, self.embedding if self.strategy.needs_embedding else None)
        return replace(self, target=aim.target, task=aim.record)

    @property
    def label(self) -> str:
        """The name as the name of a manifest can hold it."""
        return label_of(self.name)

    @property
    def embedding_id(self) -> str | None:
        """Id of the embedding that decides the choice; None where none does."""
        return self.embedding.id if self.strategy.needs_embedding and self.embedding is not None else None


@dataclass(frozen=True)
class Chooser:
    """Chooses among the candidates of a corpus."""

    corpus: Corpus
    candidates: Candidates
    chosen: Chosen
    cells: pl.DataFrame
    values: NDArray[np.float32] | None
    shared: dict[str, Any]

    @classmethod
    def prepare(cls, corpus: Corpus, candidates: Candidates, chosen: Chosen) -> Chooser:
        """Read the columns and the embedding that the strategy asks for."""
        strategy, settings = chosen.strategy, chosen.settings
        asked = strategy.from_task(chosen.target) if strategy.from_task and chosen.target else {}
        values = None
        if strategy.needs_embedding and chosen.embedding is not None:
            values = candidates.of(chosen.embedding.values)
        return cls(
            corpus=corpus,
            candidates=candidates,
            chosen=chosen,
            cells=cells_of(corpus, candidates, strategy.columns(settings)),
            values=values,
            shared=asked | (strategy.prepare(values, **settings, **asked) if strategy.prepare else {}),
        )

    def select(self, n_cells: int, *, keys: NDArray[np.uint64], rng: np.random.Generator) -> Selection:
        """Choose rows among the candidates."""
        settings = self.chosen.settings
        return self.chosen.strategy.select(
            self.cells, self.values, n_cells, keys=keys, rng=rng, **settings, **self.shared
        )

    def keys(self, seed: int) -> NDArray[np.uint64]:
        """Return the key of each candidate, uint64 [n_candidates]."""
        return cell_keys(self.candidates.identity, seed=seed, purpose="select")

    def choose(self, n_cells: int, *, seed: int) -> Selection:
        """Choose; the notes say also what the choice costs, where the strategy measures that.

        Returns
        -------
        Selection
            Of rows among the candidates.
        """
        keys, rng = self.keys(seed), np.random.default_rng(seed)
        strategy, settings = self.chosen.strategy, self.chosen.settings
        selection = self.select(n_cells, keys=keys, rng=rng)
        costs = measure_costs(
            strategy,
            self.corpus,
            self.candidates,
            self.cells,
            selection,
            embedding=self.chosen.embedding,
            keys=keys,
            rng=rng,
            settings=settings,
        )
        return replace(selection, notes={**selection.notes, **costs})


def make_ready(
    settled: Settled, *, corpus: Corpus, embedding: Embedding | None, task: Task | None = None
) -> Chosen:
    """Return a settled strategy with the embedding that it reads, checked before anything long begins.

    Parameters
    ----------
    embedding
        For strategies that need one, and for those that measure on one what they cost.
    task
        For strategies that choose for one. Its reference is brought into the space of the embedding here,
        before anything long begins; a description waits for the candidates (`Chosen.aimed`).

    Raises
    ------
    TaskError
        When the strategy needs a task and there is none, or its reference cannot be used.
    EmbeddingError
        When the strategy needs an embedding and there is none, or its values are not those recorded.
    """
    strategy = settled.strategy
    if strategy.needs_embedding:
        if embedding is None:
            raise EmbeddingError(
                f"{settled.name} needs an embedding of corpus {corpus.name!r}; "
                f"make one with `curate embed {corpus.name}`"
            )
        embedding.verify()
    if strategy.needs_task:
        if task is None:
            raise TaskError(
                f"{settled.name} chooses for a stated task; name its document with --task, or write one with "
                "`curate task init`"
            )
        if embedding is not None and strategy.needs_embedding:
            task.vectors(embedding)
    return Chosen(settled.name, strategy, settled.settings, embedding)


def check_task_used(settled: Sequence[Settled], task: Task | None) -> None:
    """Refuse a task that would change nothing.

    Raises
    ------
    TaskError
        When none of the strategies chooses for a task, and it leaves no cells out.
    """
    if task is not None and not task.excludes and not any(each.strategy.needs_task for each in settled):
        able = ", ".join(name for name, strategy in STRATEGIES.items() if strategy.needs_task) or "none yet"
        names = " and ".join(each.name for each in settled)
        raise TaskError(
            f"{names} does not choose for a task, and task {task.document.name} leaves no cells out: leave "
            f"--task out, or take a strategy that does ({able})"
        )
