"""From labelled cells to the labels of others."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from curate.errors import EvaluationError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

N_NEIGHBORS: Final = 5
"""Of the study's scripts."""


@dataclass(frozen=True, eq=False)
class Guess:
    """What a probe says of cells.

    Attributes
    ----------
    labels
        [n_cells].
    confidence
        float64 [n_cells], the probability it gives to the label; None where it gives none.
    """

    labels: NDArray[np.str_]
    confidence: NDArray[np.float64] | None


def knn(
    train: NDArray[np.floating],
    labels: NDArray[np.str_],
    test: NDArray[np.floating],
    *,
    n_neighbors: int = N_NEIGHBORS,
) -> Guess:
    """Take the most frequent label of the nearest training cells (Euclidean).

    Parameters
    ----------
    train, test
        [n, d] each.
    labels
        [n_train].

    Raises
    ------
    EvaluationError
        When there are fewer training cells than neighbours.
    """
    if len(train) < n_neighbors:
        raise EvaluationError(f"{len(train)} labelled cells for {n_neighbors} neighbours; label more")
    probe = KNeighborsClassifier(n_neighbors=n_neighbors).fit(train, labels)
    return _most_probable(probe.predict_proba(test), probe.classes_)


def centroid(train: NDArray[np.floating], labels: NDArray[np.str_], test: NDArray[np.floating]) -> Guess:
    """Take the label whose training cells have the nearest mean (Euclidean); see `knn` for the shapes."""
    _check_classes(labels)
    with warnings.catch_warnings():
        # A dimension that does not vary within classes weighs nothing in the distances that are taken here.
        warnings.filterwarnings("ignore", message="self.within_class_std_dev_", category=UserWarning)
        probe = NearestCentroid().fit(train, labels)
    return Guess(np.asarray(probe.predict(test), np.str_), None)


def logistic(train: NDArray[np.floating], labels: NDArray[np.str_], test: NDArray[np.floating]) -> Guess:
    """Take the most probable label by multinomial logistic regression on standardised dimensions.

    L2 penalty of scikit-learn's default strength; see `knn` for the shapes.
    """
    _check_classes(labels)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2_000)).fit(train, labels)
    return _most_probable(probe.predict_proba(test), probe.classes_)


def logistic_on_genes(train: csr_array, labels: NDArray[np.str_], test: csr_array) -> Guess:
    """Take the most probable label by multinomial logistic regression on log-normalised expression.

    Baseline of DenAdel et al. 2026. L2 penalty of scikit-learn's default strength; genes are not scaled, so
    that matrices stay sparse.

    Parameters
    ----------
    train, test
        CSR [n, n_genes] each.
    labels
        [n_train].
    """
    _check_classes(labels)
    with warnings.catch_warnings():
        # As near as so many steps come.
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe = LogisticRegression(max_iter=200).fit(train, labels)
    return _most_probable(probe.predict_proba(test), probe.classes_)


def majority(
    train: NDArray[np.floating] | csr_array, labels: NDArray[np.str_], test: NDArray[np.floating] | csr_array
) -> Guess:
    """Take the most frequent label of the training cells for all: the trivial baseline."""
    names, counts = np.unique(labels, return_counts=True)
    share = counts.max() / len(labels)
    return Guess(np.full(test.shape[0], names[counts.argmax()]), np.full(test.shape[0], share))


def _check_classes(labels: NDArray[np.str_]) -> None:
    if np.unique(labels).size < 2:
        raise EvaluationError(f"one class only ({labels[0]}); a classifier needs two")


def _most_probable(probabilities: NDArray[np.float64], classes: NDArray[np.str_]) -> Guess:
    best = probabilities.argmax(axis=1)
    return Guess(np.asarray(classes[best], np.str_), probabilities[np.arange(len(best)), best])
