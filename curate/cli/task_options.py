"""The task that cells are chosen for: the option, and what it will take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from curate.build.exclusions import Exclusion
    from curate.build.explain import Explanation
    from curate.build.task.task import Task
    from curate.corpus import Corpus


def task_option(function: Callable[..., None]) -> Callable[..., None]:
    """Offer --task; the command gets it as `task_path`."""
    return click.option(
        "--task",
        "task_path",
        metavar="TASK.toml",
        help="The task to choose for; its exclusions hold for every strategy.  [see `curate task`]",
    )(function)


def open_task(path: str | None, corpus: Corpus) -> Task | None:
    """Resolve a task document against a corpus, and say what a person should know of it."""
    if path is None:
        return None
    from curate.build.task.task import Task

    task = Task.open(path, corpus)
    for note in task.notes:
        click.echo(f"notice: {note}", err=True)
    return task


@dataclass(frozen=True)
class ExplainedTask:
    """What a task takes before anything runs: what looking for its reference takes, which cells go anyway."""

    explained: list[Explanation] = field(default_factory=list)
    exclusions: list[Exclusion] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)


def explain_task(task: Task | None, *, root: Path) -> ExplainedTask:
    """Say what looking for the cells of a reference will take, and what the index alone leaves out."""
    if task is None:
        return ExplainedTask()
    from curate.build.task.exclusions import obs_exclusions

    held = task.reference
    if held is None or not task.excludes_reference:
        return ExplainedTask(exclusions=obs_exclusions(task))
    from curate.build.leakage.explain import explain_overlap

    excluded = task.document.exclude
    n_looked_for = held.n_held_out + (held.n_train if excluded.reference == "all" else 0)
    explained = explain_overlap(task.corpus, held.place, root=root, by=excluded.by, n_evaluation=n_looked_for)
    pending = f"the overlap with {held.name} by {' and '.join(excluded.by)}"
    return ExplainedTask([explained], obs_exclusions(task), [pending])
