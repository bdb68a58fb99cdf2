"""The density ratio by a calibrated classifier that tells reference from corpus."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from curate.build.ratio.calibration import Calibration, calibrate
from curate.build.ratio.features import Features
from curate.threads import mapped

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Inverse strengths of the ridge, of which the one with the least held-out log loss is taken.
INVERSE_PENALTIES = (0.01, 0.1)
N_FOLDS = 5


@dataclass(frozen=True)
class HeldOut:
    """How well a classifier does on cells that neither it nor its calibration was fitted to.

    Attributes
    ----------
    log_loss, brier
        Of the probability that a cell is of the reference, at the numbers of cells that were compared.
    log_loss_of_shares
        What saying the share of the reference for every cell would lose.
    auc
        Area under the ROC curve; 0.5 is guessing. It cannot reach 1 where the corpus holds such cells itself.
    """

    log_loss: float
    log_loss_of_shares: float
    brier: float
    auc: float


@dataclass(frozen=True)
class Classifier:
    """A logistic regression on `Features`, and the calibration of its score."""

    features: Features
    weights: NDArray[np.float64]
    intercept: float
    calibration: Calibration
    inverse_penalty: float
    held_out: HeldOut

    def score(self, cells: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the log odds of cells, before calibration."""
        found: NDArray[np.float64] = self.features(cells) @ self.weights + self.intercept
        return found

    def log_ratio(self, cells: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return log p_reference / p_corpus of cells, finite."""
        return self.calibration(self.score(cells))

    @cached_property
    def notes(self) -> dict[str, int | float | str]:
        """How it does on held-out cells."""
        held_out = self.held_out
        return {
            "held_out_auc": held_out.auc,
            "held_out_log_loss": held_out.log_loss,
            "held_out_log_loss_of_shares": held_out.log_loss_of_shares,
            "held_out_brier": held_out.brier,
            "inverse_penalty": self.inverse_penalty,
        }

    @property
    def notice(self) -> str:
        """Said when the corpus has nothing like the reference."""
        if self.calibration.n_above:
            return ""
        return (
            f"no sampled cell of the corpus looks as much like the reference as any reference cell (held-out "
            f"AUC {self.held_out.auc:.4f}): those least unlike it were chosen; the reference may differ by "
            "batch or assay, or have nothing of its kind here"
        )


def fit_classifier(
    reference: NDArray[np.float32], sample: NDArray[np.float32], *, n_threads: int = 2
) -> Classifier:
    """Fit a classifier that tells reference cells from sampled cells of the corpus.

    Each cell is scored once by a classifier that was not fitted to it (folds); the calibration is fitted to
    those scores, and the classifier that is returned to all cells. The ratio is that of probabilities, over
    that of the numbers of cells.

    Parameters
    ----------
    reference, sample
        float32 [n_reference >= 2, d] and [n, d], finite, in random order.

    References
    ----------
    Bickel, Brückner and Scheffer, Discriminative learning under covariate shift, JMLR 10 (2009), for the
    density ratio by a classifier. Niculescu-Mizil and Caruana, ICML 2005, doi 10.1145/1102351.1102430, for
    calibration on held-out folds.
    """
    from threadpoolctl import threadpool_limits

    features = Features.of(reference, sample)
    x = features(np.concatenate([reference, sample]))
    is_reference = np.arange(len(x)) < len(reference)
    n_folds = min(N_FOLDS, len(reference))
    fold = np.concatenate([np.arange(len(each)) % n_folds for each in (reference, sample)])
    trials = [(c, number) for c in INVERSE_PENALTIES for number in range(n_folds)]

    def held_out_scores(trial: tuple[float, int]) -> NDArray[np.float64]:
        inverse_penalty, number = trial
        weights, intercept = _fit(x[fold != number], is_reference[fold != number], inverse_penalty)
        return np.asarray(x[fold == number] @ weights + intercept)

    scores = {c: np.empty(len(x)) for c in INVERSE_PENALTIES}
    with threadpool_limits(1):
        found = mapped(held_out_scores, trials, n_threads=n_threads)
        for (c, number), own in zip(trials, found, strict=True):
            scores[c][fold == number] = own
        tried = {c: _held_out(each, is_reference, fold) for c, each in scores.items()}
        best = min(tried, key=lambda c: tried[c].log_loss)
        weights, intercept = _fit(x, is_reference, best)
    calibration = calibrate(scores[best][is_reference], scores[best][~is_reference])
    return Classifier(features, weights, intercept, calibration, best, tried[best])


def _fit(
    x: NDArray[np.float64], is_reference: NDArray[np.bool_], inverse_penalty: float
) -> tuple[NDArray[np.float64], float]:
    from sklearn.linear_model import LogisticRegression

    # Newton's method finds the minimum to the last digits, so that nothing hangs on the way there.
    model = LogisticRegression(C=inverse_penalty, solver="newton-cholesky", tol=1e-8, max_iter=200)
    model.fit(x, is_reference)
    return model.coef_[0], float(model.intercept_[0])


def _held_out(
    scores: NDArray[np.float64], is_reference: NDArray[np.bool_], fold: NDArray[np.int64]
) -> HeldOut:
    from sklearn.metrics import roc_auc_score

    log_odds = np.empty(scores.size)
    for number in range(int(fold.max()) + 1):
        other, own = fold != number, fold == number
        fitted = calibrate(scores[other & is_reference], scores[other & ~is_reference])
        n_other = np.bincount(is_reference[other], minlength=2)
        log_odds[own] = fitted(scores[own]) + np.log(n_other[1] / n_other[0])
    share = is_reference.mean()
    # -log p of what each cell is.
    loss = np.logaddexp(0, np.where(is_reference, -log_odds, log_odds))
    probability = np.exp(-np.logaddexp(0, -log_odds))
    return HeldOut(
        log_loss=float(loss.mean()),
        log_loss_of_shares=float(-share * np.log(share) - (1 - share) * np.log(1 - share)),
        brier=float(((probability - is_reference) ** 2).mean()),
        auc=float(roc_auc_score(is_reference, scores)),
    )
