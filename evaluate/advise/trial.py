"""A run of the climb: a model trained on a step, and its score on the held-out half."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from curate.errors import EvaluationError
from curate.evaluate.evaluate import evaluate
from curate.evaluate.report.report import METHODS
from curate.evaluate.subject import Subject
from curate.evaluate.tasks import TASKS
from curate.train.artifact.train import train

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from curate.evaluate.advise.rungs import Rungs
    from curate.evaluate.data import EvaluationData
    from curate.evaluate.tasks.task import EvaluationTask, TaskSettings
    from curate.train.fit.plan import FitPlan
    from curate.train.models.settings import Preset
    from curate.workspace import Workspace


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


@dataclass(eq=False)
class Trials:
    """Trains and evaluates one model along a ladder.

    Attributes
    ----------
    tables
        Results so far.
    n_trained
        Of the runs so far, models that were trained now and not found.
    """

    rungs: Rungs
    data: EvaluationData
    yardstick: Yardstick
    workspace: Workspace
    model: str
    preset: Preset
    changes: Mapping[str, Any]
    plan: Callable[[int], FitPlan]
    allow_leakage: bool = False
    tell: Callable[[str], None] = lambda line: None
    tables: list[pl.DataFrame] = field(default_factory=list)
    n_trained: int = 0

    def score(self, step: int, seed: int) -> float:
        """Return the score of a run, higher is better.

        Raises
        ------
        EvaluationError
            When the task does not give the metric.
        ModelError, LeakageError
            As `train` and `evaluate`.
        """
        manifest = self.rungs.manifest(step, seed)
        trained = train(
            self.model,
            manifest,
            workspace=self.workspace,
            preset=self.preset,
            changes=self.changes,
            plan=self.plan(seed),
        )
        self.n_trained += trained.is_new
        subject = Subject(trained.artifact.name, "trained", trained.artifact, manifest)
        table = pl.concat(
            [
                evaluate(
                    self.yardstick.task,
                    [subject],
                    self.data,
                    self.yardstick.settings,
                    seed=each,
                    folder=self.workspace.results_path,
                    allow_leakage=self.allow_leakage,
                    with_baselines=False,
                )
                for each in self.yardstick.evaluation_seeds
            ]
        )
        self.tables.append(table)
        score, sign = self._picked(table)
        how = "trained" if trained.is_new else "found"
        cells = manifest.document.n_cells
        self.tell(f"{self.model} on {cells:,} cells, seed {seed}: {sign * score:.4f} ({how})")
        return score

    def _picked(self, table: pl.DataFrame) -> tuple[float, float]:
        """Return the score, its sign turned where lower is better, and that sign."""
        rows = table.filter(
            pl.col("metric") == self.yardstick.metric, pl.col("part") == "", pl.col("value").is_finite()
        )
        methods = rows["method"].unique().sort().to_list()
        wanted = [self.yardstick.method] if self.yardstick.method is not None else [*METHODS, *methods[:1]]
        method = next((name for name in wanted if name in methods), None)
        if method is None:
            raise EvaluationError(
                f"task {self.yardstick.task} gives no {self.yardstick.metric} of method "
                f"{self.yardstick.method or METHODS[0]} on {self.data.name}; "
                f"methods that do: {', '.join(methods) or 'none'}"
            )
        chosen = rows.filter(pl.col("method") == method)
        sign = 1.0 if chosen["higher_is_better"][0] else -1.0
        return sign * float(chosen["value"].mean()), sign  # type: ignore[arg-type]
