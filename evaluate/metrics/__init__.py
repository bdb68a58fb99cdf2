"""The metrics: one dict, whatever the task. Every number carries the version of its metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from curate.errors import EvaluationError
from curate.nearest import nearest

STUDY: Final = "DenAdel et al., Nature Methods 2026, doi 10.1038/s41592-026-03120-y"
SCIB: Final = "Luecken et al., Nature Methods 2022, doi 10.1038/s41592-021-01336-8"
LISI: Final = "Korsunsky et al., Nature Methods 2019, doi 10.1038/s41592-019-0619-0"
KBET: Final = "Büttner et al., Nature Methods 2019, doi 10.1038/s41592-018-0254-1"
BRAS: Final = "Rautenstrauch & Ohler, Nature Biotechnology 2025, doi 10.1038/s41587-025-02743-4"
LINEAR: Final = "ridge regression from the vectors; Hoerl & Kennard 1970, doi 10.1080/00401706.1970.10488634"
OWN: Final = "the loss that the model was trained with, as in its validation"
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
        Metric("macro_recall", "mean of recall over the classes that have cells", STUDY, version=2),
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
        Metric("isolated_labels", "silhouette of the labels that are in the fewest batches, 0 to 1", SCIB),
        Metric("kmeans_nmi", "normalised mutual information of labels and k-means clusters", SCIB),
        Metric("kmeans_ari", "adjusted Rand index of labels and k-means clusters", SCIB),
        Metric("silhouette_label", "mean silhouette of labels, 0 to 1", SCIB),
        Metric("clisi", "how much the neighbours of the median cell are of its label", LISI),
        Metric(
            "bras", "1 less the absolute silhouette of batches in labels, against all other batches", BRAS
        ),
        Metric("ilisi", "how much all batches are among the neighbours of the median cell", LISI),
        Metric("kbet", "share of cells near which batches are as in all cells of the label", KBET),
        Metric("graph_connectivity", "share of a label's cells that its largest connected part has", SCIB),
        Metric("pcr_comparison", "how much less variance batches explain than before integration", KBET),
        Metric("bio_conservation", "mean of the metrics of what is kept", SCIB),
        Metric("batch_correction", "mean of the metrics of what is mixed", SCIB),
        Metric("integration", "0.6 of bio_conservation and 0.4 of batch_correction", SCIB),
        Metric("legacy:nmi", "NMI of labels and Louvain clusters at the best of 20 resolutions", STUDY),
        Metric("legacy:ari", "adjusted Rand index of labels and these clusters", STUDY),
        Metric("legacy:asw_label", "mean silhouette of labels, 0 to 1", STUDY),
        Metric("legacy:graph_connectivity", "connected share of a label's cells, undirected", STUDY),
        Metric("legacy:asw_batch", "mean silhouette of batches, 0 to 1", STUDY, higher_is_better=False),
        Metric("legacy:asw_label_batch", "1 less the absolute silhouette of batches in labels", STUDY),
        Metric("legacy:pcr_batch", "share of variance that batches explain", STUDY, higher_is_better=False),
        Metric("legacy:avg_bio", "mean of legacy:nmi, legacy:ari and legacy:asw_label", STUDY),
        Metric("expression_r2", "share of the variance of held-out cells' genes that vectors tell", LINEAR),
        Metric("decoder_r2", "1 less the model's own squared error over that of the mean profile", OWN),
        Metric("loss:pca", "mean squared error of scaled expression", OWN, higher_is_better=False),
        Metric("loss:elbo", "scVI's negative evidence lower bound of a cell", OWN, higher_is_better=False),
        Metric("loss:elbo:reconstruction", "its part of the counts", OWN, higher_is_better=False),
        Metric("loss:elbo:kl", "its part of the latent space", OWN, higher_is_better=False),
        Metric("loss:masked", "mean squared error of hidden genes", OWN, higher_is_better=False),
        Metric("loss:masked-tokens", "cross-entropy of hidden genes", OWN, higher_is_better=False),
        Metric("loss:contrastive", "weighted sum of its two parts", OWN, higher_is_better=False),
        Metric("loss:contrastive:contrast", "that of types", OWN, higher_is_better=False),
        Metric("loss:contrastive:reconstruction", "mean squared error", OWN, higher_is_better=False),
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
