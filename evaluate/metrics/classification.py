"""How well labels were predicted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import networkx as nx
import numpy as np
import polars as pl
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from curate.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from curate.ontology import Ontology

VERSION: Final = 1
N_BINS: Final = 15


@dataclass(frozen=True, eq=False)
class Predictions:
    """Labels, true and predicted.

    Attributes
    ----------
    classes
        All labels that occur, ascending.
    truth, predicted
        int64 [n_cells], numbers in `classes`.
    confidence
        float64 [n_cells], the probability that the classifier gave to what it predicted; None where it gives
        none.
    """

    classes: tuple[str, ...]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float64] | None = None

    @classmethod
    def of(
        cls,
        truth: Sequence[str],
        predicted: Sequence[str],
        *,
        confidence: NDArray[np.float64] | None = None,
    ) -> Predictions:
        """Number the labels of cells.

        Raises
        ------
        EvaluationError
            When there is no cell, or the lengths differ.
        """
        if not len(truth) or len(truth) != len(predicted):
            raise EvaluationError(
                f"{len(truth):,} true and {len(predicted):,} predicted labels; give as many"
            )
        classes = tuple(sorted({*truth, *predicted}))
        numbers = {name: number for number, name in enumerate(classes)}
        return cls(
            classes,
            np.array([numbers[name] for name in truth], np.int64),
            np.array([numbers[name] for name in predicted], np.int64),
            confidence,
        )

    def forgiving(self, ontology: Ontology, term_of: Callable[[str], str | None]) -> Predictions:
        """Return the predictions with every predicted descendant of the true type taken as the true type.

        An ancestor of it stays wrong, as in scTab (Fischer et al., Nature Communications 2024, doi
        10.1038/s41467-024-51059-5).

        Parameters
        ----------
        term_of
            The id in the Cell Ontology of a label; None for a label that has none, which only itself fits.
        """
        terms = [term_of(name) for name in self.classes]
        below = np.zeros((len(terms), len(terms)), bool)
        for i, kind in enumerate(terms):
            if kind is None or kind not in ontology:
                continue
            descendants = ontology.descendants(kind)
            below[i] = [term in descendants for term in terms]
        right = below[self.truth, self.predicted]
        return Predictions(
            self.classes, self.truth, np.where(right, self.truth, self.predicted), self.confidence
        )


def accuracy(held: Predictions) -> float:
    """Return the share of cells whose label is right."""
    return float(accuracy_score(held.truth, held.predicted))


def macro_f1(held: Predictions) -> float:
    """Return the mean over classes of F1; a class that is never predicted has 0.

    Over all classes that occur among truths or predictions, as in the study (sklearn's default).
    """
    return float(f1_score(held.truth, held.predicted, average="macro", zero_division=0.0))


def micro_f1(held: Predictions) -> float:
    """Return F1 over all cells together; with one label a cell this is the accuracy."""
    return float(f1_score(held.truth, held.predicted, average="micro", zero_division=0.0))


def macro_precision(held: Predictions) -> float:
    """Return the mean over classes of precision; 0 for a class that is never predicted."""
    return float(_by_class(held)[0].mean())


def macro_recall(held: Predictions) -> float:
    """Return the mean of recall over the classes that have cells; one only predicted has no recall."""
    _, recall, _, n_cells = _by_class(held)
    return float(recall[n_cells > 0].mean())


def calibration_error(held: Predictions) -> float:
    """Return the expected calibration error: mean gap of confidence and accuracy, over 15 bins of confidence.

    Guo et al., ICML 2017, arXiv 1706.04599.

    Raises
    ------
    EvaluationError
        When the classifier gave no confidence.
    """
    if held.confidence is None:
        raise EvaluationError("the classifier gives no probabilities; its calibration is not defined")
    bins = np.minimum((held.confidence * N_BINS).astype(np.int64), N_BINS - 1)
    right = (held.truth == held.predicted).astype(np.float64)
    gaps = np.bincount(bins, held.confidence - right, minlength=N_BINS)
    return float(np.abs(gaps).sum() / right.size)


def hop_distance(
    held: Predictions, ontology: Ontology, term_of: Callable[[str], str | None]
) -> tuple[float, int]:
    """Return the mean number of is_a steps, up or down, between the true and the predicted type.

    Parameters
    ----------
    term_of
        The id in the Cell Ontology of a label, or None.

    Returns
    -------
    mean, n_cells
        Over the cells whose two labels are types of the ontology with a common ancestor; NaN of none.
    """
    terms = [term_of(name) for name in held.classes]
    graph = nx.Graph()
    for kind in {each for each in terms if each is not None and each in ontology}:
        for each in {kind, *ontology.ancestors(kind)}:
            if each in ontology:
                graph.add_node(each)
                graph.add_edges_from((each, parent) for parent in ontology.parents(each))
    steps = np.full((len(terms), len(terms)), np.nan)
    for i, term in enumerate(terms):
        if term in graph:
            lengths = nx.single_source_shortest_path_length(graph, term)
            steps[i] = [lengths.get(other, np.nan) for other in terms]
    found = steps[held.truth, held.predicted]
    is_known = np.isfinite(found)
    return (float(found[is_known].mean()) if is_known.any() else float("nan")), int(is_known.sum())


OVERALL: Final[dict[str, Callable[[Predictions], float]]] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "micro_f1": micro_f1,
    "macro_precision": macro_precision,
    "macro_recall": macro_recall,
}


def by_class(held: Predictions) -> pl.DataFrame:
    """Return a row a class: label, precision, recall, f1, n_cells (true ones)."""
    precision, recall, f1, n_cells = _by_class(held)
    present = np.unique(np.concatenate([held.truth, held.predicted]))
    return pl.DataFrame(
        {
            "label": [held.classes[number] for number in present.tolist()],
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "n_cells": n_cells.astype(np.int64),
        }
    )


def _by_class(held: Predictions) -> tuple[NDArray[np.float64], ...]:
    found: tuple[NDArray[np.float64], ...] = precision_recall_fscore_support(
        held.truth, held.predicted, zero_division=0.0
    )
    return found
