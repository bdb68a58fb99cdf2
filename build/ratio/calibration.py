"""From a classifier's score to a density ratio: a step function fitted to held-out scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Calibration:
    """log p_reference / p_corpus as a function of a score that never falls.

    Attributes
    ----------
    scores, logs
        float64 [n_knots], ascending: the ends of the steps and their values, straight lines between.
    start
        The score of the lowest reference cell. Below it nothing was seen of the reference.
    below
        Where the function stands just below `start`, falling by 1 for each 1 of score.
    n_above
        Corpus cells from `start` on.
    """

    scores: NDArray[np.float64]
    logs: NDArray[np.float64]
    start: float
    below: float
    n_above: int

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return log ratios of scores, all finite."""
        found = np.interp(scores, self.scores, self.logs)
        is_below = scores < self.start
        found[is_below] = np.minimum(self.logs[0], self.below + (scores[is_below] - self.start))
        return found


def calibrate(reference: NDArray[np.float64], corpus: NDArray[np.float64]) -> Calibration:
    """Fit a calibration by isotonic regression.

    Parameters
    ----------
    reference, corpus
        float64 [n_reference] and [n_corpus], log odds by a classifier that was not fitted to these cells.

    Notes
    -----
    A step holds R reference cells and C cells of the corpus; its ratio is (R / n_reference) / (C / n_corpus),
    with 1/2 for a C of 0. Isotonic regression says 0 below the lowest reference cell; as far as these samples
    know, half a cell of the reference may lie there. That half is shared among the corpus cells there by the
    odds of the classifier itself, so that every ratio is positive and those that look least unlike the
    reference come first when more cells are asked for than are like it.

    References
    ----------
    Zadrozny and Elkan, Transforming classifier scores into accurate multiclass probability estimates, KDD
    2002, doi 10.1145/775047.775151.
    """
    start = float(reference.min())
    under = corpus[corpus < start]
    first, last, n_of_reference, n_of_corpus = _steps(reference, corpus[corpus >= start])
    share = np.maximum(n_of_corpus, 0.5) / corpus.size
    logs = np.maximum.accumulate(np.log(n_of_reference / reference.size) - np.log(share))
    scores = np.stack([first, last], axis=1).ravel()
    is_knot = np.append(True, np.diff(scores) > 0)
    below = logs[0]
    if under.size:
        odds = np.exp(under - start).sum()
        # All scores may lie so far below that none has odds to speak of.
        below = np.log(0.5 * corpus.size / reference.size) - np.log(max(odds, np.finfo(np.float64).tiny))
    return Calibration(
        scores[is_knot], np.repeat(logs, 2)[is_knot], start, float(below), corpus.size - under.size
    )


def _steps(
    reference: NDArray[np.float64], corpus: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return first and last score of each step, and the cells of reference and corpus that it holds."""
    from sklearn.isotonic import isotonic_regression

    scores, place = np.unique(np.concatenate([reference, corpus]), return_inverse=True)
    n_of_reference = np.bincount(place[: reference.size], minlength=scores.size)
    n_of_both = np.bincount(place, minlength=scores.size)
    level = isotonic_regression(n_of_reference / n_of_both, sample_weight=n_of_both)
    starts = np.flatnonzero(np.append(True, np.diff(level) > 0))
    held = np.add.reduceat(n_of_reference, starts)
    both = np.add.reduceat(n_of_both, starts)
    ends = np.append(starts[1:], scores.size) - 1
    return scores[starts], scores[ends], held, both - held
