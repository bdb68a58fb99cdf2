"""Run strategies on a corpus and compare what they choose; no manifest is written.

1. every strategy is settled; one that needs what there is not is skipped, with the reason;
   what a task leaves out, none can choose;
2. each of the others chooses, with every seed, in a process of its own: time and peak memory are its own;
3. what it chose is measured;
4. how much the choices of every two agree.
A strategy that fails is a row with its error, and the rest goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Literal

import numpy as np

from curate.build.candidates import find_candidates
from curate.build.comparison.measures import MEASURES, Measurer
from curate.build.comparison.trial import Trial, try_strategy
from curate.build.diversity.rare import RARE_BELOW
from curate.build.requests import make_requests
from curate.build.strategies import STRATEGIES
from curate.build.strategies.named import settle
from curate.build.task.exclusions import task_exclusions
from curate.errors import CurateError, SelectionError
from curate.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from curate.build.candidates import Candidates
    from curate.build.embeddings.embedding import Embedding
    from curate.build.strategies.named import Settled
    from curate.build.task.task import Task
    from curate.corpus import Corpus

Outcome = Literal["ok", "skipped", "failed"]


@dataclass(frozen=True)
class Compared:
    """A strategy of a comparison.

    Attributes
    ----------
    strategy
        As it was named.
    reason
        Why it was skipped or failed; empty when it ran.
    by_seed
        The measures of each seed.
    """

    strategy: str
    outcome: Outcome
    reason: str = ""
    by_seed: dict[int, dict[str, float | None]] | None = None

    def values(self, measure: str) -> list[float]:
        """Return a measure with every seed that has it."""
        found = [held.get(measure) for held in (self.by_seed or {}).values()]
        return [value for value in found if value is not None]

    def mean(self, measure: str) -> float | None:
        """Return the mean of a measure over the seeds; None where it is not known."""
        values = self.values(measure)
        return fmean(values) if values else None


@dataclass(frozen=True)
class Comparison:
    """Strategies beside each other.

    Attributes
    ----------
    n_available
        Cells to choose from: those that the task does not leave out.
    n_cells, fraction, seeds
        Cells chosen by each, the share asked for (None for a number), and the seeds.
    embedding, radius, n_probes
        Of coverage; None without an embedding.
    n_rare, rare_share, rare_below
        Rare cell types of the corpus, the share of its cells that are of one, and what is rare.
    task, task_share
        The task, and the share of the corpus' cells that are of its types; None without one.
    base_bytes
        What a process holds before it reads anything, the least found.
    compared
        In the order asked for.
    jaccard
        float64 [k, k] over the k strategies that ran: cells chosen by both over cells chosen by either, the
        mean over the seeds.
    """

    corpus: str
    label: str | None
    n_corpus: int
    n_available: int
    n_cells: int
    fraction: float | None
    seeds: tuple[int, ...]
    embedding: str | None
    radius: float | None
    n_probes: int | None
    n_rare: int
    rare_share: float
    rare_below: float
    task: str | None
    task_share: float | None
    base_bytes: int
    compared: tuple[Compared, ...]
    jaccard: NDArray[np.float64]

    @property
    def ran(self) -> tuple[Compared, ...]:
        """The strategies that ran, in the order of `jaccard`."""
        return tuple(each for each in self.compared if each.outcome == "ok")

    @property
    def measures(self) -> list[str]:
        """The measures that any of them has."""
        return [name for name in MEASURES if any(each.values(name) for each in self.ran)]

    @property
    def by_chance(self) -> float:
        """The Jaccard index that two independent random choices of as many cells have, about."""
        share = self.n_cells / self.n_available
        return share / (2 - share)


def compare_strategies(
    corpus: Corpus,
    *,
    strategies: Sequence[str] = tuple(STRATEGIES),
    fraction: float | None = None,
    n_cells: int | None = None,
    seeds: Sequence[int] = (0,),
    embedding: Embedding | None = None,
    rare_below: float = RARE_BELOW,
    task: Task | None = None,
    tell: Callable[[str], None] = lambda line: None,
    n_threads: int | None = None,
) -> Comparison:
    """Run strategies on a corpus, each in a process of its own, and compare what they choose.

    Parameters
    ----------
    strategies
        Keys of STRATEGIES or "path/to/file.py:function", with settings in brackets or without.
    fraction, n_cells
        One of them: how many cells each chooses.
    embedding
        For strategies that need one, and for coverage and Vendi score.
    rare_below
        A cell type is rare under this share of the corpus' cells.
    task
        For strategies that choose for one; what it leaves out, none can choose, and the share of its types
        is measured.
    tell
        Called with what of the task could not be compared, and why.

    Raises
    ------
    SelectionError
        When a strategy or a setting is unknown, the size is none, or no strategy ran.

    Notes
    -----
    Time: that of the strategies, one after the other, and of measuring. Memory of this process: 8 bytes for
    each chosen cell, strategy and seed, and what measuring takes.
    """
    settled = [(text, settle(text)) for text in dict.fromkeys(strategies)]
    with task_exclusions(task, tell=tell) as left_out:
        candidates = find_candidates(corpus, None, left_out)
    requests = make_requests(fraction, n_cells, seeds, candidates.n_cells)
    n, seeds = requests[0].n_cells, [request.seed for request in requests]
    if embedding is not None:
        embedding.verify()
    measurer = Measurer(
        corpus,
        embedding=None if embedding is None else embedding.name,
        rare_below=rare_below,
        wanted=None if task is None else task.matches.of_type if task.wanted else task.matches.every,
        n_threads=n_threads,
    )
    compared: list[Compared] = []
    trials: list[Trial] = []
    with progress("Comparing strategies", len(settled), unit="strategies") as advance:
        for text, held in settled:
            if reason := _lacking(held, corpus, embedding, task):
                compared.append(Compared(text, "skipped", reason))
            else:
                trial = _try(held, text, corpus, candidates, embedding, task, n_cells=n, seeds=seeds)
                compared.append(_measured(trial, measurer))
                trials += [trial] if compared[-1].outcome == "ok" else []
            advance(1)
    if not trials:
        told = "; ".join(f"{each.strategy}: {each.reason}" for each in compared)
        raise SelectionError(f"no strategy could be compared: {told}")
    space = measurer.space
    return Comparison(
        corpus=corpus.name,
        label=corpus.header.census.label,
        n_corpus=corpus.n_cells,
        n_available=candidates.n_cells,
        n_cells=n,
        fraction=fraction,
        seeds=tuple(seeds),
        embedding=None if embedding is None else embedding.name,
        radius=space.radius if space else None,
        n_probes=space.probes.size if space else None,
        n_rare=len(measurer.rare),
        rare_share=measurer.share(measurer.rare),
        rare_below=rare_below,
        task=None if task is None else task.document.name,
        task_share=None if measurer.wanted is None else float(measurer.wanted.mean()),
        base_bytes=min(trial.base_bytes or 0 for trial in trials),
        compared=tuple(compared),
        jaccard=_jaccard(trials, seeds),
    )


def jaccard(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Return the cells in both over the cells in either; rows are distinct."""
    n_both = np.intersect1d(a, b, assume_unique=True).size
    return n_both / (a.size + b.size - n_both)


