"""A ladder: every manifest of a scaling study, by strategy, seed and fraction, at once.

1. everything that can be refused is refused before anything is built;
2. candidates, splits and the labels of all cells are found once, what a strategy prepares (a covering) once;
3. line by line (strategy, seed), step by step from the smallest: a manifest that is there already is taken as
   it is, so that a ladder that was killed goes on; of a nested ladder each step contains the one before it;
4. where asked for, a spiked manifest follows each step (`spike_ins.py`);
5. the ladder itself is written down, once all its manifests are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from curate.build.builder import OBS_COLUMNS, Builder
from curate.build.candidates import find_candidates
from curate.build.chooser import check_task_used, make_ready
from curate.build.ladder_lines import build_line, step_name
from curate.build.ladder_spikes import ladder_spike_ins
from curate.build.requests import cells_of_fraction, check_seeds
from curate.build.spike_ins import guarded
from curate.build.spike_sizes import check_spike_sizes
from curate.build.splits.cells import RATIOS
from curate.build.splits.splits import make_splits
from curate.build.splits.units import CELL
from curate.build.strategies import STRATEGIES
from curate.build.strategies.combine import not_nesting
from curate.build.strategies.named import settle_all
from curate.build.task.exclusions import task_exclusions
from curate.errors import SelectionError
from curate.manifests.ladder import LadderDocument, StrategyRecord
from curate.manifests.ladders import add_ladder, check_ladder_name
from curate.manifests.write import corpus_record
from curate.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from curate.build.chooser import Chosen
    from curate.build.embeddings.embedding import Embedding
    from curate.build.exclusions import Exclusion
    from curate.build.ladder_lines import Step
    from curate.build.spike_ins import SpikeIns
    from curate.build.strategies.named import Named
    from curate.build.task.task import Task
    from curate.corpus import Corpus
    from curate.manifests.registry import Registry

_UNSET = "0" * 64


@dataclass(frozen=True)
class Ladder:
    """A ladder that was built."""

    document: LadderDocument
    steps: tuple[Step, ...]


def build_ladder(
    corpus: Corpus,
    *,
    registry: Registry,
    strategies: Sequence[Named],
    fractions: Sequence[float],
    seeds: Sequence[int] = (0,),
    nested: bool = False,
    name: str = "ladder",
    where: str | None = None,
    exclusions: Sequence[Exclusion] = (),
    embedding: Embedding | None = None,
    parameters: Mapping[str, object] | None = None,
    split_by: str | Sequence[str] = CELL,
    split_ratios: Sequence[float] = RATIOS,
    split_seed: int = 0,
    split_stratify_by: str | Sequence[str] = ("cell_type",),
    spike_ins: SpikeIns | None = None,
    task: Task | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Ladder:
    """Build the manifests of a scaling study, and the ladder that links them.

    Memory: that of one build. A full manifest is held at a time, whatever the number of steps.

    Parameters
    ----------
    strategies
        As in `build`. One that draws nothing gets the first seed only.
    fractions
        Shares (0, 1] of the cells to choose from.
    nested
        Each step contains the one before it, so that a difference between steps is what the added cells do:
        all steps of a line draw by the same keys. Otherwise each step draws with a seed of its own, made of
        the line's and of the fraction.
    name
        Of the ladder; its manifests are called "NAME-STRATEGY-FRACTION-sSEED".
    parameters
        Settings of the strategies; each takes those that it has.
    where, exclusions, embedding, split_by, split_ratios, split_seed, split_stratify_by, task, tell
        As in `build`; a task is for those of the strategies that choose for one, its exclusions for all.
    spike_ins
        From `plan_spike_ins`: each step is followed by a manifest of it spiked with these. Drawn by the seed
        of its step, so that the cells of a source nest where the steps do.

    Raises
    ------
    SelectionError
        When a strategy is unknown, or is to nest and cannot, or a fraction or a parameter is none; when a
        spike-in is no cell of a step, or more than the source has or may give.
    EmbeddingError
        When a strategy needs an embedding and there is none.
    TaskError, SourceError
        As in `build`.
    """
    check_ladder_name(registry, name)
    all_chosen = _settle(
        corpus, strategies, nested=nested, embedding=embedding, parameters=parameters or {}, task=task
    )
    check_seeds(seeds)
    with task_exclusions(task, tell=tell) as left_out:
        all_exclusions = [*exclusions, *left_out]
        candidates = find_candidates(corpus, where, all_exclusions)
        if spike_ins is not None:
            spike_ins = guarded(spike_ins, all_exclusions)
    all_chosen = [chosen.aimed(task, candidates) for chosen in all_chosen]
    sizes = {each: cells_of_fraction(each, candidates.n_cells) for each in sorted(set(fractions))}
    if not sizes:
        raise SelectionError("a ladder needs at least one fraction, such as 0.01,0.1,1")
    for chosen in all_chosen:
        suffix = spike_ins.suffix if spike_ins else ""
        registry.check_name(step_name(name, chosen.label, min(sizes), max(seeds)) + suffix)
    splits = make_splits(
        corpus,
        candidates,
        unit=split_by,
        ratios=split_ratios,
        seed=split_seed,
        stratify_by=split_stratify_by,
    )
    if spike_ins is not None:
        check_spike_sizes(spike_ins, list(sizes.values()), candidates, splits)
    obs = corpus.columns(OBS_COLUMNS)
    lines = [(chosen, seed) for chosen in all_chosen for seed in _seeds_of(chosen, seeds)]
    steps: list[Step] = []
    builder: Builder | None = None
    n_manifests = len(lines) * len(sizes) * (1 if spike_ins is None else 2)
    with progress("Building the ladder", n_manifests, unit="manifests") as advance:
        for chosen, seed in lines:
            if builder is None or builder.chosen is not chosen:
                builder = Builder(registry, corpus, candidates, splits, chosen, where=where, obs=obs)
            for step in build_line(builder, sizes, seed=seed, nested=nested, name=name, spike_ins=spike_ins):
                steps.append(step)
                advance(1)
    document = add_ladder(
        registry,
        LadderDocument(
            name=name,
            version=1,
            id=_UNSET,
            created=datetime.now(UTC).replace(microsecond=0),
            corpus=corpus_record(corpus),
            nested=nested,
            where=where,
            fractions=tuple(sizes),
            seeds=tuple(dict.fromkeys(seeds)),
            strategies=tuple(
                StrategyRecord(strategy=chosen.name, parameters=chosen.settings) for chosen in all_chosen
            ),
            steps=tuple(step.record for step in steps),
            spike_ins=ladder_spike_ins(spike_ins, steps, nested=nested) if spike_ins else None,
        ),
    )
    return Ladder(document, tuple(steps))


def _settle(
    corpus: Corpus,
    strategies: Sequence[Named],
    *,
    nested: bool,
    embedding: Embedding | None,
    parameters: Mapping[str, object],
    task: Task | None,
) -> list[Chosen]:
    if not strategies:
        raise SelectionError(f"a ladder needs a strategy; there are: {', '.join(STRATEGIES)}")
    settled = settle_all(list(dict.fromkeys(strategies)), parameters)
    names = [each.name for each in settled]
    if again := [name for name in names if names.count(name) > 1]:
        raise SelectionError(f"{again[0]} is there {names.count(again[0])} times; make a ladder for each")
    if nested and (others := [each.name for each in settled if not each.strategy.nested]):
        able = ", ".join(name for name, strategy in STRATEGIES.items() if strategy.nested)
        parts = [part for each in settled if "parts" in each.settings for part in not_nesting(each.settings)]
        which = f" (of the parts of combine: {', '.join(parts)})" if parts else ""
        raise SelectionError(
            f"{' and '.join(others)} cannot nest{which}; those that can: {able}; choose among them, or build "
            "without nesting"
        )
    check_task_used(settled, task)
    return [make_ready(each, corpus=corpus, embedding=embedding, task=task) for each in settled]


def _seeds_of(chosen: Chosen, seeds: Sequence[int]) -> list[int]:
    distinct = list(dict.fromkeys(seeds))
    return distinct if chosen.strategy.is_drawn else distinct[:1]
