"""The task `perturb`: the response to a perturbation, where it has not been seen.

1. Cells are sorted into controls and perturbed cells of each context, and cut in two halves by lot.
2. A context, or some perturbations, are held out; methods learn from what is left.
3. Each half of the cells that are held out is the truth in turn; the other half of their controls is what is
   predicted from, and the other half of the perturbed cells is the positive control, as it is
   (`replicate`) and with its noise shrunk (`replicate-interpolated`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Final, Literal

import numpy as np
from pydantic import Field, field_validator

from curate.documents import Listed
from curate.errors import EvaluationError
from curate.evaluate.data import logged
from curate.evaluate.perturb.baselines import BASELINES, control_knn
from curate.evaluate.perturb.cases import PERFECT, Screen
from curate.evaluate.perturb.changes import moments_of
from curate.evaluate.perturb.design import design_of
from curate.evaluate.perturb.folds import folds_of
from curate.evaluate.perturb.heads import HEADS
from curate.evaluate.perturb.scoring import REPLICATE, TRAINING_MEAN, dynamic_ranges, summed, tried
from curate.evaluate.tasks.task import EvaluationTask, TaskSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from curate.evaluate.data import EvaluationData
    from curate.evaluate.perturb.folds import Fold, HoldOut
    from curate.evaluate.perturb.predicted import Method
    from curate.evaluate.results import Score, Setting
    from curate.evaluate.subject import Subject

HeadName = Literal["knn", "linear", "mlp"]
TRIVIAL: Final = "no-change"
SETTINGS: Final[dict[str, Setting]] = {"knn": "zero-shot", "linear": "head", "mlp": "head"}


class PerturbSettings(TaskSettings):
    """Settings of `perturb` and `perturb-unseen`.

    Attributes
    ----------
    perturbation_column
        Column of obs that says what was done to a cell; cells of which it says nothing are left out.
    control
        Its values of control cells; names in common use, such as control, non-targeting or DMSO, when empty.
    context_column
        Column of obs whose values are held out one after the other: donors, cell lines, replicates.
    stratum_column
        Column of obs within which responses are taken apart, such as cell_type; none when None. A context is
        held out with all its strata.
    min_cells
        Cells that a perturbation, and the controls, need in a context (and stratum) to be looked at.
    n_folds
        Groups in which perturbations are held out (`perturb-unseen`).
    n_top
        Genes that differ most, for `change_pearson_top` and `de_overlap`.
    n_neighbors
        Training contexts of the baseline `control-knn`.
    heads
        What is taught on the vectors of control cells.
    max_cells
        Cells of each population that the energy distance is of.
    """

    perturbation_column: str = "perturbation"
    control: tuple[str, ...] = ()
    context_column: str = "donor_id"
    stratum_column: str | None = None
    min_cells: Annotated[int, Field(ge=4)] = 20
    n_folds: Annotated[int, Field(ge=2)] = 5
    n_top: Annotated[int, Field(ge=2)] = 20
    n_neighbors: Annotated[int, Field(ge=1)] = 1
    heads: Listed[HeadName] = ("knn", "linear", "mlp")
    max_cells: Annotated[int, Field(ge=2)] = 300

    @field_validator("control", mode="before")
    @classmethod
    def _one_control(cls, given: object) -> object:
        return (given,) if isinstance(given, str) else given

    @property
    def columns(self) -> dict[str, str | None]:
        """Names of columns, by what they hold."""
        return {
            "perturbation": self.perturbation_column,
            "context": self.context_column,
            "stratum": self.stratum_column,
        }


def evaluate(
    subject: Subject, data: EvaluationData, settings: PerturbSettings, *, seed: int, hold_out: HoldOut
) -> list[Score]:
    """Try heads on the vectors of control cells.

    Raises
    ------
    EvaluationError
        When a column is missing, there are no control cells, or nothing that can be held out.
    ModelError
        When the data have too few of the model's genes.
    """
    screen, folds = screen_of(data, settings, seed=seed, hold_out=hold_out)
    vectors = _vectors(subject, data, screen)
    methods: dict[str, Method] = {
        name: partial(HEADS[name], vectors=vectors, seed=seed) for name in settings.heads
    }
    found: list[Score] = []
    for name, trial in tried(screen, folds, methods).items():
        found += summed(screen, trial, name, setting=SETTINGS[name], columns=settings.columns)
    return found


def baselines(
    data: EvaluationData, settings: PerturbSettings, *, seed: int, hold_out: HoldOut
) -> list[Score]:
    """Try what needs no representation, the technical duplicate among it; and how far metrics can tell."""
    screen, folds = screen_of(data, settings, seed=seed, hold_out=hold_out)
    methods: dict[str, Method] = {
        **BASELINES,
        "control-knn": partial(control_knn, n_neighbors=settings.n_neighbors),
    }
    found: list[Score] = []
    for name, trial in tried(screen, folds, methods, with_replicate=True).items():
        found += summed(screen, trial, name, setting="zero-shot", columns=settings.columns)
    return [*found, *dynamic_ranges(found, TRIVIAL), *dynamic_ranges(found, TRAINING_MEAN)]


def screen_of(
    data: EvaluationData, settings: PerturbSettings, *, seed: int, hold_out: HoldOut
) -> tuple[Screen, list[Fold]]:
    """Return the data, sorted and added up, and what is held out of them."""
    perturbations = data.labels(settings.perturbation_column, what="perturbations")
    contexts = data.labels(settings.context_column, what="contexts")
    stratum = settings.stratum_column
    strata = data.labels(stratum, what="strata") if stratum is not None else None
    design = design_of(
        perturbations,
        contexts,
        strata,
        controls=settings.control,
        min_cells=settings.min_cells,
        rng=np.random.default_rng([seed, 0]),
    )
    folds, notices = folds_of(
        design, hold_out, n_folds=settings.n_folds, rng=np.random.default_rng([seed, 1])
    )
    for text in (*design.notices, *notices):
        data.notice(text)
    if data.n_genes < settings.n_top:
        raise EvaluationError(
            f"{data.n_genes} genes, and the {settings.n_top} that differ most are asked for; lower n_top"
        )
    log = logged(data.counts)
    screen = Screen(
        logged=log,
        design=design,
        moments=moments_of(log, design),
        not_targets=_not_targets(data, design.perturbations),
        n_top=settings.n_top,
        max_cells=settings.max_cells,
        seed=seed,
    )
    return screen, folds


def _not_targets(data: EvaluationData, perturbations: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return which genes no perturbation is named after; all, where that leaves fewer than two."""
    names = [data.var_names]
    if "feature_name" in data.var.columns:
        names.append(data.var["feature_name"])
    kept = np.ones(data.n_genes, bool)
    for each in names:
        kept &= ~each.cast(str).fill_null("").is_in(list(perturbations)).to_numpy()
    return kept if kept.sum() > 1 else np.ones(data.n_genes, bool)


