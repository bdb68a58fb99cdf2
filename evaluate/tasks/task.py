"""What every task of evaluation is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from curate.documents import Document, first_fault
from curate.errors import EvaluationError
from curate.evaluate.metrics import metric
from curate.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from curate.evaluate.results import Score


class TaskSettings(Document):
    """Settings of a task; all of them enter the id of its results."""


@dataclass(frozen=True)
class EvaluationTask:
    """A task: how a representation of cells is tried.

    Attributes
    ----------
    name
        Its key in TASKS.
    settings
        Their type; frozen.
    evaluate
        ``(subject, data, settings, *, seed) -> scores`` of one representation.
    baselines
        ``(data, settings, *, seed) -> scores`` of methods that need no representation; they stand in tables
        under the names of their methods.
    metrics
        Keys of METRICS that it may give.
    headline
        Those that tables show, the first of which stands for the task.
    objectives
        Metrics that are the loss of a model's own training, by objective, its sum before its parts; tables
        show the first that a row has, by its name, for they cannot be compared.
    trivial, replicate
        Methods that scores are normalised by; see `curate.evaluate.results.normalised`.
    on_representations
        Whether hvg and pca of the evaluation data are tried too.
    """

    name: str
    summary: str
    reference: str
    settings: type[TaskSettings]
    evaluate: Callable[..., list[Score]]
    baselines: Callable[..., list[Score]]
    metrics: tuple[str, ...]
    headline: tuple[str, ...]
    trivial: str
    replicate: str | None = None
    on_representations: bool = True
    objectives: tuple[str, ...] = ()

    def versions(self) -> dict[str, int]:
        """Return the versions of its metrics."""
        return {name: metric(name).version for name in self.metrics}

    def with_changes(self, changes: Mapping[str, Any]) -> TaskSettings:
        """Return its settings with some changed.

        Raises
        ------
        EvaluationError
            For a setting that the task does not have, naming the nearest, or a value out of range.
        """
        fields = self.settings.model_fields
        for name in changes:
            if name not in fields:
                raise EvaluationError(f"task {self.name} has no setting {name!r}; {nearest(name, fields)}")
        try:
            return self.settings.model_validate(dict(changes), strict=False)
        except ValidationError as fault:
            where, what = first_fault(fault)
            given = changes.get(where.partition(".")[0])
            raise EvaluationError(f"setting {where} of task {self.name}: {what}; given {given!r}") from None
