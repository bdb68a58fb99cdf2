"""The learning rate of each step: a function of the step alone, so that nothing of it is to be kept."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curate.train.models.settings import NetworkSettings


def learning_rate(settings: NetworkSettings, step: int, *, n_steps: int | None) -> float:
    """Return the learning rate of a step.

    It rises linearly over the steps of the warm-up, then stays, or falls to 0 after the last step.

    Parameters
    ----------
    step
        Steps taken before.
    n_steps
        The step at which the run will end; where that is not known, the rate stays.
    """
    warmup = settings.warmup_steps
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    if settings.schedule == "constant" or n_steps is None:
        return settings.learning_rate
    done = min((step - warmup) / max(n_steps - warmup, 1), 1.0)
    left = 1 - done if settings.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return settings.learning_rate * left
