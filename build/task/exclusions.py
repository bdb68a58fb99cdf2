"""Cells that are not to be chosen for a task: whole datasets, cells that match, cells of its reference.

The cells of the reference are looked for by the leakage guard. What the manifest's id takes from that is how
they were looked for and how many were found, not what else the reference holds.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from curate.build.exclusions import Exclusion
from curate.build.task.reference import open_census
from curate.where import Where

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from curate.build.exclusions import Drop, Mask
    from curate.build.leakage.evaluation import EvaluationSet
    from curate.build.task.task import Task
    from curate.census import Census
    from curate.corpus import Corpus

DATASET = "dataset_id"
REMEDY = 'exclude.reference = "none" in the task allows that'


@contextmanager
def task_exclusions(
    task: Task | None, *, tell: Callable[[str], None] = lambda line: None
) -> Iterator[list[Exclusion]]:
    """Yield the exclusions of a task, for as long as the counts can be read; none without a task.

    Parameters
    ----------
    tell
        Called with what could not be compared, and why.

    Raises
    ------
    LeakageError
        When the reference can be compared by none of the methods that the task names.
    """
    if task is None:
        yield []
        return
    by_obs = obs_exclusions(task)
    if not task.excludes_reference:
        yield by_obs
        return
    # It takes numba along, which a task that looks for nothing does not need.
    from curate.build.leakage.guard import overlap_exclusions

    excluded = task.document.exclude
    with task.corpus.open_census() as census:
        evaluation = _reference_cells(task, census)
        found = overlap_exclusions(
            task.corpus, evaluation, census=census, by=excluded.by, tell=tell, remedy=REMEDY
        )
        yield by_obs + [_as_of_task(each, excluded.reference) for each in found]


def obs_exclusions(task: Task) -> list[Exclusion]:
    """Return the exclusions that the index of the corpus decides: datasets, and cells that match."""
    excluded = task.document.exclude
    exclusions = []
    if excluded.dataset_ids:
        ids = sorted(set(excluded.dataset_ids))
        exclusions.append(Exclusion("task dataset", {"dataset_ids": ids}, _of_datasets(ids)))
    if excluded.where is not None:
        condition = Where.parse(excluded.where)
        condition.check(["soma_joinid", *task.corpus.header.columns])
        exclusions.append(Exclusion("task where", {"where": excluded.where}, _matching(condition)))
    return exclusions


def _of_datasets(ids: list[str]) -> Drop:
    def drop(corpus: Corpus, kept: Mask) -> Mask:
        del kept
        mask: Mask = corpus.columns([DATASET])[DATASET].cast(str).is_in(ids).to_numpy()
        return mask

    return drop


def _matching(condition: Where) -> Drop:
    def drop(corpus: Corpus, kept: Mask) -> Mask:
        del kept
        mask: Mask = condition.mask(corpus.columns(sorted(condition.columns))).to_numpy()
        return mask

    return drop


def _reference_cells(task: Task, census: Census) -> EvaluationSet:
    from curate.build.leakage.sources import open_evaluation, read_store

    reference, corpus = task.reference, task.corpus
    assert reference is not None
    rows = reference.held_out_rows
    if task.document.exclude.reference == "all":
        rows = np.sort(np.concatenate([reference.rows, rows]))
    organism = corpus.header.organism
    var = census.read_var(organism)
    if reference.kind == "census":
        with open_census(task.document, reference.source, corpus) as own:
            return read_store(own, var=var, organism=organism, rows=rows)
    source = reference.source
    return open_evaluation(
        reference.place,
        var=var,
        organism=organism,
        layer=source.layer,
        gene_column=source.gene_column,
        rows=rows,
    )


def _as_of_task(exclusion: Exclusion, cells: str) -> Exclusion:
    parameters = {key: value for key, value in exclusion.parameters.items() if key != "evaluation"}
    return replace(exclusion, reason="task reference", parameters=parameters | {"cells": cells})
