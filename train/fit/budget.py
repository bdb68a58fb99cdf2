"""What ends a run, and how many steps it has where that is known beforehand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from curate.errors import ModelError

if TYPE_CHECKING:
    from curate.train.fit.plan import Budget, FitPlan, Stopped
    from curate.train.fit.state import Progress
    from curate.train.models.settings import NetworkSettings


def check(plan: FitPlan) -> None:
    """Refuse a plan that allows no step, or whose intervals are none.

    Raises
    ------
    ModelError
        Naming the number.
    """
    for what, steps in {"checkpoints": plan.checkpoint_steps, "validation": plan.validation_steps}.items():
        if steps is not None and steps < 1:
            raise ModelError(f"{what} every {steps} steps; give 1 or more")
    budget = plan.budget
    limits = {"steps": budget.max_steps, "cells": budget.max_cells, "minutes": budget.max_minutes}
    for unit, limit in limits.items():
        if limit is not None and not limit > 0:
            raise ModelError(f"a budget of {limit} {unit} allows no step; give more than 0")


def round_steps(settings: NetworkSettings, *, n_batches: int) -> int:
    """Return the steps of a round, after which is validated and `max_epochs` of which are a run.

    A round is an epoch of `n_batches`, or so much more that the run has `min_steps`.
    """
    return max(n_batches, math.ceil(settings.min_steps / settings.max_epochs))


def ended(budget: Budget, progress: Progress, *, n_steps: int | None) -> Stopped | None:
    """Return which limit has been reached; None while there is something left.

    Parameters
    ----------
    n_steps
        The step at which a run without a budget ends.
    """
    if budget.max_steps is not None and progress.step >= budget.max_steps:
        return "steps"
    if budget.max_cells is not None and progress.n_cells >= budget.max_cells:
        return "cells"
    if budget.max_minutes is not None and progress.seconds >= 60 * budget.max_minutes:
        return "minutes"
    if not budget.is_fixed and n_steps is not None and progress.step >= n_steps:
        return "epochs"
    return None


def known_steps(budget: Budget, settings: NetworkSettings, *, n_batches: int, step_cells: int) -> int | None:
    """Return the step at which a run will end at the latest; None where only minutes say so.

    Parameters
    ----------
    n_batches
        Steps of an epoch.
    step_cells
        Cells of a step, over all ranks.
    """
    if not budget.is_fixed:
        return settings.max_epochs * round_steps(settings, n_batches=n_batches)
    limits = [budget.max_steps] if budget.max_steps is not None else []
    if budget.max_cells is not None:
        limits.append(math.ceil(budget.max_cells / step_cells))
    return min(limits, default=None)


def share_done(budget: Budget, progress: Progress, *, n_steps: int | None) -> float:
    """Return how much of the run is done, between 0 and 1, by the limit that is nearest."""
    shares = [0.0]
    if n_steps is not None:
        shares.append(progress.step / n_steps)
    if budget.max_minutes is not None:
        shares.append(progress.seconds / (60 * budget.max_minutes))
    return min(max(shares), 1.0)
