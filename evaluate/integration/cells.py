"""The cells that integration is measured on: of known batch and label, at most so many.

1. cells without a batch or label are left out;
2. of the others those with the smallest keys are taken, a key each by seed and row;
3. batches and labels of one cell are left out: nothing can be near in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.errors import EvaluationError
from curate.evaluate.probes.split import UNKNOWN
from curate.wording import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class IntegrationCells:
    """Cells with a batch and a label.

    Attributes
    ----------
    rows
        int64 [n] ascending, in the data.
    labels, batches
        int64 [n], numbers in `label_names` and `batch_names`, all of which occur.
    notes
        Sentences on the cells that were left out.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    batches: NDArray[np.int64]
    label_names: tuple[str, ...]
    batch_names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.rows.size)


def choose_cells(
    labels: NDArray[np.str_],
    batches: NDArray[np.str_],
    *,
    seed: int,
    max_cells: int | None = None,
    n_neighbors: int,
    label_column: str = "label",
    batch_column: str = "batch",
) -> IntegrationCells:
    """Choose the cells that integration is measured on.

    A smaller `max_cells` takes some of the cells of a larger one.

    Parameters
    ----------
    labels, batches
        [n_cells] each.
    n_neighbors
        What the metrics need, the cell itself counted.
    label_column, batch_column
        Their names, for messages.

    Raises
    ------
    EvaluationError
        When fewer than two batches or labels remain, or no more cells than neighbours.
    """
    notes = []
    is_known = np.array(
        [
            batch.lower() not in UNKNOWN and label.lower() not in UNKNOWN
            for batch, label in zip(batches.tolist(), labels.tolist(), strict=True)
        ],
        bool,
    )
    rows = np.flatnonzero(is_known)
    if n_unknown := labels.size - rows.size:
        notes.append(f"{counted(n_unknown, 'cell')} without {label_column} or {batch_column} left out")
    if max_cells is not None and rows.size > max_cells:
        # A key a row, known or not: what is left out elsewhere does not change who is drawn.
        keys = np.random.default_rng(seed).random(labels.size)[rows]
        notes.append(f"{max_cells:,} of {rows.size:,} cells drawn at random, seed {seed}")
        rows = np.sort(rows[np.argsort(keys, kind="stable")[:max_cells]])
    rows, note = _without_single(rows, {batch_column: batches, label_column: labels})
    notes += note
    label_names, label_codes = np.unique(labels[rows], return_inverse=True)
    batch_names, batch_codes = np.unique(batches[rows], return_inverse=True)
    for column, names, noun in ((batch_column, batch_names, "batch"), (label_column, label_names, "label")):
        if names.size < 2:
            found = f"one {noun} only ({names[0]})" if names.size else f"no {noun} of two cells"
            raise EvaluationError(
                f"{found} in {column} among {counted(rows.size, 'cell')} of known {label_column} and "
                f"{batch_column}; integration needs two of each, name another column"
            )
    if rows.size <= n_neighbors:
        raise EvaluationError(
            f"{counted(rows.size, 'cell')} for {n_neighbors} neighbours; set n_neighbors to at most "
            f"{rows.size - 1}"
        )
    return IntegrationCells(
        rows,
        label_codes.astype(np.int64),
        batch_codes.astype(np.int64),
        tuple(label_names.tolist()),
        tuple(batch_names.tolist()),
        tuple(notes),
    )


def _without_single(
    rows: NDArray[np.int64], columns: dict[str, NDArray[np.str_]]
) -> tuple[NDArray[np.int64], list[str]]:
    """Leave out values that one cell has, until none is left: the cell may have been another's second."""
    left_out: dict[str, list[str]] = {column: [] for column in columns}
    while True:
        before = rows.size
        for column, values in columns.items():
            names, numbers, counts = np.unique(values[rows], return_inverse=True, return_counts=True)
            left_out[column] += names[counts < 2].tolist()
            rows = rows[counts[numbers] >= 2]
        if rows.size == before:
            break
    notes = []
    for column, single in left_out.items():
        if single:
            some = ", ".join(single[:3]) + (", …" if len(single) > 3 else "")
            notes.append(f"{counted(len(single), 'value')} of {column} with one cell left out ({some})")
    return rows, notes
