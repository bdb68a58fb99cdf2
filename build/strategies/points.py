"""The embedding as strategies read it: of the right shape, finite, and not all one point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.build.covering.kernels import add_range
from curate.errors import SelectionError
from curate.threads import mapped

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK = 1 << 18


def check_points(
    embedding: NDArray[np.float32] | None, n_cells: int, *, needed_by: str
) -> NDArray[np.float32]:
    """Return a read-only view of an embedding, looked through once.

    Parameters
    ----------
    embedding
        float32 [n_cells, d]; may be memory-mapped.
    needed_by
        The strategy that the messages speak of.

    Raises
    ------
    SelectionError
        When there is none, it has another shape, a value is NaN or infinite, or all of several
        cells are equal.
    """
    if embedding is None:
        raise SelectionError(f"{needed_by} needs an embedding; make one with `curate embed`")
    if embedding.ndim != 2 or embedding.shape[0] != n_cells or embedding.shape[1] == 0:
        raise SelectionError(f"the embedding has shape {embedding.shape} for {n_cells:,} cells")
    # One compiled version serves arrays in memory and on disk.
    points = np.ascontiguousarray(embedding, dtype=np.float32).view(np.ndarray)[:]
    points.flags.writeable = False

    def ranged(start: int) -> tuple[bool, NDArray[np.float32], NDArray[np.float32]]:
        low = np.full(points.shape[1], np.inf, dtype=np.float32)
        high = -low
        return add_range(points, start, min(start + _BLOCK, n_cells), low, high), low, high

    finite, lows, highs = zip(*mapped(ranged, range(0, n_cells, _BLOCK)), strict=True)
    if not all(finite):
        _refuse_not_finite(points, finite.index(False) * _BLOCK, needed_by)
    if n_cells > 1 and (np.min(lows, axis=0) == np.max(highs, axis=0)).all():
        raise SelectionError(f"all {n_cells:,} cells lie at one point of the embedding; use random instead")
    return points


def _refuse_not_finite(points: NDArray[np.float32], start: int, needed_by: str) -> None:
    row, column = np.argwhere(~np.isfinite(points[start : start + _BLOCK]))[0]
    raise SelectionError(
        f"the embedding holds {points[start + row, column]} at row {start + row}, dimension {column}; "
        f"{needed_by} needs finite numbers"
    )
