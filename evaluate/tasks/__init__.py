"""The tasks: one module each, one dict; a module is imported when its task is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from curate.errors import EvaluationError
from curate.nearest import nearest

if TYPE_CHECKING:
    from curate.evaluate.tasks.task import EvaluationTask

__all__ = ["TASKS"]


class _Tasks(Mapping[str, "EvaluationTask"]):
    """Names of tasks, and their cards, imported when asked for."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def __getitem__(self, name: str) -> EvaluationTask:
        if name not in self._places:
            raise EvaluationError(f"no task named {name!r}; {nearest(name, self._places)}")
        module, _, attribute = self._places[name].partition(":")
        found: EvaluationTask = getattr(import_module(f"curate.evaluate.tasks.{module}"), attribute)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places


TASKS: Mapping[str, EvaluationTask] = _Tasks(
    {
        "classify": "classify:CLASSIFY",
        "integrate": "integrate:INTEGRATE",
        "reconstruct": "reconstruct:RECONSTRUCT",
        "perturb": "perturb:PERTURB",
        "perturb-unseen": "perturb:PERTURB_UNSEEN",
    }
)
