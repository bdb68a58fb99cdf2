"""From a corpus to manifests: the way through the builder.

1. the strategy and its settings, and the task that it chooses for, checked before anything long begins;
2. candidates: the rows of the corpus that pass the filter and that nothing excludes, nor the task;
3. the number of cells, from a fraction or as given;
4. the split of every cell of the corpus;
5. what cannot be spiked is refused before anything is written (`spike_sizes.py`);
6. for each size and seed, rows are chosen among the candidates and written down (`curate.build.builder`);
7. where asked for, Perturb-seq cells join its training cells, in a manifest of its own (`spike_ins.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.build.builder import OBS_COLUMNS, Builder
from curate.build.candidates import find_candidates
from curate.build.chooser import check_task_used, make_ready
from curate.build.requests import make_requests
from curate.build.spike_ins import guarded, spike
from curate.build.spike_sizes import choose_open
from curate.build.splits.cells import RATIOS
from curate.build.splits.splits import make_splits
from curate.build.splits.units import CELL
from curate.build.strategies.named import settle
from curate.build.task.exclusions import task_exclusions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from curate.build.embeddings.embedding import Embedding
    from curate.build.exclusions import Exclusion
    from curate.build.requests import Request
    from curate.build.spike_ins import SpikeIns
    from curate.build.strategies.named import Named
    from curate.build.task.task import Task
    from curate.corpus import Corpus
    from curate.manifests.manifest import Manifest
    from curate.manifests.registry import Registry


def build(
    corpus: Corpus,
    *,
    registry: Registry,
    strategy: Named,
    fraction: float | Sequence[float] | None = None,
    n_cells: int | Sequence[int] | None = None,
    seed: int | Sequence[int] = 0,
    where: str | None = None,
    exclusions: Sequence[Exclusion] = (),
    embedding: Embedding | None = None,
    parameters: Mapping[str, object] | None = None,
    split_by: str | Sequence[str] = CELL,
    split_ratios: Sequence[float] = RATIOS,
    split_seed: int = 0,
    split_stratify_by: str | Sequence[str] = ("cell_type",),
    name: str | None = None,
    spike_ins: SpikeIns | None = None,
    task: Task | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Manifest]:
    """Choose cells from a corpus and write each choice down as a manifest.

    Parameters
    ----------
    strategy
        A key of STRATEGIES, or "path/to/file.py:function"; either with settings in brackets, as in
        "sketch(k=100)"; or a function, or a Strategy.
    fraction, n_cells
        One of them: shares (0, 1] of the cells to choose from, rounded down, or numbers of cells.
    seed
        One manifest is made for each size and seed.
    where
        Only cells that match are chosen from; the language of `curate.where`.
    exclusions
        Cells that are not to be chosen though they match: reasons in order, each counted on what those before
        it left. A fraction is one of the cells that are left. Those that go for sources too leave out cells
        of spike-ins.
    embedding
        For strategies that need one; it must be of this corpus. Those that measure what they cost do so on
        it too, when it is given.
    parameters
        Settings of the strategy; the defaults stand in STRATEGIES.
    split_by, split_ratios, split_seed, split_stratify_by
        As in `make_splits`. The split seed is apart from `seed`, so that all subsets share one test split.
    name
        Of the manifest; by default "STRATEGY-SIZE-sSEED". With several sizes or seeds it is a prefix.
    spike_ins
        From `plan_spike_ins`: each manifest is followed by one spiked with these, "NAME+SOURCE=SHARE". Cells
        of a source that the corpus holds, or that are excluded, are not drawn.
    task
        For strategies that choose for one; its exclusions come after `exclusions`, whatever the strategy.
    tell
        Called with what of the task could not be compared, and why.

    Returns
    -------
    list of Manifest
        In the order of sizes, then seeds. A choice that was made before adds no version.

    Raises
    ------
    SelectionError
        When the strategy is unknown, a size is 0 or more than there is, or a parameter is out of range; when
        a spike-in is no cell of a subset, or more than the source has or may give. Nothing is written then.
    EmbeddingError
        When the strategy needs an embedding and there is none, or its values are not those recorded.
    FilterError
        When `where` does not parse or names an absent column.
    TaskError
        When the strategy needs a task and there is none, or the task changes nothing or cannot be met.
    SourceError
        When a source was not compared with the corpus, and that takes long.
    """
    settled = settle(strategy, parameters)
    check_task_used([settled], task)
    chosen = make_ready(settled, corpus=corpus, embedding=embedding, task=task)
    with task_exclusions(task, tell=tell) as left_out:
        all_exclusions = [*exclusions, *left_out]
        candidates = find_candidates(corpus, where, all_exclusions)
        if spike_ins is not None:
            spike_ins = guarded(spike_ins, all_exclusions)
    chosen = chosen.aimed(task, candidates)
    requests = make_requests(fraction, n_cells, seed, candidates.n_cells)
    splits = make_splits(
        corpus,
        candidates,
        unit=split_by,
        ratios=split_ratios,
        seed=split_seed,
        stratify_by=split_stratify_by,
    )
    # Several choices share one reading of all rows; a single one needs no more than its own.
    obs = corpus.columns(OBS_COLUMNS) if len(requests) > 1 else None
    builder = Builder(registry, corpus, candidates, splits, chosen, where=where, obs=obs)
    names = {each: _name(name, chosen.label, each, several=len(requests) > 1) for each in requests}
    for each in names.values():
        registry.check_name(each + (spike_ins.suffix if spike_ins else ""))
    chosen_before = {} if spike_ins is None else choose_open(spike_ins, requests, builder)
    manifests = []
    for request in requests:
        selection = chosen_before.pop(request, None) or builder.choose(request)
        base = builder.write(names[request], request, selection)
        manifests.append(base)
        if spike_ins is not None:
            manifests.append(spike(base, spike_ins, registry=registry, corpus=corpus, seed=request.seed))
    return manifests


def _name(given: str | None, strategy: str, request: Request, *, several: bool) -> str:
    if given is None:
        return f"{strategy}-{request.suffix}"
    return f"{given}-{request.suffix}" if several else given
