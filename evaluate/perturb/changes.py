"""Mean expression of the groups of a design, and how it changes; which genes differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.sparse import csr_array
from scipy.special import stdtr
from scipy.stats import false_discovery_control

from curate.evaluate.perturb.design import CONTROL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.evaluate.perturb.design import Design

SIGNIFICANT: Final = 0.05
"""False discovery rate under which a gene counts as changed."""


@dataclass(frozen=True, eq=False)
class Group:
    """Moments of some cells.

    Attributes
    ----------
    mean, variance
        float64 [n_genes]; the variance with n - 1.
    n_cells
        How many.
    """

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    n_cells: int


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of the controls and of the perturbed cells of each site, by half and in all.

    Attributes
    ----------
    sums, squares
        float64 [n_sites, n_perturbations + 1, 2, n_genes], of log-normalised expression; the controls are the
        last of the perturbations.
    n_cells
        int64 [n_sites, n_perturbations + 1, 2].
    """

    sums: NDArray[np.float64]
    squares: NDArray[np.float64]
    n_cells: NDArray[np.int64]

    def of(self, site: int, perturbation: int, half: int | None = None) -> Group:
        """Return the moments of a group of at least two cells; both halves together when none is named."""
        chosen = slice(None) if half is None else slice(half, half + 1)
        n = int(self.n_cells[site, perturbation, chosen].sum())
        mean = self.sums[site, perturbation, chosen].sum(axis=0) / n
        variance = (self.squares[site, perturbation, chosen].sum(axis=0) - n * mean**2) / (n - 1)
        return Group(mean, np.maximum(variance, 0.0), n)

    def change(
        self, site: int, perturbation: int, half: int | None = None, *, control_half: int | None = None
    ) -> NDArray[np.float64]:
        """Return the mean of perturbed cells minus that of controls, [n_genes].

        Parameters
        ----------
        half
            Of the perturbed cells; all when None.
        control_half
            Of the controls; all when None.
        """
        return self.of(site, perturbation, half).mean - self.of(site, CONTROL, control_half).mean


def moments_of(logged: csr_array, design: Design) -> Moments:
    """Add up the cells of each group.

    One product of matrices. Memory: 32 bytes for each gene of each pair of site and perturbation (that occurs
    or not), and a copy of the non-zero values.

    Parameters
    ----------
    logged
        [n_cells, n_genes], log-normalised expression.
    """
    n_sites, n_groups = len(design.contexts), len(design.perturbations) + 1
    rows = np.flatnonzero(design.site >= 0)
    perturbation = design.perturbation[rows] % n_groups  # -1, the control, becomes the last
    group = (design.site[rows] * n_groups + perturbation) * 2 + design.half[rows]
    shape = (n_sites * n_groups * 2, logged.shape[0])
    member = csr_array((np.ones(rows.size), (group, rows)), shape=shape)
    values = logged.astype(np.float64)
    full = (n_sites, n_groups, 2, logged.shape[1])
    sums = (member @ values).toarray().reshape(full)
    values.data **= 2
    squares = (member @ values).toarray().reshape(full)
    return Moments(sums, squares, np.bincount(group, minlength=shape[0]).reshape(full[:3]))


@dataclass(frozen=True, eq=False)
class Differences:
    """Which genes differ between perturbed cells and controls.

    Attributes
    ----------
    t
        float64 [n_genes], Welch's statistic; 0 for a gene that varies in neither group.
    adjusted
        float64 [n_genes], p of Welch's test, adjusted by Benjamini-Hochberg.
    """

    t: NDArray[np.float64]
    adjusted: NDArray[np.float64]

    @property
    def significant(self) -> NDArray[np.bool_]:
        """bool [n_genes], at a false discovery rate of 5 %."""
        return self.adjusted < SIGNIFICANT

    @property
    def weights(self) -> NDArray[np.float64]:
        """[n_genes], sum 1: the square of \\|t\\| scaled to 0..1 over genes; equal where none stands out.

        Mejia et al. 2025, arXiv 2506.22641.
        """
        sizes = np.abs(self.t)
        span = float(np.ptp(sizes))
        raw = ((sizes - sizes.min()) / span) ** 2 if span > 0 else np.ones_like(sizes)
        return np.asarray(raw / raw.sum())

    def top(self, n: int) -> NDArray[np.int64]:
        """Return the `n` genes of largest \\|t\\|, the largest first; of equals the first of the file."""
        return np.argsort(-np.abs(self.t), kind="stable")[:n]


def differences(perturbed: Group, control: Group) -> Differences:
    """Compare two groups gene by gene by Welch's t-test.

    Not by ranks (Wilcoxon): the weights of the calibrated metrics are defined on t, and one test for all
    keeps top genes, weights and significance of one mind.
    """
    a, b = perturbed.variance / perturbed.n_cells, control.variance / control.n_cells
    noise = a + b
    varies = noise > 0
    t = np.divide(perturbed.mean - control.mean, np.sqrt(noise), out=np.zeros_like(a), where=varies)
    freedom = np.divide(
        noise**2,
        a**2 / (perturbed.n_cells - 1) + b**2 / (control.n_cells - 1),
        out=np.ones_like(a),
        where=varies,
    )
    p = 2 * stdtr(freedom, -np.abs(t))
    return Differences(t, np.asarray(false_discovery_control(p)))
