"""Geometric sketch: cells drawn evenly over the space that they occupy, not over their number."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from curate.build.selection import Selection, check_n
from curate.errors import SelectionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl
    from numpy.typing import NDArray

_BLOCK = 1 << 16


def sketch(
    cells: pl.DataFrame,
    embedding: NDArray[np.float32] | None,
    n: int,
    *,
    keys: NDArray[np.uint64],
    rng: np.random.Generator,
    k: int | float | str = "auto",
    alpha: float = 0.1,
    max_iter: int = 200,
) -> Selection:
    """Choose `n` cells by geometric sketching, without replacement.

    The embedding is covered by about `k` boxes of equal side; boxes are drawn uniformly, none again before
    all have been, and one cell uniformly from each. With an `rng` in the same state and the same `k`, which
    here does not depend on n, a choice of fewer cells lies inside this one.

    Parameters
    ----------
    k
        Boxes to cover the cells with: a number, a fraction of the cells, or "auto" for 1 % of the cells (as
        in DenAdel et al. 2026), at least their square root (as in geosketch).
    alpha
        The covering is accepted when it has (1 ± alpha) k boxes.
    max_iter
        Coverings to try at most.

    Raises
    ------
    SelectionError
        When `n` is 0 or more than there are cells, there is no embedding, or it holds NaN, infinite or only
        equal values.

    References
    ----------
    Hie et al., Geometric sketching compactly summarizes the single-cell transcriptomic landscape, Cell
    Systems 2019, doi 10.1016/j.cels.2019.05.003.
    """
    from geosketch import gs

    del cells
    check_n(n, keys.size)
    points = _checked(embedding, keys.size)
    n_boxes = covering_size(k, keys.size)
    seed = int(rng.integers(2**32))
    with _legacy_state_restored():
        drawn = gs(points, n, k=n_boxes, alpha=alpha, max_iter=max_iter, seed=seed, replace=False)
    return Selection(_exactly(n, np.asarray(drawn, dtype=np.int64), keys), notes={"k": n_boxes})


def covering_size(k: int | float | str, n_cells: int) -> int:
    """Return the number of boxes that `k` asks for among `n_cells` cells.

    Raises
    ------
    SelectionError
        When that is none, or more than there are cells.
    """
    k = parse_k(k)
    if isinstance(k, str):
        return max(math.isqrt(n_cells), n_cells // 100)
    n_boxes = k if isinstance(k, int) else int(k * n_cells)
    if not 1 <= n_boxes <= n_cells:
        raise SelectionError(
            f"k={k} covers {n_cells:,} cells with {n_boxes:,} boxes; use 1 to {n_cells:,} boxes"
        )
    return n_boxes


def parse_k(value: object) -> int | float | str:
    """Read `k`: "auto", a whole number of boxes from 1, or a fraction of the cells below 1."""
    if value == "auto":
        return "auto"
    number = _number(value)
    if number >= 1 and number.is_integer():
        return int(number)
    if 0 < number < 1:
        return number
    raise SelectionError(f"k={value} is neither auto, nor a number of boxes, nor a fraction between 0 and 1")


def parse_alpha(value: object) -> float:
    """Read `alpha`, between 0 and 1."""
    if 0 < (alpha := _number(value)) < 1:
        return alpha
    raise SelectionError(f"alpha={value} must lie between 0 and 1; geosketch's own value is 0.1")


def parse_max_iter(value: object) -> int:
    """Read `max_iter`, a whole number from 1."""
    if (number := _number(value)) >= 1 and number.is_integer():
        return int(number)
    raise SelectionError(f"max_iter={value} must be a whole number from 1; geosketch's own value is 200")


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def _checked(embedding: NDArray[np.float32] | None, n_cells: int) -> NDArray[np.float32]:
    if embedding is None:
        raise SelectionError("sketch needs an embedding; make one with `curate embed`")
    if embedding.ndim != 2 or embedding.shape[0] != n_cells:
        raise SelectionError(f"the embedding has shape {embedding.shape} for {n_cells:,} cells")
    low = np.full(embedding.shape[1], np.inf)
    high = -low
    for start in range(0, n_cells, _BLOCK):
        block = embedding[start : start + _BLOCK]
        finite = np.isfinite(block)
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise SelectionError(
                f"the embedding holds {block[row, column]} at row {start + row}, dimension {column}; "
                "sketch needs finite numbers"
            )
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
    # One constant dimension separates nothing and is harmless; when all are, there is no space to cover.
    if n_cells > 1 and not (high > low).any():
        raise SelectionError(f"all {n_cells:,} cells lie at one point of the embedding; use random instead")
    return embedding


def _exactly(n: int, drawn: NDArray[np.int64], keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Drop or add cells by their keys, should the covering not have given exactly `n` distinct ones."""
    rows = np.unique(drawn)
    if rows.size > n:
        rows = rows[np.lexsort((rows, keys[rows]))[:n]]
    elif rows.size < n:
        others = np.setdiff1d(np.arange(keys.size), rows)
        added = others[np.lexsort((others, keys[others]))[: n - rows.size]]
        rows = np.concatenate([rows, added])
    return np.sort(rows)


@contextmanager
def _legacy_state_restored() -> Iterator[None]:
    """Put numpy's global random state back: geosketch seeds it and draws from it."""
    state = np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
