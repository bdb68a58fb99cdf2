"""Cells of a perturbation screen, sorted into controls and perturbed cells of each site."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from curate.errors import EvaluationError
from curate.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CONTROLS: Final = frozenset(
    {
        "control",
        "ctrl",
        "dmso",
        "mock",
        "non-targeting",
        "nontargeting",
        "nt",
        "ntc",
        "pbs",
        "unperturbed",
        "untreated",
        "vehicle",
        "vehicle (dmso)",
    }
)
"""Names of controls, in lower case, that are known without being told."""

UNKNOWN: Final = frozenset({"", "na", "nan", "none", "unassigned", "unknown"})
"""Labels that say nothing, in lower case."""

CONTROL: Final = -1
"""Number of the control among the perturbations."""


@dataclass(frozen=True, eq=False)
class Design:
    """Which cell was perturbed by what, where, and on which side of the technical duplicate it stands.

    A site is a context, or a stratum of it (a cell type of a donor) where strata are told apart.

    Attributes
    ----------
    contexts, strata
        Name of the context and of the stratum (empty without strata) of each site.
    perturbations
        Names, ascending.
    site, perturbation
        int64 [n_cells], numbers of the site and of the perturbation (`CONTROL` of a control cell); a cell
        that is left out has site -1.
    half
        int8 [n_cells], 0 or 1: by lot, as many of each (±1) in the controls of each site and in each
        perturbation of it.
    pairs
        int64 [n_pairs, 2], (site, perturbation) that are there with enough cells, ascending.
    notices
        What was left out and why, a sentence each.
    """

    contexts: tuple[str, ...]
    strata: tuple[str, ...]
    perturbations: tuple[str, ...]
    site: NDArray[np.int64]
    perturbation: NDArray[np.int64]
    half: NDArray[np.int8]
    pairs: NDArray[np.int64]
    notices: tuple[str, ...]

    def controls(self, site: int, half: int | None = None) -> NDArray[np.int64]:
        """Return the rows of the control cells of a site, ascending; of one half, or all."""
        return self.cells(site, CONTROL, half)

    def cells(self, site: int, perturbation: int, half: int | None = None) -> NDArray[np.int64]:
        """Return the rows of the cells of a perturbation at a site, ascending; of one half, or all."""
        order, codes = self._grouped
        first = self._code(site, perturbation, 0 if half is None else half)
        start, stop = np.searchsorted(codes, [first, first + (2 if half is None else 1)])
        return np.sort(order[start:stop])

    @cached_property
    def _grouped(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows in the order of their groups, and the code of the group of each, ascending."""
        codes = self._code(self.site, self.perturbation, self.half.astype(np.int64))
        order = np.argsort(codes, kind="stable")
        return order, codes[order]

    def _code(self, site: Any, perturbation: Any, half: Any) -> Any:
        return (site * (len(self.perturbations) + 1) + perturbation + 1) * 2 + half


