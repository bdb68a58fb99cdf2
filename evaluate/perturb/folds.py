"""What is held out: one context after the other, or some of the perturbations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from curate.errors import EvaluationError
from curate.evaluate.perturb.design import CONTROL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.evaluate.perturb.changes import Moments
    from curate.evaluate.perturb.design import Design

HoldOut = Literal["context", "perturbation"]


@dataclass(frozen=True, eq=False)
class Fold:
    """Pairs of (site, perturbation) to learn from, and pairs to predict.

    Attributes
    ----------
    name
        What is held out.
    known, wanted
        int64 [n, 2].
    sites_are_new
        Whether no perturbed cell of the sites to predict is learned from.
    """

    name: str
    known: NDArray[np.int64]
    wanted: NDArray[np.int64]
    sites_are_new: bool


def folds_of(
    design: Design, hold_out: HoldOut, *, n_folds: int, rng: np.random.Generator
) -> tuple[list[Fold], tuple[str, ...]]:
    """Return the folds, each pair wanted at most once, and sentences on the pairs that no fold can predict.

    Parameters
    ----------
    hold_out
        "context": each context in turn, with all its strata. "perturbation": each perturbation once, in
        `n_folds` groups by lot (fewer where there are fewer), at all sites.

    Raises
    ------
    EvaluationError
        When there is one context, or one perturbation, only; or no perturbation occurs in two contexts.
    """
    if hold_out == "context":
        return _by_context(design)
    present = np.unique(design.pairs[:, 1])
    if present.size < 2:
        raise EvaluationError(
            f"{present.size} perturbation ({design.perturbations[present[0]]}); holding out perturbations "
            "needs two; hold out contexts (perturb)"
        )
    groups = np.array_split(rng.permutation(present), min(n_folds, present.size))
    held = [np.isin(design.pairs[:, 1], group) for group in groups]
    return [
        Fold(f"perturbations {number} of {len(groups)}", design.pairs[~each], design.pairs[each], False)
        for number, each in enumerate(held, 1)
    ], ()


def _by_context(design: Design) -> tuple[list[Fold], tuple[str, ...]]:
    context = np.array(design.contexts)[design.pairs[:, 0]]
    names = np.unique(context).tolist()
    if len(names) < 2:
        raise EvaluationError(
            f"one context only ({names[0]}); holding out a context needs two: name another column "
            "(context_column), or hold out perturbations (perturb-unseen)"
        )
    folds, notices = [], []
    for name in names:
        held = context == name
        known = design.pairs[~held]
        met = np.isin(design.pairs[:, 1], known[:, 1])
        lost = [design.perturbations[number] for number in design.pairs[held & ~met, 1].tolist()]
        if lost:
            notices.append(f"{name} alone has {', '.join(sorted(set(lost)))}; not predicted there")
        if (held & met).any():
            folds.append(Fold(name, known, design.pairs[held & met], True))
    if not folds:
        raise EvaluationError(
            f"no perturbation occurs in two of the {len(names)} contexts; hold them out (perturb-unseen)"
        )
    return folds, tuple(notices)


@dataclass(frozen=True, eq=False)
class Known:
    """All that a method may learn from.

    Attributes
    ----------
    contexts, strata
        Of each site, as in `Design`.
    pairs
        int64 [n_known, 2], (site, perturbation).
    changes
        float64 [n_known, n_genes], the change of each.
    n_cells
        int64 [n_known], perturbed cells of each.
    controls
        Rows of the control cells that may be seen, of each site of `pairs`.
    control_means
        float64 [n_genes], of the same.
    perturbations_are_new
        Whether what will be asked for are perturbations that no pair has.
    """

    contexts: tuple[str, ...]
    strata: tuple[str, ...]
    pairs: NDArray[np.int64]
    changes: NDArray[np.float64]
    n_cells: NDArray[np.int64]
    controls: dict[int, NDArray[np.int64]]
    control_means: dict[int, NDArray[np.float64]]
    perturbations_are_new: bool

    def with_perturbation(self, perturbation: int) -> NDArray[np.int64]:
        """Return the rows of `pairs` with a perturbation; all rows when it is new."""
        found = np.flatnonzero(self.pairs[:, 1] == perturbation)
        return found if found.size else np.arange(len(self.pairs))


@dataclass(frozen=True, eq=False)
class Asked:
    """One response to predict.

    Attributes
    ----------
    site, perturbation
        Which.
    controls
        Rows of the control cells to predict from.
    control_mean
        float64 [n_genes], of the same.
    """

    site: int
    perturbation: int
    controls: NDArray[np.int64]
    control_mean: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Round:
    """What is known, and which halves of the wanted pairs are predicted from it."""

    known: Known
    halves: tuple[int, ...]


def rounds_of(fold: Fold, moments: Moments, design: Design) -> list[Round]:
    """Return what is known of a fold.

    The truth is one half of the cells of a wanted pair (see `Design.half`), perturbed and control cells
    alike, then the other. It is predicted from controls of the half that is not the truth, and changes that
    are learned from at the same site are against these controls too: truth and prediction share no cell, not
    even the controls that both are compared with. Where all sites are new, one round does for both halves.
    """
    if fold.sites_are_new:
        return [Round(_known(fold, moments, design, None), (0, 1))]
    return [Round(_known(fold, moments, design, 1 - half), (half,)) for half in (0, 1)]


def asked_of(pair: tuple[int, int], half: int, moments: Moments, design: Design) -> Asked:
    """Return what is given to predict a pair when `half` is the truth."""
    site, perturbation = pair
    other = 1 - half
    return Asked(site, perturbation, design.controls(site, other), moments.of(site, CONTROL, other).mean)


def _known(fold: Fold, moments: Moments, design: Design, half: int | None) -> Known:
    """Return what is known of a fold, with the controls of one half, or all."""
    pairs = fold.known
    sites = np.unique(pairs[:, 0]).tolist()
    return Known(
        contexts=design.contexts,
        strata=design.strata,
        pairs=pairs,
        changes=np.array([moments.change(*pair, control_half=half) for pair in pairs.tolist()]),
        n_cells=moments.n_cells.sum(axis=2)[pairs[:, 0], pairs[:, 1]],
        controls={site: design.controls(site, half) for site in sites},
        control_means={site: moments.of(site, CONTROL, half).mean for site in sites},
        perturbations_are_new=not fold.sites_are_new,
    )
