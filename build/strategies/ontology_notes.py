"""What to say about a choice by ontology: quotas by type, and wishes that could not be met."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.build.strategies.ontology_kin import Ring

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.build.strategies.ontology_kin import Kin

MOST_NAMED = 20
_NAMES = ("wanted", "siblings", "farther", "untyped")


def describe(
    names: Sequence[str],
    kin: Sequence[Kin],
    counts: NDArray[np.int64],
    quotas: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    wished: tuple[int, int],
    absent: Sequence[str],
) -> dict[str, int | float | str]:
    """Return the notes of a choice.

    Parameters
    ----------
    names, kin, counts, quotas, weights
        One for each type that occurs: its label, place, cells, cells chosen, and weight.
    wished
        Cells asked of wanted types and of siblings.
    absent
        Labels of wanted types without a cell.
    """
    rings = np.array([each.ring for each in kin])
    notes: dict[str, int | float | str] = {}
    for ring, name in zip(Ring, _NAMES, strict=True):
        own = np.flatnonzero(rings == ring)
        if own.size:
            notes |= {f"n_{name}": int(quotas[own].sum()), f"n_{name}_there": int(counts[own].sum())}
            if given := _listed(names, counts, quotas, kin, own[quotas[own] > 0]):
                notes[f"quotas_{name}"] = given
    if short := _short(rings, counts, weights, wished):
        most = sorted(short, key=lambda g: (counts[g] - short[g], names[g]))
        notes["unmet"] = _some([f"{names[g]} {counts[g]:,} of {short[g]:,}" for g in most])
    if absent:
        notes["absent"] = _some(absent)
    n_wanted, n_siblings = (int(quotas[rings == ring].sum()) for ring in (Ring.WANTED, Ring.SIBLING))
    notices = []
    if n_wanted < wished[0]:
        notices.append(
            f"the wanted types have {n_wanted:,} of the {wished[0]:,} cells asked of them; siblings and "
            "farther types fill up: ask for fewer cells"
        )
    if n_siblings < wished[1]:
        notices.append(
            f"their siblings have {n_siblings:,} of the {wished[1]:,} cells asked of them; farther types "
            "fill up: ask for fewer negatives"
        )
    if absent:
        notices.append(f"the corpus has no cell of {_some(absent)}")
    if notices:
        notes["notice"] = "; ".join(notices)
    return notes


def _listed(
    names: Sequence[str],
    counts: NDArray[np.int64],
    quotas: NDArray[np.int64],
    kin: Sequence[Kin],
    groups: NDArray[np.int64],
) -> str:
    """Name groups with what they give of what they have, and how far off they are."""
    order = sorted(groups.tolist(), key=lambda g: (-quotas[g], names[g]))
    return _some([f"{names[g]} {quotas[g]:,} of {counts[g]:,} (steps {kin[g].steps})" for g in order])


def _short(
    rings: NDArray[np.int64],
    counts: NDArray[np.int64],
    weights: NDArray[np.float64],
    wished: tuple[int, int],
) -> dict[int, int]:
    """Return the groups that have less than their share of what was asked for, and that share."""
    short: dict[int, int] = {}
    for ring, n in zip((Ring.WANTED, Ring.SIBLING), wished, strict=True):
        own = np.flatnonzero(rings == ring)
        share = n * weights[own] / weights[own].sum() if own.size else np.empty(0)
        short |= {int(g): round(s) for g, s in zip(own, share, strict=True) if counts[g] < np.floor(s)}
    return short


def _some(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - MOST_NAMED} more" if len(texts) > MOST_NAMED else ""
    return ", ".join(texts[:MOST_NAMED]) + more