def _vectors(
    subject: Subject, data: EvaluationData, screen: Screen
) -> Callable[[NDArray[np.int64]], NDArray[np.float64]]:
    """Return what gives the vectors of control cells.

    A representation that is made of the data is made of their controls alone, so that it does not see what is
    held out.
    """
    rows = np.flatnonzero((screen.design.site >= 0) & (screen.design.perturbation < 0))
    is_model = subject.artifact is not None
    embedded = subject.embed(data)[rows] if is_model else subject.embed(data.take(rows))
    found = embedded.astype(np.float64)
    return lambda cells: found[np.searchsorted(rows, cells)]


_METRICS: Final = (*PERFECT, "dynamic_range")
_HEADLINE: Final = (
    "change_weighted_r2",
    "change_pearson_top",
    "change_pearson",
    "change_mse",
    "energy_distance",
    "discrimination",
)
_REFERENCE: Final = "bioRxiv 2025.10.20.683304"

PERTURB = EvaluationTask(
    name="perturb",
    summary="predict the response to a perturbation in a context that is held out",
    reference=_REFERENCE,
    settings=PerturbSettings,
    evaluate=partial(evaluate, hold_out="context"),
    baselines=partial(baselines, hold_out="context"),
    metrics=_METRICS,
    headline=_HEADLINE,
    trivial=TRIVIAL,
    replicate=REPLICATE,
)

PERTURB_UNSEEN = EvaluationTask(
    name="perturb-unseen",
    summary="predict the response to perturbations that are held out",
    reference=_REFERENCE,
    settings=PerturbSettings,
    evaluate=partial(evaluate, hold_out="perturbation"),
    baselines=partial(baselines, hold_out="perturbation"),
    metrics=_METRICS,
    headline=_HEADLINE,
    trivial=TRIVIAL,
    replicate=REPLICATE,
)
