"""How the models of a climb are trained: so that a curve over them is one of cells, not of steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from curate.train.fit.budget import round_steps
from curate.train.models import MODELS
from curate.train.models.settings import NetworkSettings, changed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from curate.train.artifact import Artifact
    from curate.train.fit.plan import Budget
    from curate.train.models.settings import Preset, Settings

#: Of a manifest's cells, by default, those that a model is trained on.
TRAIN_SHARE: Final = 0.8
#: Steps that every model may take, where the whole corpus takes as many.
MOST_LEAST_STEPS: Final = 2_000


def with_least_steps(
    model: str, preset: Preset, changes: Mapping[str, Any], budget: Budget, *, n_all: int
) -> dict[str, Any]:
    """Return the settings to change, so that a small subset is trained for as long as the whole corpus.

    Ten epochs of 300 cells in batches of 256 are 20 steps, of 13,000 cells 400: over such models a score
    rises with the steps, whatever the cells. So each may take as many as one on the whole corpus, up to
    MOST_LEAST_STEPS; patience ends it before, as ever. Who gives a budget or least steps gets those.

    Parameters
    ----------
    n_all
        Cells of the largest step of the ladder.

    Raises
    ------
    ModelError
        For a setting that the model does not have, or a value that is out of range.
    """
    settings = _settings(model, preset, changes)
    if not isinstance(settings, NetworkSettings) or budget.is_fixed or "min_steps" in changes:
        return dict(changes)
    steps = settings.max_epochs * _n_batches(settings, n_all)
    return {**changes, "min_steps": max(settings.min_steps, min(steps, MOST_LEAST_STEPS))}


def cells_seen(
    model: str, preset: Preset, changes: Mapping[str, Any], budget: Budget, *, n_cells: int
) -> float:
    """Return the training cells, with repetition, that a model on a manifest of `n_cells` sees at most."""
    settings = _settings(model, preset, changes)
    n_train = TRAIN_SHARE * n_cells
    if not isinstance(settings, NetworkSettings):
        return n_train
    if budget.max_cells is not None:
        return budget.max_cells
    n_batches = _n_batches(settings, n_cells)
    steps = budget.max_steps or settings.max_epochs * round_steps(settings, n_batches=n_batches)
    return steps * n_train / n_batches


def described(model: str, preset: Preset, changes: Mapping[str, Any], budget: Budget) -> str | None:
    """Return in words how long each model trains; None of one that has no steps."""
    settings = _settings(model, preset, changes)
    if not isinstance(settings, NetworkSettings):
        return None
    limits = {
        "steps": budget.max_steps,
        "training cells seen": budget.max_cells,
        "minutes": budget.max_minutes,
    }
    said = [f"{limit:,g} {unit}" for unit, limit in limits.items() if limit is not None]
    if said:
        return f"{' or '.join(said)}, whatever the subset"
    least = f", {settings.min_steps:,} steps at least" if settings.min_steps else ""
    patience = "; fewer when validation stops to improve" if settings.patience is not None else ""
    return f"{settings.max_epochs:,} epochs{least}{patience}"


def was_improving(artifact: Artifact) -> bool:
    """Tell whether a model ended with its epochs while its loss on validation cells was the best so far."""
    header = artifact.header
    return header.stopped == "epochs" and header.best_step == header.cost.n_steps


def _settings(model: str, preset: Preset, changes: Mapping[str, Any]) -> Settings:
    return changed(MODELS[model].presets[preset], dict(changes), model=model)


def _n_batches(settings: NetworkSettings, n_cells: int) -> int:
    return math.ceil(TRAIN_SHARE * n_cells / settings.batch_size)
