"""Predictions that need no representation of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from sklearn.linear_model import RidgeCV

from curate.evaluate.perturb.predicted import Predicted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.evaluate.perturb.folds import Asked, Known
    from curate.evaluate.perturb.predicted import Method, Predictor

PENALTIES: Final = tuple(10.0**power for power in range(-2, 3))
MIN_CHOICE: Final = 4
"""Pairs under which a penalty is not chosen by leaving one out, but 1."""


def no_change(known: Known) -> Predictor:
    """Perturbed cells are as control cells are: the trivial baseline."""
    nothing = np.zeros(known.changes.shape[1])
    return lambda asked: Predicted.alike(nothing)


def training_mean(known: Known) -> Predictor:
    """The mean change by the same perturbation in the training contexts.

    Of the same stratum where it has been seen there. For a perturbation that is new: the mean change by the
    others at the same site; where the site is new too, at all sites.
    """

    def predict(asked: Asked) -> Predicted:
        pairs = known.with_perturbation(asked.perturbation)
        for near in _near(known, pairs, asked):
            if near.size:
                return Predicted.alike(known.changes[near].mean(axis=0))
        return Predicted.alike(known.changes[pairs].mean(axis=0))

    return predict


def additive(known: Known) -> Predictor:
    """Mean + effect of the context + of the stratum + of the perturbation, by ridge regression.

    Pairs weigh by their cells; the penalty is chosen among five by leaving one pair out, or is 1 where there
    are fewer than four pairs. What is new has effect 0.
    """
    terms = [_terms(known, site, number) for site, number in known.pairs.tolist()]
    columns = {term: column for column, term in enumerate(sorted({each for row in terms for each in row}))}
    design = np.zeros((len(terms), len(columns)))
    for row, held in enumerate(terms):
        design[row, [columns[term] for term in held]] = 1.0
    penalties = PENALTIES if len(terms) >= MIN_CHOICE else (1.0, 1.0)
    if len(terms) == 1:
        return training_mean(known)
    model = RidgeCV(alphas=penalties).fit(
        design, known.changes, sample_weight=known.n_cells / known.n_cells.mean()
    )

    def predict(asked: Asked) -> Predicted:
        row = np.zeros((1, len(columns)))
        held = _terms(known, asked.site, asked.perturbation)
        row[0, [columns[each] for each in held if each in columns]] = 1.0
        return Predicted.alike(np.asarray(model.predict(row))[0])

    return predict


def control_knn(known: Known, *, n_neighbors: int = 1) -> Predictor:
    """The mean change at the training sites whose control cells are most alike.

    Alike are sites of small Euclidean distance between the means of their control cells.
    """

    def predict(asked: Asked) -> Predicted:
        pairs = known.with_perturbation(asked.perturbation)
        sites = np.unique(known.pairs[pairs, 0])
        away = [np.linalg.norm(known.control_means[site] - asked.control_mean) for site in sites.tolist()]
        nearest = sites[np.argsort(away, kind="stable")[:n_neighbors]]
        chosen = pairs[np.isin(known.pairs[pairs, 0], nearest)]
        return Predicted.alike(known.changes[chosen].mean(axis=0))

    return predict


BASELINES: Final[dict[str, Method]] = {
    "no-change": no_change,
    "training-mean": training_mean,
    "additive": additive,
    "control-knn": control_knn,
}


def _near(known: Known, pairs: NDArray[np.int64], asked: Asked) -> list[NDArray[np.int64]]:
    """Return those of the same site, and those of the same stratum."""
    sites = known.pairs[pairs, 0]
    alike = np.array([known.strata[site] == known.strata[asked.site] for site in sites.tolist()], bool)
    return [pairs[sites == asked.site], pairs[alike]]


def _terms(known: Known, site: int, perturbation: int) -> list[tuple[str, str]]:
    held = [("context", known.contexts[site]), ("perturbation", str(perturbation))]
    return [*held, ("stratum", known.strata[site])] if known.strata[site] else held
