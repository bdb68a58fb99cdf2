"""Geometric sketch: cells drawn evenly over the space that they occupy, not over their number."""

from __future__ import annotations

import math
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from curate.build.selection import Parameter, Selection, Strategy, check_n
from curate.build.strategies.settings import as_number, between, one_of, whole, yes_no
from curate.errors import SelectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl
    from numpy.typing import NDArray

    from curate.build.covering.covering import Covering

Engine = Literal["curate", "geosketch"]


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
    replace: bool = False,
    engine: Engine = "curate",
    covering: Callable[[], Covering] | None = None,
) -> Selection:
    """Choose `n` cells by geometric sketching.

    The embedding is covered by about `k` boxes of equal side; boxes are drawn uniformly, none again before
    all have been, and one cell uniformly from each. With the same keys, an `rng` in the same state and the
    same `k`, which here does not depend on n, a choice of fewer cells lies inside this one.

    Parameters
    ----------
    k
        Boxes to cover the cells with: a number, a fraction of the cells, or "auto" for 1 % of the cells (as
        in DenAdel et al. 2026), at least their square root (as in geosketch).
    alpha
        The covering is accepted when it has (1 ± alpha) k boxes.
    max_iter
        Coverings to try at most.
    replace
        Draw cells with replacement. The selection then holds every cell that was drawn, fewer than `n`, and
        how often as its weight.
    engine
        "curate" covers as geosketch does, box for box, and draws by the same law, by the keys of the cells.
        "geosketch" is geosketch itself, seeded from `rng`: for comparison, up to some 100,000 cells.
    covering
        What `prepare` returned: a covering serves every size and seed.

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
    del cells
    check_n(n, keys.size)
    points = _checked(embedding, keys.size)
    notes: dict[str, int | float | str] = {"k": covering_size(k, keys.size)}
    if n == keys.size and not replace:
        return Selection(np.arange(n), notes=notes)
    if engine == "geosketch":
        drawn = _geosketch(points, n, rng=rng, k=notes["k"], alpha=alpha, max_iter=max_iter, replace=replace)
        drawn = drawn if replace else _exactly(n, drawn, keys)
    else:
        from curate.build.covering.draw import draw, draw_with_replacement

        shared = covering or prepare(points, k=k, alpha=alpha, max_iter=max_iter)["covering"]
        boxes: Covering = shared()
        notes |= {"n_boxes": boxes.n_boxes, "unit": boxes.unit}
        if boxes.n_constant:
            notes["n_constant_dimensions"] = boxes.n_constant
        drawn = draw_with_replacement(boxes, n, rng=rng) if replace else draw(boxes, n, keys=keys)
    if replace:
        rows, times = np.unique(drawn, return_counts=True)
        return Selection(rows, weights=times.astype(np.float32), notes=notes | {"n_draws": n})
    return Selection(drawn, notes=notes)


def prepare(
    embedding: NDArray[np.float32],
    *,
    k: int | float | str = "auto",
    alpha: float = 0.1,
    max_iter: int = 200,
    **other: object,
) -> dict[str, Any]:
    """Return the covering that sketches of these cells share, computed once, when first asked for."""
    del other

    @cache
    def covering() -> Covering:
        from curate.build.covering.covering import cover

        return cover(embedding, covering_size(k, embedding.shape[0]), alpha=alpha, max_iter=max_iter)

    return {"covering": covering}


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
    number = as_number(value)
    if number >= 1 and number.is_integer():
        return int(number)
    if 0 < number < 1:
        return number
    raise SelectionError(f"k={value} is neither auto, nor a number of boxes, nor a fraction between 0 and 1")


def _checked(embedding: NDArray[np.float32] | None, n_cells: int) -> NDArray[np.float32]:
    if embedding is None:
        raise SelectionError("sketch needs an embedding; make one with `curate embed`")
    if embedding.ndim != 2 or embedding.shape[0] != n_cells:
        raise SelectionError(f"the embedding has shape {embedding.shape} for {n_cells:,} cells")
    return embedding


def _geosketch(
    points: NDArray[np.float32], n: int, *, rng: np.random.Generator, **parameters: Any
) -> NDArray[np.int64]:
    from geosketch import gs

    from curate.build.covering.cuts import read_dimensions

    read_dimensions(points, n_threads=1)  # refuses what geosketch would stumble over
    seed = int(rng.integers(2**32))
    with _legacy_state_restored():
        return np.asarray(gs(points, n, seed=seed, **parameters), dtype=np.int64)


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


SKETCH = Strategy(
    select=sketch,
    summary="Cells spread evenly over the space that the embedding occupies.",
    reference="Hie et al., Cell Systems 2019, doi 10.1016/j.cels.2019.05.003",
    parameters=(
        Parameter(
            name="k",
            default="auto",
            parse=parse_k,
            metavar="N|FRACTION|auto",
            help="Covering boxes: a number, a fraction of the cells, or auto (1 %, at least the root).",
        ),
        Parameter(
            name="alpha",
            default=0.1,
            parse=between("alpha", 0, 1),
            metavar="FRACTION",
            help="Accept a covering with (1 ± alpha) k boxes.",
        ),
        Parameter(
            name="max_iter",
            default=200,
            parse=whole("max_iter", usual=200),
            metavar="N",
            help="Coverings to try at most.",
        ),
        Parameter(
            name="replace",
            default=False,
            parse=yes_no("replace"),
            metavar="yes|no",
            help="Draw with replacement; a cell's weight is then how often it was drawn.",
        ),
        Parameter(
            name="engine",
            default="curate",
            parse=one_of("engine", get_args(Engine)),
            metavar="curate|geosketch",
            help="Our own, or geosketch itself, to compare with.",
        ),
    ),
    needs_embedding=True,
    nested=True,
    prepare=prepare,
    growth="N d log N",
)
