"""The metrics: one dict, whatever the task. Every number carries the version of its metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from curate.errors import EvaluationError
from curate.nearest import nearest

STUDY: Final = "DenAdel et al., Nature Methods 2026, doi 10.1038/s41592-026-03120-y"
CALIBRATED: Final = "Mejia et al. 2025, arXiv 2506.22641; bioRxiv 2025.10.20.683304"
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
        Metric(
            "change_mse",
            "mean over genes of the squared error of the predicted change of expression",
            STUDY,
            higher_is_better=False,
        ),
        Metric("change_pearson", "correlation of true and predicted change over all genes", STUDY),
        Metric("change_pearson_top", "the same over the genes that differ most in truth (Welch's t)", STUDY),
        Metric(
            "change_weighted_mse",
            "squared error of the change, genes weighted by how much they differ in truth",
            CALIBRATED,
            higher_is_better=False,
        ),
        Metric(
            "change_weighted_r2",
            "share of the weighted variance of the change that was predicted",
            CALIBRATED,
        ),
        Metric(
            "direction_accuracy",
            "share of the genes that differ in truth (false discovery rate 5 %) whose sign was predicted",
            "cell-eval, github.com/ArcInstitute/cell-eval",
        ),
        Metric(
            "de_overlap",
            "share of the genes that differ most in truth which are among those predicted to",
            "cell-eval, github.com/ArcInstitute/cell-eval",
        ),
        Metric(
            "discrimination",
            "1 - normalised rank of the right perturbation by cosine of predicted and true changes",
            "Roohani et al., Cell 2025, doi 10.1016/j.cell.2025.06.008",
        ),
        Metric(
            "energy_distance",
            "2 E|a - b| - E|a - a'| - E|b - b'| of control cells + predicted change, and perturbed cells",
            "Szekely & Rizzo 2013, doi 10.1016/j.jspi.2013.03.018",
            higher_is_better=False,
        ),
        Metric(
            "dynamic_range",
            "share of the way from a trivial to the perfect score that a replicate goes; of a metric",
            CALIBRATED,
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
