"""The tasks: one module each, one dict; a module is imported when its task is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.errors import EvaluationError
from curate.lazy import Lazy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from curate.evaluate.tasks.task import EvaluationTask

__all__ = ["TASKS"]

TASKS: Mapping[str, EvaluationTask] = Lazy(
    "task",
    {
        "classify": "classify:CLASSIFY",
        "integrate": "integrate:INTEGRATE",
        "reconstruct": "reconstruct:RECONSTRUCT",
        "perturb": "perturb:PERTURB",
        "perturb-unseen": "perturb:PERTURB_UNSEEN",
    },
    package="curate.evaluate.tasks",
    error=EvaluationError,
)
