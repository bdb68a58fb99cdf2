"""How a representation is tried on the held-out half, and what the baselines have there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from curate.errors import EvaluationError
from curate.evaluate.evaluate import evaluate
from curate.evaluate.report.report import METHODS
from curate.evaluate.subject import baselines
from curate.evaluate.tasks import TASKS

if TYPE_CHECKING:
    from pathlib import Path

    from curate.evaluate.data import EvaluationData
    from curate.evaluate.tasks.task import EvaluationTask, TaskSettings


@dataclass(frozen=True)
class Yardstick:
    """How a representation is tried.

    Attributes
    ----------
    evaluation_seeds
        A run's score is the mean over them: the same for all runs, so that its noise is that of the run.
    method
        None: k-NN where the task has it, else its first.
    """

    task: str
    settings: TaskSettings
    metric: str
    method: str | None
    evaluation_seeds: tuple[int, ...]

    @property
    def card(self) -> EvaluationTask:
        """The task."""
        return TASKS[self.task]

    def read(self, table: pl.DataFrame, name: str) -> tuple[float, float]:
        """Return the score of a representation, its sign turned where lower is better, and that sign.

        Parameters
        ----------
        table
            Results of one representation, of all evaluation seeds.
        name
            Of the data.

        Raises
        ------
        EvaluationError
            When the task does not give the metric.
        """
        rows = _scores(table, self.metric)
        methods = rows["method"].unique().sort().to_list()
        wanted = [self.method] if self.method is not None else [*METHODS, *methods[:1]]
        method = next((each for each in wanted if each in methods), None)
        if method is None:
            raise EvaluationError(
                f"task {self.task} gives no {self.metric} of method {self.method or METHODS[0]} on {name}; "
                f"methods that do: {', '.join(methods) or 'none'}"
            )
        chosen = rows.filter(pl.col("method") == method)
        sign = 1.0 if chosen["higher_is_better"][0] else -1.0
        return sign * float(chosen["value"].mean()), sign  # type: ignore[arg-type]


def try_baselines(
    data: EvaluationData, yardstick: Yardstick, *, folder: Path
) -> tuple[pl.DataFrame, dict[str, float]]:
    """Try what needs no training; a task that cannot be tried so is refused before any model is trained.

    Returns
    -------
    Results, and the value of the metric by baseline.

    Raises
    ------
    EvaluationError
        When the data do not suit the task, or it does not give the metric.
    """
    subjects = baselines() if yardstick.card.on_representations else []
    table = pl.concat(
        [
            evaluate(yardstick.task, subjects, data, yardstick.settings, seed=seed, folder=folder)
            for seed in yardstick.evaluation_seeds
        ]
    )
    found = {}
    for subject in subjects:
        score, sign = yardstick.read(table.filter(pl.col("model") == subject.name), data.name)
        found[subject.name] = sign * score
    others = _scores(table, yardstick.metric).filter(~pl.col("model").is_in(list(found)))
    if yardstick.card.replicate is not None:
        # A positive control is no baseline.
        others = others.filter(~pl.col("method").str.starts_with(yardstick.card.replicate))
    for (method,), rows in others.group_by("method", maintain_order=True):
        found[str(method)] = float(rows["value"].mean())  # type: ignore[arg-type]
    return table, found


def _scores(table: pl.DataFrame, metric: str) -> pl.DataFrame:
    return table.filter(pl.col("metric") == metric, pl.col("part") == "", pl.col("value").is_finite())