def design_of(
    perturbations: NDArray[np.str_],
    contexts: NDArray[np.str_],
    strata: NDArray[np.str_] | None = None,
    *,
    controls: Sequence[str] = (),
    min_cells: int,
    rng: np.random.Generator,
) -> Design:
    """Sort cells into controls and perturbed cells, and cut each group in two halves by lot.

    Parameters
    ----------
    perturbations, contexts, strata
        [n_cells], labels; cells with one that says nothing (`UNKNOWN`) are left out.
    controls
        Labels of control cells; those of `CONTROLS` when empty.
    min_cells
        Cells that a perturbation, and the controls, need at a site; at least 4, for each half has a variance.

    Raises
    ------
    EvaluationError
        When a control is named that does not occur, there is no control cell, or no perturbation has enough
        cells at a site with enough controls.
    """
    known = _known(perturbations) & _known(contexts)
    notices = []
    if strata is not None:
        known &= _known(strata)
    if n_unknown := int((~known).sum()):
        notices.append(f"{n_unknown:,} of {known.size:,} cells have no label that says anything; left out")
    is_control = known & np.isin(perturbations, _control_names(perturbations[known], controls))
    sites, site = _sites(contexts, strata, known)
    names = np.unique(perturbations[known & ~is_control])
    perturbation = np.full(known.size, CONTROL, np.int64)
    treated = known & ~is_control
    perturbation[treated] = np.searchsorted(names, perturbations[treated])

    n_cells = np.zeros((len(sites), names.size + 1), np.int64)
    np.add.at(n_cells, (site[known], perturbation[known]), 1)  # the controls are counted in the last column
    enough = n_cells[:, :-1] >= min_cells
    few_controls = n_cells[:, -1] < min_cells
    notices += _too_few(sites, names, n_cells, few_controls, min_cells)
    enough[few_controls] = False
    pairs = np.argwhere(enough).astype(np.int64)
    if not len(pairs):
        raise EvaluationError(
            f"no perturbation has {min_cells} cells beside {min_cells} controls of its context "
            f"(at most {n_cells[:, :-1].max(initial=0)} cells, {n_cells[:, -1].max(initial=0)} controls); "
            "lower min_cells"
        )
    kept = known & ((is_control & ~few_controls[site]) | (treated & enough[site, perturbation]))
    site[~kept] = -1
    return Design(
        contexts=tuple(context for context, _ in sites),
        strata=tuple(stratum for _, stratum in sites),
        perturbations=tuple(names.tolist()),
        site=site,
        perturbation=perturbation,
        half=_halves(site, perturbation, rng),
        pairs=pairs,
        notices=tuple(notices),
    )


def _known(labels: NDArray[np.str_]) -> NDArray[np.bool_]:
    names, numbers = np.unique(labels, return_inverse=True)
    return np.array([name.strip().lower() not in UNKNOWN for name in names.tolist()], bool)[numbers]


def _control_names(present: NDArray[np.str_], controls: Sequence[str]) -> list[str]:
    names = np.unique(present).tolist()
    for control in controls:
        if control not in names:
            raise EvaluationError(f"no control cell is labelled {control!r}; {nearest(control, names)}")
    found = list(controls) or [name for name in names if name.strip().lower() in CONTROLS]
    if not found:
        raise EvaluationError(
            f"no control cells: none of the {len(names)} perturbations ({_listed(names)}) is known as a "
            "control; name it (control=NAME)"
        )
    return found


def _sites(
    contexts: NDArray[np.str_], strata: NDArray[np.str_] | None, known: NDArray[np.bool_]
) -> tuple[list[tuple[str, str]], NDArray[np.int64]]:
    """Return (context, stratum) of each site, ascending, and the site of each cell, -1 if unknown."""
    within = np.full(contexts.size, "") if strata is None else strata
    labels = list(zip(contexts.tolist(), within.tolist(), strict=True))
    sites = sorted({label for label, good in zip(labels, known.tolist(), strict=True) if good})
    numbers = {label: number for number, label in enumerate(sites)}
    site = np.array([numbers.get(label, -1) for label in labels], np.int64)
    site[~known] = -1
    return sites, site


def _too_few(
    sites: list[tuple[str, str]],
    names: NDArray[np.str_],
    n_cells: NDArray[np.int64],
    few_controls: NDArray[np.bool_],
    min_cells: int,
) -> list[str]:
    notices = []
    for (context, stratum), n in zip(sites, n_cells, strict=True):
        where = f"{context}, {stratum}" if stratum else context
        if n[-1] < min_cells:
            notices.append(f"{where} has {n[-1]} control cells, {min_cells} are needed; left out")
            continue
        few = [
            f"{name} {m}"
            for name, m in zip(names.tolist(), n[:-1].tolist(), strict=True)
            if 0 < m < min_cells
        ]
        if few:
            notices.append(f"{where} has too few cells of {_listed(few)} ({min_cells} are needed); left out")
    return notices


def _listed(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _halves(
    site: NDArray[np.int64], perturbation: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int8]:
    """Return 0 and 1 in turn over the cells of each group, in an order by lot."""
    order = np.lexsort((rng.permutation(site.size), perturbation, site))
    new = np.r_[True, (np.diff(site[order]) != 0) | (np.diff(perturbation[order]) != 0)]
    starts = np.flatnonzero(new)
    place = np.arange(site.size) - np.repeat(starts, np.diff(np.r_[starts, site.size]))
    half = np.empty(site.size, np.int8)
    half[order] = place % 2
    return half
