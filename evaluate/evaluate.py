"""The way of an evaluation.

1. cells that training saw are looked for among the data;
2. the task is tried on each subject, and its baselines once: what was found before for the same is taken;
3. all scores stand in one table, normalised by the baselines of the task.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import polars as pl

from curate.documents import canonical_digest
from curate.evaluate.leakage import NONE, guard, leaked
from curate.evaluate.results import (
    FORMAT,
    RESULT_SCHEMA,
    normalised,
    read_notices,
    read_results,
    rows,
    write_results,
)
from curate.evaluate.tasks import TASKS
from curate.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from curate.evaluate.data import EvaluationData
    from curate.evaluate.leakage import Leaked
    from curate.evaluate.results import Score
    from curate.evaluate.subject import Subject
    from curate.evaluate.tasks.task import EvaluationTask, TaskSettings
    from curate.manifests.manifest import Manifest


def evaluate(
    task: str,
    subjects: Sequence[Subject],
    data: EvaluationData,
    settings: TaskSettings,
    *,
    seed: int = 0,
    folder: Path | None = None,
    allow_leakage: bool = False,
    drop_shared: bool = False,
    with_baselines: bool = True,
    look: Callable[[EvaluationData, Manifest], Leaked] = leaked,
) -> pl.DataFrame:
    """Try a task on subjects, and on its baselines.

    The same asked again is found in `folder`, with its notices; what decides is the task and its settings,
    the versions of its metrics, the subject, the content of the data, and the seed.

    Parameters
    ----------
    subjects
        Trained models, their controls, representations of the data.
    seed
        Of the splits of probes, and of heads.
    folder
        Where results are kept, a file for each subject; None keeps none.
    allow_leakage, drop_shared
        Go on though training saw cells of the data, which every result says; or leave these cells out.
    with_baselines
        Whether the task's own baselines are tried too.
    look
        Finds cells of the data that training saw; a sweep remembers what was found.

    Returns
    -------
    DataFrame
        See `curate.evaluate.results.RESULT_SCHEMA`.

    Raises
    ------
    EvaluationError
        When there is no such task, or the data do not serve it.
    LeakageError
        When training saw cells of the data.
    ModelError
        When the data have too few of a model's genes.
    """
    card = TASKS[task]
    # 1. Cells that training saw.
    manifests = {each.manifest.id: each.manifest for each in subjects if each.manifest is not None}
    data, leakage = guard(data, list(manifests.values()), allow=allow_leakage, drop=drop_shared, look=look)
    shared: dict[str, Any] = {
        "task": task,
        "dataset": data.name,
        "dataset_id": data.fingerprint,
        "evaluation_seed": seed,
        "label": data.label,
    }
    # 2. Tried.
    tables = []
    with progress(
        f"Evaluating {task} on {data.name}", len(subjects) + with_baselines, unit="models"
    ) as advance:
        for subject in subjects:

            def tried(subject: Subject = subject) -> list[Score]:
                return card.evaluate(subject, data, settings, seed=seed)

            def facts(subject: Subject = subject) -> dict[str, Any]:
                is_exposed = subject.manifest is not None
                return {
                    **shared,
                    **subject.facts(),
                    "genes_found": subject.genes_found(data),
                    "leakage": leakage if is_exposed else NONE,
                }

            path = _path(folder, card, settings, subject.id, shared, leakage)
            tables.append(_found_or_made(path, data, tried, facts))
            advance(1)
        if with_baselines:
            path = _path(folder, card, settings, "baselines", shared, NONE)

            def of_baselines() -> list[Score]:
                return card.baselines(data, settings, seed=seed)

            def of_data() -> dict[str, Any]:
                return {**shared, "kind": "baseline", "leakage": NONE}

            made = _found_or_made(path, data, of_baselines, of_data)
            named = pl.col("method")
            tables.append(made.with_columns(named.alias("model"), named.alias("model_name")))
            advance(1)
    # 3. Normalised.
    table = pl.concat(tables) if tables else pl.DataFrame(schema=RESULT_SCHEMA)
    return normalised(table, trivial=card.trivial, replicate=card.replicate)


def _path(
    folder: Path | None,
    card: EvaluationTask,
    settings: TaskSettings,
    subject: str,
    shared: dict[str, Any],
    leakage: str,
) -> Path | None:
    if folder is None:
        return None
    decides = {
        "format": FORMAT,
        "settings": settings.model_dump(mode="json"),
        "metrics": card.versions(),
        "subject": subject,
        "leakage": leakage,
        **shared,
    }
    return folder / f"{card.name}-{canonical_digest(decides)[:32]}.parquet"


def _found_or_made(
    path: Path | None,
    data: EvaluationData,
    tried: Callable[[], list[Score]],
    facts: Callable[[], dict[str, Any]],
) -> pl.DataFrame:
    if path is not None and path.is_file():
        table = read_results([path])
        for notice in read_notices(path):
            data.notice(notice)
        return table
    start = time.perf_counter()
    with data.noticed() as notices:
        scores = tried()
        table = rows(scores, {**facts(), "seconds": time.perf_counter() - start})
    if path is not None:
        path.parent.mkdir(exist_ok=True)
        write_results(table, path, notices=notices)
    return table
