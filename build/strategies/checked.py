"""Whether a strategy keeps what every strategy promises, checked whenever it chooses."""

from __future__ import annotations

import copy
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.build.selection import Selection, check_n
from curate.errors import CurateError, SelectionError
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl
    from numpy.typing import NDArray


def checked(
    select: Callable[..., Any], *, name: str, path: str = "", leaving_out: str = ""
) -> Callable[..., Selection]:
    """Return `select` with its promises checked: n distinct rows of those there are, the same once more.

    It is called twice, with generators in the same state, and so takes twice its time. What it is given it
    cannot write to.

    Parameters
    ----------
    select
        As `Strategy.select`; it may return row numbers instead of a Selection, in any order.
    name
        What messages call it.
    path
        Its file: messages name the line of it.
    leaving_out
        A setting that is not passed on.
    """

    def select_and_check(
        cells: pl.DataFrame,
        embedding: NDArray[np.float32] | None,
        n: int,
        *,
        keys: NDArray[np.uint64],
        rng: np.random.Generator,
        **settings: Any,
    ) -> Selection:
        check_n(n, keys.size)
        settings.pop(leaving_out, None)

        def choose(rng: np.random.Generator) -> Selection:
            values = None if embedding is None else _unwritable(embedding)
            try:
                result = select(cells, values, n, keys=_unwritable(keys), rng=rng, **settings)
            except CurateError:
                raise
            except (Exception, SystemExit) as error:  # somebody's code: anything can come
                raise SelectionError(f"{name} raised {told(error, path)}") from error
            return _selection(result, n, keys.size, name)

        first, second = choose(copy.deepcopy(rng)), choose(rng)
        if not _is_same(first, second):
            n_other = n - int(np.isin(first.rows, second.rows).sum())
            what = f"{counted(n_other, 'cell')} of {n:,} differ" if n_other else "weights or rank differ"
            raise SelectionError(
                f"{name} is not deterministic: called twice with a generator in the same state, {what}; draw "
                "by keys and rng only"
            )
        return first

    select_and_check.__name__ = getattr(select, "__name__", name)
    return select_and_check


def told(error: BaseException, path: str) -> str:
    """Return what an error says, with the line of the file it comes from."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return f"{type(error).__name__}: {error.msg} (line {error.lineno} of {Path(path).name})"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    where = f" (line {lines[-1]} of {Path(path).name})" if lines else ""
    return f"{type(error).__name__}: {error}{where}"


def _unwritable(values: NDArray[Any]) -> NDArray[Any]:
    view = values.view()
    view.flags.writeable = False
    return view


def _selection(result: object, n: int, n_cells: int, name: str) -> Selection:
    """Return what a function returned as a Selection in ascending order, or say what is wrong with it."""
    selection = result if isinstance(result, Selection) else Selection(_rows(result, name))
    rows = _rows(selection.rows, name)
    outside = rows[(rows < 0) | (rows >= n_cells)]
    if outside.size:
        raise SelectionError(
            f"{name} returned row {outside[0]:,}, but rows go from 0 to {n_cells - 1:,}; "
            f"{counted(outside.size, 'row')} of {rows.size:,} are out of range"
        )
    order = np.argsort(rows, kind="stable")
    ascending = rows[order]
    again = ascending[1:][np.diff(ascending) == 0]
    if again.size:
        raise SelectionError(
            f"{name} returned {rows.size:,} rows of which {np.unique(ascending).size:,} are distinct, row "
            f"{again[0]:,} more than once; return each once"
        )
    if rows.size != n:
        raise SelectionError(f"{name} returned {rows.size:,} rows where {n:,} were asked for")
    return replace(
        selection,
        rows=ascending,
        weights=_weights(selection.weights, order, name),
        rank=_rank(selection.rank, order, name),
        notes=_notes(selection.notes, name),
    )


def _rows(result: object, name: str) -> NDArray[np.int64]:
    expected = f"{name} is to return row numbers, whole numbers in one dimension, or a Selection"
    if result is None or isinstance(result, (str, bytes, dict)):
        raise SelectionError(f"{expected}; it returned {type(result).__name__}")
    try:
        rows = np.asarray(result)
    except (TypeError, ValueError):
        raise SelectionError(f"{expected}; it returned {type(result).__name__}") from None
    if rows.dtype == np.bool_:
        raise SelectionError(f"{expected}; it returned a mask: np.flatnonzero(mask) has its rows")
    if rows.ndim != 1 or not (np.issubdtype(rows.dtype, np.integer) or rows.size == 0):
        shape = " x ".join(map(str, rows.shape)) or "one value"
        raise SelectionError(f"{expected}; it returned {type(result).__name__} ({rows.dtype}, {shape})")
    return rows.astype(np.int64)


def _weights(weights: Any, order: NDArray[np.int64], name: str) -> NDArray[np.float32] | None:
    if weights is None:
        return None
    held = np.asarray(weights, dtype=np.float32)
    if held.shape != order.shape or not (np.isfinite(held).all() and (held > 0).all()):
        raise SelectionError(f"{name} returned weights that are not one finite number above 0 for each row")
    return held[order]


def _rank(rank: Any, order: NDArray[np.int64], name: str) -> NDArray[np.int32] | None:
    if rank is None:
        return None
    held = np.asarray(rank)
    is_whole = np.issubdtype(held.dtype, np.integer)
    if held.shape != order.shape or not is_whole or np.unique(held).size < held.size:
        raise SelectionError(f"{name} returned a rank that is not a distinct whole number for each row")
    return held.astype(np.int32)[order]


def _notes(notes: Any, name: str) -> dict[str, int | float | str]:
    for key, value in notes.items():
        if not isinstance(value, (int, float, str, np.integer, np.floating)) or value != value:
            raise SelectionError(f"{name} returned the note {key}={value!r}; notes are numbers and texts")
    return dict(notes)


def _is_same(first: Selection, second: Selection) -> bool:
    pairs = [(first.rows, second.rows), (first.weights, second.weights), (first.rank, second.rank)]
    return all(
        (a is None) == (b is None) and (a is None or b is None or np.array_equal(a, b)) for a, b in pairs
    )
