"""The metrics: one dict, whatever the task. Every number carries the version of its metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from curate.errors import EvaluationError
from curate.nearest import nearest

STUDY: Final = "DenAdel et al., Nature Methods 2026, doi 10.1038/s41592-026-03120-y"
SCTAB: Final = "Fischer et al., Nature Communications 2024, doi 10.1038/s41467-024-51059-5"


@dataclass(frozen=True)
class Metric:
    """What a number means.

    Attributes
    ----------
    version
        Raised whenever the same predictions would give another number.
    higher_is_better
        None of a number that says nothing of better or worse.
    """

    name: str
    summary: str
    reference: str
    version: int = 1
    higher_is_better: bool | None = True


METRICS: Final[dict[str, Metric]] = {
    each.name: each
    for each in (
        Metric("accuracy", "share of cells whose label is right", STUDY),
        Metric("macro_f1", "mean over classes of F1, over all classes true or predicted", STUDY),
        Metric("micro_f1", "F1 over all cells together; with one label a cell the accuracy", STUDY),
        Metric("macro_precision", "mean over classes of precision", STUDY),
        Metric("macro_recall", "mean over classes of recall", STUDY),
        Metric("precision", "of one class", STUDY),
        Metric("recall", "of one class", STUDY),
        Metric("f1", "of one class", STUDY),
        Metric(
            "calibration_error",
            "mean gap of confidence and accuracy, over 15 bins of confidence",
            "Guo et al., ICML 2017, arXiv 1706.04599",
            higher_is_better=False,
        ),
        Metric("ontology_accuracy", "accuracy; a predicted descendant of the true type is right", SCTAB),
        Metric("ontology_macro_f1", "macro-F1; a predicted descendant of the true type is right", SCTAB),
        Metric(
            "hop_distance",
            "mean number of is_a steps between true and predicted type",
            "Cell Ontology, shortest undirected path",
            higher_is_better=False,
        ),
        Metric(
            "epochs",
            "passes over the cells of fine-tuning, until the validation loss was best",
            "early stopping",
            higher_is_better=None,
        ),
    )
}


def metric(name: str) -> Metric:
    """Return a metric by its name.

    Raises
    ------
    EvaluationError
        When there is none.
    """
    if name not in METRICS:
        raise EvaluationError(f"no metric named {name!r}; {nearest(name, METRICS)}")
    return METRICS[name]
