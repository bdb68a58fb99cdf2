"""`curate build --explain`: what it will take, and whether it will be refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from curate.build.explain_build import explain_build
from curate.cli.dedup_options import explain_dedup
from curate.cli.explanation import show
from curate.cli.leakage_options import explain_overlaps
from curate.cli.task_options import explain_task
from curate.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from curate.build.embeddings.embedding import Embedding
    from curate.build.exclusions import Exclusion
    from curate.build.leakage.guard import Method
    from curate.build.spike_ins import SpikeIns
    from curate.build.strategies.named import Settled
    from curate.build.task.task import Task
    from curate.corpus import Corpus
    from curate.workspace import Workspace


def explain(
    workspace: Workspace,
    corpus: Corpus,
    settled: Sequence[Settled],
    *,
    strategies: Sequence[str],
    given: Mapping[str, str],
    embedding: Embedding | None,
    dedup: float | None,
    exclusions: Sequence[Exclusion],
    evaluations: Sequence[str],
    by: list[Method],
    task: Task | None,
    spike_ins: SpikeIns | None,
    uncompared: bool,
    where: str | None,
    sizes: Mapping[str, Any],
    splits: Mapping[str, Any],
    as_json: bool,
) -> None:
    """Print what a build would take; raise what it would be refused with, as far as that is known.

    Parameters
    ----------
    given
        Settings of the strategies, as they were written.
    sizes, splits
        Arguments of `build`.
    """
    root = workspace.root
    explained, known, pending = explain_overlaps(
        corpus,
        evaluations,
        root=root,
        by=by,
        where=where,
        exclusions=exclusions,
        spike_ins=spike_ins,
        uncompared=uncompared,
    )
    of_task = explain_task(task, root=root)
    by_dedup, thinned = explain_dedup(corpus, embedding, dedup, root=root)
    explained += [*of_task.explained, *by_dedup]
    choice: dict[str, Any] = {
        "where": where,
        "exclusions": [*exclusions, *known, *of_task.exclusions],
        "pending": [*pending, *of_task.pending, *thinned],
        **sizes,
    }
    refused = None
    if spike_ins is not None:
        from curate.build.explain_spikes import explain_spike_ins

        try:
            explained.append(
                explain_spike_ins(corpus, spike_ins, evaluations=evaluations, by=by, **choice, **splits)
            )
        except SourceError as error:
            # What comparing the source takes is worth showing to who is told to do so.
            refused = error
    for strategy, held in zip(strategies, settled, strict=True):
        explained += explain_build(
            corpus,
            root=root,
            strategy=strategy,
            embedding=embedding,
            parameters={key: given[key] for key in given if key in held.settings},
            spike_ins=spike_ins,
            train_ratio=splits["split_ratios"][0],
            **choice,
        )
    show(explained, as_json=as_json)
    if refused is not None:
        raise refused
    if spike_ins is not None:
        click.echo(f"notice: {spike_ins.explained()}", err=True)
