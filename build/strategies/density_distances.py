"""Distances from cells to their nearest references, and the dimension that these tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.build.strategies.density_search import BLOCK_CELLS, References, kth_distances
from curate.build.strategies.keys import smallest_keys
from curate.errors import SelectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_REFERENCES = 1 << 16
#: References whose neighbours tell the intrinsic dimension.
N_TOLD = 1 << 13
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Distances:
    """How far it is from every cell to its k-th nearest reference.

    Attributes
    ----------
    values
        float32 [n_cells].
    k, n_references
        As found possible: less than asked for where there are few cells.
    dimension
        The intrinsic dimension: a ball of r times the radius holds r to this power times the cells.
    """

    values: NDArray[np.float32]
    k: int
    n_references: int
    dimension: float


def reference_rows(keys: NDArray[np.uint64], n: int) -> NDArray[np.int64]:
    """Return the rows of the `n` smallest keys, in the order of the keys; all, where there are fewer."""
    rows = smallest_keys(keys, np.array([min(n, keys.size)]))
    return rows[np.lexsort((rows, keys[rows]))]


def find_distances(
    embedding: NDArray[np.float32],
    rows: NDArray[np.int64],
    neighbours: int,
    *,
    block_cells: int = BLOCK_CELLS,
    n_threads: int | None = None,
) -> Distances:
    """Return the distance from every cell to its k-th nearest reference.

    Parameters
    ----------
    embedding
        float32 [n_cells, d].
    rows
        int64 [n_references], in an order that does not depend on that of the cells.

    Raises
    ------
    SelectionError
        When a value is not finite, all cells are equal, or every cell has k copies.
    """
    ascending = np.argsort(rows, kind="stable")
    points = np.empty((rows.size, embedding.shape[1]), dtype=np.float32)
    points[ascending] = embedding[rows[ascending]]
    if not np.isfinite(points).all():
        _refuse_not_finite(embedding)
    tree = References.of(points, rows)
    k = min(neighbours, rows.size - 1)
    values = kth_distances(embedding, tree, k, block_cells=block_cells, n_threads=n_threads)
    if not np.isfinite(values).all():
        _refuse_not_finite(embedding)
    told = tree.squared_distances(points[:N_TOLD], rows[:N_TOLD], k, n_kept=k)
    return Distances(values, k, rows.size, intrinsic_dimension(told, embedding.shape[1]))


def intrinsic_dimension(squared: NDArray[np.float32], n_dims: int) -> float:
    """Return the dimension that the distances of some cells to their nearest neighbours tell.

    Parameters
    ----------
    squared
        float32 [n, k], squared distances, ascending in each row. Rows that hold a 0 tell nothing.
    n_dims
        Of the embedding, the most that it can be. The least is 1.

    References
    ----------
    Levina and Bickel, Maximum likelihood estimation of intrinsic dimension, NIPS 2004; the mean over cells as
    in MacKay and Ghahramani 2005.
    """
    squared = squared[(squared > 0).all(axis=1)].astype(np.float64)
    if squared.shape[0] == 0 or squared.shape[1] < 2:
        return 1.0
    logs = np.log(squared[:, -1:] / squared[:, :-1]) / 2
    inverse = float(logs.mean())
    return float(np.clip(1 / inverse, 1, n_dims)) if inverse > 0 else float(n_dims)


def _refuse_not_finite(embedding: NDArray[np.float32]) -> None:
    for start in range(0, embedding.shape[0], _BLOCK):
        finite = np.isfinite(embedding[start : start + _BLOCK])
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise SelectionError(
                f"the embedding holds {embedding[start + row, column]} at row {start + row:,}, "
                f"dimension {column}; density needs finite numbers"
            )
    raise SelectionError("distances in the embedding are beyond float32; divide it by a number")
