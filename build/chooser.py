"""A strategy, ready to choose: what all sizes and seeds of it share is read and prepared once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.build.candidates import cells_of
from curate.build.costs import measure_costs
from curate.build.strategies.named import label_of, settle
from curate.errors import EmbeddingError
from curate.identity import cell_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl
    from numpy.typing import NDArray

    from curate.build.candidates import Candidates
    from curate.build.embeddings.embedding import Embedding
    from curate.build.selection import Selection, Strategy
    from curate.build.strategies.named import Named, Settled
    from curate.build.task.target import TaskTarget
    from curate.corpus import Corpus


@dataclass(frozen=True)
class Chosen:
    """A strategy by name with its settings, the embedding that it reads, and the task that it chooses for."""

    name: str
    strategy: Strategy
    settings: dict[str, Any]
    embedding: Embedding | None
    target: TaskTarget | None = None

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


def settle_strategy(
    given: Named, *, corpus: Corpus, embedding: Embedding | None, parameters: Mapping[str, object]
) -> Chosen:
    """Return a strategy with its settings, checked before anything is read.

    Parameters
    ----------
    given
        As in `settle`.
    embedding
        For strategies that need one, and for those that measure on one what they cost.
    parameters
        Of the strategy; what is not given has its default.

    Raises
    ------
    SelectionError
        When the strategy or a parameter is unknown, or a parameter is out of range.
    EmbeddingError
        When the strategy needs an embedding and there is none, or its values are not those recorded.
    """
    return make_ready(settle(given, parameters), corpus=corpus, embedding=embedding)


def make_ready(settled: Settled, *, corpus: Corpus, embedding: Embedding | None) -> Chosen:
    """Return a settled strategy with the embedding that it reads.

    Raises
    ------
    EmbeddingError
        When it needs an embedding and there is none, or its values are not those recorded.
    """
    if settled.strategy.needs_embedding:
        if embedding is None:
            raise EmbeddingError(
                f"{settled.name} needs an embedding of corpus {corpus.name!r}; "
                f"make one with `curate embed {corpus.name}`"
            )
        embedding.verify()
    return Chosen(settled.name, settled.strategy, settled.settings, embedding)