def _lacking(settled: Settled, corpus: Corpus, embedding: Embedding | None, task: Task | None) -> str:
    """Return what a strategy needs that there is not; nothing when it can run."""
    if settled.strategy.needs_task and task is None:
        return "needs a task; name its document with --task"
    if settled.strategy.needs_embedding and embedding is None:
        return f"needs an embedding; make one with `curate embed {corpus.name}`"
    return ""


def _try(
    settled: Settled,
    text: str,
    corpus: Corpus,
    candidates: Candidates,
    embedding: Embedding | None,
    task: Task | None,
    *,
    n_cells: int,
    seeds: Sequence[int],
) -> Trial:
    """Try a strategy with what it needs."""
    strategy = settled.strategy
    needed = embedding if strategy.needs_embedding else None
    try:
        aim = task.aim(candidates, needed) if task is not None and strategy.needs_task else None
    except CurateError as error:
        return Trial(text, error=str(error))
    return try_strategy(
        text,
        corpus,
        candidates=candidates,
        embedding=needed,
        target=None if aim is None else aim.target,
        ontology=None if task is None else task.ontology_source,
        n_cells=n_cells,
        seeds=seeds,
    )


def _measured(trial: Trial, measurer: Measurer) -> Compared:
    if trial.error is not None:
        return Compared(trial.strategy, "failed", trial.error)
    try:
        by_seed = {
            seed: measurer.measure(rows)
            | {
                "effective_size": trial.effective_sizes[seed],
                "seconds": trial.seconds,
                "peak_bytes": trial.peak_bytes,
            }
            for seed, rows in trial.rows.items()
        }
    except CurateError as error:
        return Compared(trial.strategy, "failed", f"what it chose could not be measured: {error}")
    return Compared(trial.strategy, "ok", by_seed=by_seed)


def _jaccard(trials: Sequence[Trial], seeds: Sequence[int]) -> NDArray[np.float64]:
    matrix = np.eye(len(trials))
    for i, a in enumerate(trials):
        for j, b in enumerate(trials[:i]):
            matrix[i, j] = matrix[j, i] = fmean(jaccard(a.rows[seed], b.rows[seed]) for seed in seeds)
    return matrix
