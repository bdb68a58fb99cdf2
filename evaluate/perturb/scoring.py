"""Methods tried on the folds of a screen, and their scores summed up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from threadpoolctl import threadpool_limits

from curate.evaluate.perturb.cases import PERFECT, Case
from curate.evaluate.perturb.folds import rounds_of
from curate.evaluate.results import Score

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from curate.evaluate.perturb.cases import Screen
    from curate.evaluate.perturb.folds import Fold
    from curate.evaluate.perturb.predicted import Method
    from curate.evaluate.results import Setting

REPLICATE, INTERPOLATED, TRAINING_MEAN = "replicate", "replicate-interpolated", "training-mean"
"""The positive controls, and the baseline that the second leans on."""
METRIC_NAMES: Final = tuple(PERFECT)


@dataclass(frozen=True, eq=False)
class Trial:
    """Scores of one method.

    Attributes
    ----------
    pairs
        int64 [n_pairs, 2], (site, perturbation), ascending.
    values
        float64 [n_pairs, n_metrics], means over both halves as the truth; NaN where not defined.
    """

    pairs: NDArray[np.int64]
    values: NDArray[np.float64]


def tried(
    screen: Screen, folds: Sequence[Fold], methods: Mapping[str, Method], *, with_replicate: bool = False
) -> dict[str, Trial]:
    """Try methods on every fold, each half of the held-out cells as the truth in turn.

    Parameters
    ----------
    with_replicate
        Whether the other half of the cells is scored too, as the methods `REPLICATE` and `INTERPOLATED`; the
        method `TRAINING_MEAN` must be among `methods` then.
    """
    names = [*methods, *([REPLICATE, INTERPOLATED] if with_replicate else [])]
    pairs = np.concatenate([fold.wanted for fold in folds])
    order = np.lexsort(pairs.T[::-1])
    place_of = {tuple(pair): place for place, pair in enumerate(pairs[order].tolist())}
    held = {name: np.full((len(pairs), 2, len(METRIC_NAMES)), np.nan) for name in names}
    # One thread: products of matrices would differ in their last digits with the number of threads.
    with threadpool_limits(1):
        for fold in folds:
            for case, half, scores in _scored(screen, fold, methods, with_replicate=with_replicate):
                for name, found in scores.items():
                    held[name][place_of[case], half] = [found.get(metric, np.nan) for metric in METRIC_NAMES]
    return {name: Trial(pairs[order], _mean(values, axis=1)) for name, values in held.items()}


def _scored(
    screen: Screen, fold: Fold, methods: Mapping[str, Method], *, with_replicate: bool
) -> Iterator[tuple[tuple[int, int], int, dict[str, dict[str, float]]]]:
    """Yield the pair, the half that is the truth, and the scores of each method."""
    for step in rounds_of(fold, screen.moments, screen.design):
        predictors = {name: method(step.known) for name, method in methods.items()}
        for half in step.halves:
            for site in np.unique(fold.wanted[:, 0]).tolist():
                place = screen.place(site, half)
                for number in fold.wanted[fold.wanted[:, 0] == site, 1].tolist():
                    case = Case.of(screen, place, number)
                    asked = case.asked
                    predicted = {name: predict(asked) for name, predict in predictors.items()}
                    scores = {name: case.score(each) for name, each in predicted.items()}
                    if with_replicate:
                        scores[REPLICATE] = case.replicate()
                        scores[INTERPOLATED] = case.interpolated(predicted[TRAINING_MEAN])
                    yield (site, number), half, scores


def summed(
    screen: Screen,
    trial: Trial,
    method: str,
    *,
    setting: Setting,
    columns: Mapping[str, str | None],
) -> list[Score]:
    """Return the mean over pairs, and over those of each perturbation, context and stratum.

    All pairs weigh alike. Parts of which there is one only are left out.

    Parameters
    ----------
    columns
        Names of the columns "perturbation", "context" and "stratum".
    """
    design = screen.design
    sites, numbers = trial.pairs.T
    parts = {"": np.ones(len(trial.pairs), bool)}
    names = {
        "perturbation": np.array(design.perturbations)[numbers],
        "context": np.array(design.contexts)[sites],
        "stratum": np.array(design.strata)[sites],
    }
    for kind, labels in names.items():
        values = np.unique(labels).tolist()
        if len(values) > 1:
            parts |= {f"{columns[kind]}={value}": labels == value for value in values}
    n_cells = screen.moments.n_cells.sum(axis=2)[sites, numbers]
    found = []
    for part, chosen in parts.items():
        means = _mean(trial.values[chosen], axis=0)
        found += [
            Score(setting, method, name, float(value), int(n_cells[chosen].sum()), part)
            for name, value in zip(METRIC_NAMES, means, strict=True)
            if np.isfinite(value)
        ]
    return found


def dynamic_ranges(scores: Sequence[Score], negative: str) -> list[Score]:
    """Return how far a replicate goes from a negative control towards the perfect score, for each metric.

    (replicate - negative) / (perfect - negative): near 1, the metric tells a good prediction from one that
    says nothing; at 0 or under, it cannot, and no model should be judged by it on these data. The dynamic
    range fraction of bioRxiv 2025.10.20.683304. The part is "metric=NAME".

    Parameters
    ----------
    scores
        With those of the replicate and of `negative` over all pairs.
    """
    whole = {(each.method, each.metric): each for each in scores if each.part == ""}
    found = []
    for name, perfect in PERFECT.items():
        low, high = whole.get((negative, name)), whole.get((REPLICATE, name))
        if low is None or high is None or low.value == perfect:
            continue
        value = (high.value - low.value) / (perfect - low.value)
        found.append(Score("zero-shot", negative, "dynamic_range", value, low.n_cells, f"metric={name}"))
    return found


def _mean(values: NDArray[np.float64], *, axis: int) -> NDArray[np.float64]:
    """Return the mean of what is defined; NaN where nothing is."""
    defined = np.isfinite(values)
    n = defined.sum(axis=axis)
    total = np.where(defined, values, 0.0).sum(axis=axis)
    return np.asarray(np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0))
