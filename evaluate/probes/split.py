"""Cells with labels, cut into those a probe learns from and those it is tested on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from curate.errors import EvaluationError
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

TEST_FRACTION: Final = 0.2
UNKNOWN: Final = frozenset({"unknown", "nan", "na", "none", ""})


@dataclass(frozen=True, eq=False)
class ProbeSplit:
    """Rows to learn from and rows to test on.

    Attributes
    ----------
    train, test
        int64, ascending.
    n_unknown
        Cells left out because their label says nothing.
    too_few
        Labels left out with their cells: they have fewer than two, or are on one side only.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    n_unknown: int
    too_few: tuple[str, ...]


def split_cells(
    labels: NDArray[np.str_],
    *,
    seed: int,
    test_fraction: float = TEST_FRACTION,
    unknown: Collection[str] = UNKNOWN,
    groups: NDArray[np.str_] | None = None,
) -> ProbeSplit:
    """Cut cells 80/20, stratified by label, as the study does; or by whole groups.

    Parameters
    ----------
    labels
        [n_cells].
    unknown
        Labels that say nothing, in lower case.
    groups
        [n_cells], such as donors: all cells of one stay on one side. Labels that are then on one side only
        are left out.

    Raises
    ------
    EvaluationError
        When fewer than two labels have two cells, or the fraction leaves a side without a cell of each.
    """
    known = np.array([name.lower() not in unknown for name in labels.tolist()], bool)
    names, counts = np.unique(labels[known], return_counts=True)
    too_few = tuple(names[counts < 2].tolist())
    rows = np.flatnonzero(known & ~np.isin(labels, too_few))
    if groups is not None:
        return _by_groups(
            labels,
            groups,
            rows,
            ProbeSplit(rows, rows, int((~known).sum()), too_few),
            seed=seed,
            test_fraction=test_fraction,
        )
    n_labels = int((counts >= 2).sum())
    if n_labels < 2:
        raise EvaluationError(
            f"{counted(n_labels, 'label')} with two cells or more among {labels.size:,} cells; a probe "
            "needs two: name another column of labels, or other cells"
        )
    n_test = round(rows.size * test_fraction)
    if min(n_test, rows.size - n_test) < n_labels:
        raise EvaluationError(
            f"{test_fraction:g} of {rows.size:,} cells leaves {n_test} to test on, of {n_labels} labels; "
            "label more cells, or take another fraction"
        )
    train, test = train_test_split(rows, test_size=n_test, stratify=labels[rows], random_state=seed)
    return ProbeSplit(np.sort(train), np.sort(test), int((~known).sum()), too_few)


def _by_groups(
    labels: NDArray[np.str_],
    groups: NDArray[np.str_],
    rows: NDArray[np.int64],
    whole: ProbeSplit,
    *,
    seed: int,
    test_fraction: float,
) -> ProbeSplit:
    n_groups = np.unique(groups[rows]).size
    if n_groups < 2:
        raise EvaluationError(f"{n_groups} groups among {rows.size:,} labelled cells; a split needs two")
    cut = GroupShuffleSplit(n_splits=1, test_size=test_fraction, random_state=seed)
    train, test = next(cut.split(rows, groups=groups[rows]))
    both = np.intersect1d(labels[rows[train]], labels[rows[test]])
    if both.size < 2:
        raise EvaluationError(
            f"{counted(both.size, 'label')} on both sides of a split of {n_groups} groups; a probe needs "
            "two: take another seed, or split by cell"
        )
    sides = [np.sort(rows[side][np.isin(labels[rows[side]], both)]) for side in (train, test)]
    lost = np.setdiff1d(labels[rows], both)
    return replace(whole, train=sides[0], test=sides[1], too_few=(*whole.too_few, *lost.tolist()))
