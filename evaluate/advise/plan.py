"""What a climb may take, before anything runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from curate.evaluate.advise.training import cells_seen, described, with_least_steps
from curate.rates import own_rate
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from curate.build.task.task import Task
    from curate.evaluate.advise.rule import Rule
    from curate.evaluate.advise.rungs import Rungs
    from curate.train.fit.plan import Budget
    from curate.train.models.settings import Preset


@dataclass(frozen=True)
class PlannedStep:
    """A step of the ladder.

    Attributes
    ----------
    seconds
        Of one training at most, from the rate of earlier ones here; None where there is none.
    """

    fraction: float
    n_cells: int
    seconds: float | None


@dataclass(frozen=True)
class Plan:
    """A climb before it begins: all of it, should it not stop before.

    Attributes
    ----------
    training
        How long each model trains, in words; None of one that has no steps.
    """

    model: str
    preset: str
    strategy: str
    nested: bool
    n_seeds: int
    most_seeds: int
    steps: tuple[PlannedStep, ...]
    training: str | None = None

    @property
    def n_cells(self) -> int:
        """Cells that the whole ladder trains on, with the seeds of the beginning."""
        return self.n_seeds * sum(step.n_cells for step in self.steps)

    def lines(self, task: Task) -> list[str]:
        """Return it as lines for people."""
        reference = task.reference
        held_out = "" if reference is None else f"{reference.n_held_out:,} held-out cells of {reference.name}"
        found = [
            f"advise: {self.model} ({self.preset}) on subsets of {self.strategy}"
            f"{', each containing the one before it' if self.nested else ', each drawn for itself'}; tried "
            "on "
            f"{held_out} ({task.document.kind})",
            f"{counted(len(self.steps), 'step')}, {self.n_seeds} to {self.most_seeds} seeds; from the third "
            "step on it stops as soon as the rest cannot matter",
        ]
        if self.training is not None:
            found.append(f"each model: {self.training}")
        for step in self.steps:
            took = "" if step.seconds is None else f", at most about {_duration(step.seconds)} a model"
            found.append(f"  {step.fraction:<8g}{step.n_cells:>12,} cells{took}")
        known = [step.seconds for step in self.steps if step.seconds is not None]
        whole = (
            f", at most about {_duration(self.n_seeds * sum(known))}" if len(known) == len(self.steps) else ""
        )
        n_models = self.n_seeds * len(self.steps)
        found.append(f"the whole ladder: {counted(n_models, 'model')} on {self.n_cells:,} cells{whole}")
        return found

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        return {**asdict(self), "n_cells": self.n_cells}


def make_plan(
    rungs: Rungs,
    rule: Rule,
    *,
    model: str,
    preset: Preset,
    changes: Mapping[str, Any],
    budget: Budget,
    up_to: float,
    root: Path,
) -> Plan:
    """Plan a climb; seconds come from trainings that were measured in this workspace."""
    changes = with_least_steps(model, preset, changes, budget, n_all=rungs.sizes[1.0])
    rate = own_rate(root, f"train {model} {preset}")
    steps = []
    for fraction, n_cells in rungs.sizes.items():
        if fraction > up_to:
            continue
        seen = cells_seen(model, preset, changes, budget, n_cells=n_cells)
        seconds = None if rate is None else seen / rate.per_s
        if budget.max_minutes is not None:
            seconds = 60 * budget.max_minutes
        steps.append(PlannedStep(fraction, n_cells, seconds))
    return Plan(
        model,
        preset,
        rungs.builder.chosen.name,
        rungs.nested,
        rule.n_seeds,
        rule.most_seeds,
        tuple(steps),
        described(model, preset, changes, budget),
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:,.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
