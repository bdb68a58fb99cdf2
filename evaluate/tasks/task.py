"""What every task of evaluation is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.documents import Document
from curate.evaluate.metrics import metric

if TYPE_CHECKING:
    from collections.abc import Callable

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

    def versions(self) -> dict[str, int]:
        """Return the versions of its metrics."""
        return {name: metric(name).version for name in self.metrics}
