"""Measured responses, and how near predicted ones come to them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from curate.evaluate.metrics import perturbation as metrics
from curate.evaluate.perturb.changes import differences
from curate.evaluate.perturb.design import CONTROL
from curate.evaluate.perturb.folds import asked_of
from curate.evaluate.perturb.populations import Population, Shifts, drawn, energy_to
from curate.evaluate.perturb.predicted import Predicted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from curate.evaluate.perturb.changes import Differences, Moments
    from curate.evaluate.perturb.design import Design
    from curate.evaluate.perturb.folds import Asked

PERFECT: Final[Mapping[str, float]] = {
    "change_mse": 0.0,
    "change_pearson": 1.0,
    "change_pearson_top": 1.0,
    "change_weighted_mse": 0.0,
    "change_weighted_r2": 1.0,
    "direction_accuracy": 1.0,
    "de_overlap": 1.0,
    "discrimination": 1.0,
    "energy_distance": 0.0,
}
"""The metrics of a response, and the value of each that no prediction can better."""


@dataclass(frozen=True, eq=False)
class Screen:
    """The data of a task, sorted and added up.

    Attributes
    ----------
    logged
        float32 [n_cells, n_genes], log-normalised expression.
    not_targets
        bool [n_genes], genes that no perturbation is named after: those that perturbations are told apart by.
    n_top
        How many genes that differ most are looked at.
    max_cells
        Cells of each population that the energy distance is of, drawn by lot.
    seed
        Of these draws.
    """

    logged: csr_array
    design: Design
    moments: Moments
    not_targets: NDArray[np.bool_]
    n_top: int
    max_cells: int
    seed: int

    def population(self, site: int, perturbation: int, half: int) -> Population:
        """Return some cells of a group, the same whenever asked."""
        rng = np.random.default_rng([self.seed, site, perturbation + 1, half])
        rows = self.design.cells(site, perturbation, half)
        return drawn(self.logged, rows, most=self.max_cells, rng=rng)

    def place(self, site: int, half: int) -> Place:
        """Return what all responses of a site share when `half` is the truth."""
        numbers = self.design.pairs[self.design.pairs[:, 0] == site, 1]
        changes = [self.moments.change(site, each, half, control_half=half) for each in numbers.tolist()]
        deviation = np.sqrt(self.moments.of(site, CONTROL, 1 - half).variance)
        usual = float(np.median(deviation[deviation > 0])) if deviation.any() else 1.0
        return Place(
            site=site,
            half=half,
            numbers=numbers,
            rivals=np.array(changes)[:, self.not_targets],
            noise=deviation + usual,
            controls=self.population(site, CONTROL, 1 - half),
        )


@dataclass(frozen=True, eq=False)
class Place:
    """A site, one half of whose cells is the truth.

    Attributes
    ----------
    numbers
        int64 [n], perturbations that have cells enough there.
    rivals
        float64 [n, n_genes], the true change by each, without genes that are targets.
    noise
        float64 [n_genes], standard deviation of the controls of the other half, plus its median over genes:
        what a predicted change is measured against to rank genes (as in SAM, Tusher et al. 2001, doi
        10.1073/pnas.091062498, so that genes that hardly vary do not come first for that).
    controls
        Some of the controls of the other half.
    """

    site: int
    half: int
    numbers: NDArray[np.int64]
    rivals: NDArray[np.float64]
    noise: NDArray[np.float64]
    controls: Population


@dataclass(frozen=True, eq=False)
class Case:
    """One half of the cells of a perturbation at a site, as the truth.

    Attributes
    ----------
    perturbation
        Its number.
    change
        float64 [n_genes].
    genes
        Which differ.
    top
        int64 [n_top], those that differ most.
    shifts
        From controls to the truth.
    """

    screen: Screen
    place: Place
    perturbation: int
    change: NDArray[np.float64]
    genes: Differences
    top: NDArray[np.int64]
    shifts: Shifts

    @classmethod
    def of(cls, screen: Screen, place: Place, perturbation: int) -> Case:
        """Take the cells of a perturbation as the truth."""
        site, half = place.site, place.half
        perturbed = screen.moments.of(site, perturbation, half)
        control = screen.moments.of(site, CONTROL, half)
        genes = differences(perturbed, control)
        return cls(
            screen=screen,
            place=place,
            perturbation=perturbation,
            change=perturbed.mean - control.mean,
            genes=genes,
            top=genes.top(min(screen.n_top, genes.t.size)),
            shifts=Shifts(place.controls, screen.population(site, perturbation, half)),
        )

    @property
    def asked(self) -> Asked:
        """What a method is given."""
        pair = self.place.site, self.perturbation
        return asked_of(pair, self.place.half, self.screen.moments, self.screen.design)

    def score(self, predicted: Predicted) -> dict[str, float]:
        """Score a prediction; what is not defined is missing."""
        change = predicted.mean
        return self._scores(change, change / self.place.noise, self.shifts.energy(predicted))

    def replicate(self) -> dict[str, float]:
        """Score the other half of the cells, the technical duplicate, as if it were a prediction."""
        change, genes = self._duplicate
        cells = self.screen.population(self.place.site, self.perturbation, 1 - self.place.half)
        return self._scores(change, genes.t, energy_to(self.shifts.truth, cells))

    def interpolated(self, usual: Predicted) -> dict[str, float]:
        """Score the duplicate for genes that differ in it, and what is usual for those that do not.

        A duplicate of few cells is mostly noise in genes that do not change, where the mean over training
        predicts better. The weight of the duplicate is 1 - p of each gene (adjusted), as in bioRxiv
        2025.10.20.683304.
        """
        change, genes = self._duplicate
        weight = 1.0 - genes.adjusted
        return self.score(Predicted.alike(weight * change + (1.0 - weight) * usual.mean))

    @cached_property
    def _duplicate(self) -> tuple[NDArray[np.float64], Differences]:
        """Change of the other half of the cells, and which genes differ in it."""
        site, other = self.place.site, 1 - self.place.half
        perturbed = self.screen.moments.of(site, self.perturbation, other)
        control = self.screen.moments.of(site, CONTROL, other)
        return perturbed.mean - control.mean, differences(perturbed, control)

    def _scores(
        self, change: NDArray[np.float64], strength: NDArray[np.float64], energy: float
    ) -> dict[str, float]:
        truth, weights, top = self.change, self.genes.weights, self.top
        found = {
            "change_mse": metrics.mse(truth, change),
            "change_pearson": metrics.pearson(truth, change),
            "change_pearson_top": metrics.pearson(truth[top], change[top]),
            "change_weighted_mse": metrics.weighted_mse(truth, change, weights),
            "change_weighted_r2": metrics.weighted_r2(truth, change, weights),
            "de_overlap": metrics.top_overlap(self.genes.t, strength, top.size),
            "energy_distance": energy,
        }
        # A gene that does not change has no direction; one perturbation alone is told from no other.
        if (changed := self.genes.significant).any():
            found["direction_accuracy"] = metrics.direction_accuracy(truth[changed], change[changed])
        if len(self.place.rivals) > 1:
            right = int(np.searchsorted(self.place.numbers, self.perturbation))
            kept = change[self.screen.not_targets]
            found["discrimination"] = metrics.discrimination(self.place.rivals, kept, right)
        return found
