"""The task that cells are chosen for: the option, and what it will take."""

from __future__ import annotations

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


def explain_task(task: Task | None, *, root: Path) -> tuple[list[Explanation], list[Exclusion]]:
    """Say what looking for the cells of a reference will take; return the exclusions that take nothing."""
    if task is None:
        return [], []
    from curate.build.task.exclusions import obs_exclusions

    explained = []
    if task.excludes_reference and task.reference is not None:
        from curate.build.leakage.explain import explain_overlap

        excluded, held = task.document.exclude, task.reference
        n_looked_for = held.n_held_out + (held.n_train if excluded.reference == "all" else 0)
        explained.append(
            explain_overlap(task.corpus, held.place, root=root, by=excluded.by, n_evaluation=n_looked_for)
        )
    return explained, obs_exclusions(task)
