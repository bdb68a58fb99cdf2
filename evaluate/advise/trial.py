"""A run of the climb: a model trained on a step, and its score on the held-out half."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from curate.errors import LeakageError
from curate.evaluate.advise.training import was_improving
from curate.evaluate.evaluate import evaluate
from curate.evaluate.leakage import guard, leaked
from curate.evaluate.subject import Subject
from curate.rates import keep_rate
from curate.train.artifact.train import train

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from curate.evaluate.advise.rungs import Rungs
    from curate.evaluate.advise.yardstick import Yardstick
    from curate.evaluate.data import EvaluationData
    from curate.evaluate.leakage import Leaked
    from curate.manifests.manifest import Manifest
    from curate.train.artifact import Artifact
    from curate.train.fit.plan import FitPlan
    from curate.train.models.settings import Preset
    from curate.workspace import Workspace


@dataclass(eq=False)
class Trials:
    """Trains and evaluates one model along a ladder.

    Attributes
    ----------
    tables
        Results so far.
    n_trained
        Of the runs so far, models that were trained now and not found.
    n_improving
        Of the runs so far, models whose training ended while they were still improving.
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
    n_improving: int = 0
    _looked: dict[str, Leaked] = field(default_factory=dict, repr=False)
    _said: set[str] = field(default_factory=set, repr=False)

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
        # What may not be evaluated need not be trained.
        self._check(manifest)
        said: list[str] = []
        trained = train(
            self.model,
            manifest,
            workspace=self.workspace,
            preset=self.preset,
            changes=self.changes,
            plan=self.plan(seed),
            say=said.append,
            # What was said before is of the shards of this one.
            before=lambda _: said.clear(),
        )
        self.n_trained += trained.is_new
        self.n_improving += was_improving(trained.artifact)
        if trained.is_new:
            self._keep_rate(trained.artifact)
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
                    look=self._look,
                )
                for each in self.yardstick.evaluation_seeds
            ]
        )
        for line in (*said, *self.data.notices):
            self._note(line)
        self.tables.append(table)
        score, sign = self.yardstick.read(table, self.data.name)
        how = "trained" if trained.is_new else "found"
        cells = manifest.document.n_cells
        self.tell(f"{self.model} on {cells:,} cells, seed {seed}: {sign * score:.4f} ({how})")
        return score

    def _check(self, manifest: Manifest) -> None:
        """Refuse a manifest that holds held-out cells, saying what of the document keeps them out."""
        try:
            guard(self.data, [manifest], allow=self.allow_leakage, look=self._look)
        except LeakageError:
            n_seen = int(self._look(self.data, manifest).cells.sum())
            if not n_seen:
                raise
            raise LeakageError(
                f"{n_seen:,} held-out cells of {self.data.name} are training or validation cells of "
                f'{manifest.ref}; leave them out of the subsets with reference = "all" under [exclude] of '
                "the task, or allow it with --allow-leakage, which marks every result"
            ) from None

    def _note(self, line: str) -> None:
        """Say what a person should know of a training or an evaluation: once, though all runs say it."""
        if line not in self._said:
            self._said.add(line)
            self.tell(f"notice: {line}")

    def _keep_rate(self, artifact: Artifact) -> None:
        """Keep how fast it was, for the plan of the next climb."""
        cost = artifact.header.cost
        if cost.n_cells and cost.seconds > 0:
            work = f"train {self.model} {self.preset}"
            keep_rate(self.workspace.root, work, cost.n_cells, cost.seconds, unit="cells")

    def _look(self, data: EvaluationData, manifest: Manifest) -> Leaked:
        """Look for cells that training saw: once a manifest, whatever the seeds of evaluation."""
        if manifest.id not in self._looked:
            self._looked[manifest.id] = leaked(data, manifest)
        return self._looked[manifest.id]
