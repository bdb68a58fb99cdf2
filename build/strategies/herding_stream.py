"""Kernel herding over a stream of cells in the order of their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from curate.build.strategies.herding_kernels import add_groups, herd
from curate.threads import ahead, mapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from curate.build.strategies.herding_features import FourierFeatures

MOST_CANDIDATES = 4_096
"""Cells that are looked at for one choice; more would hardly find a better one."""
CELLS_AT_ONCE = 1 << 19
"""Cells that are read together, in the order in which they are stored."""


def herd_stream(
    points: NDArray[np.float32], keys: NDArray[np.uint64], n: int, features: FourierFeatures
) -> NDArray[np.int64]:
    """Choose one cell of each of `n` groups of cells that follow each other by key.

    Each choice makes up for what the sum of the features of those before it lacks or has too much, measured
    by the cells seen so far, those of its own group included.

    Parameters
    ----------
    points
        float32 [n_cells, d], finite, read-only; may be memory-mapped.
    keys
        uint64 [n_cells]; of equal keys the first row comes first.

    Returns
    -------
    int64 [n], ascending.

    Notes
    -----
    Memory: 16 bytes a cell, two blocks of 524,288 cells, and three of the features of 4,096. Threads compute
    features, one chooses.
    """
    order = np.argsort(keys, kind="stable")
    owed = np.zeros(features.n_features)
    chosen: list[NDArray[np.int64]] = []
    share = n / keys.size

    def computed(read: _Read) -> _Computed:
        piece = read.piece
        values = features.of(read.points, read.rows)
        sums = np.empty((piece.ends.size, features.n_features))
        add_groups(values, piece.ends, sums)
        return _Computed(piece, values if piece.is_first else None, sums)

    candidates: _Computed | None = None
    for each in mapped(computed, _read(points, order, _pieces(keys.size, n))):
        piece = each.piece
        if piece.is_first:
            candidates = each
        elif candidates is not None:  # of a group of many pieces the first gives the choice, all the sum
            candidates.sums[0] += each.sums[0]
        if piece.is_last and candidates is not None and candidates.features is not None:
            taken = np.empty(piece.ends.size, dtype=np.int64)
            herd(candidates.features, candidates.piece.ends, candidates.sums, share, owed, taken)
            chosen.append(order[candidates.piece.start + taken])
    return np.sort(np.concatenate(chosen))


class _Piece(NamedTuple):
    """Cells that follow each other by key: whole groups, or a part of one group."""

    start: int
    ends: NDArray[np.int64]
    is_first: bool = True
    is_last: bool = True

    @property
    def stop(self) -> int:
        return self.start + int(self.ends[-1])


class _Read(NamedTuple):
    """Cells that are read, and where the rows of a piece stand among them."""

    piece: _Piece
    points: NDArray[np.float32]
    rows: NDArray[np.int64]


class _Computed(NamedTuple):
    piece: _Piece
    features: NDArray[np.float32] | None
    sums: NDArray[np.float64]


def _pieces(n_cells: int, n: int) -> Iterator[_Piece]:
    """Divide cells into `n` groups of equal size, to within one, and these into pieces."""
    group = 0
    while group < n:
        start, end = n_cells * group // n, n_cells * (group + 1) // n
        if end - start > MOST_CANDIDATES:
            for at in range(start, end, MOST_CANDIDATES):
                ends = np.array([min(MOST_CANDIDATES, end - at)])
                yield _Piece(at, ends, is_first=at == start, is_last=at + MOST_CANDIDATES >= end)
            group += 1
            continue
        # As many groups as fit; the next would end beyond.
        last = min(n, ((start + MOST_CANDIDATES + 1) * n - 1) // n_cells)
        ends = n_cells * np.arange(group + 1, last + 1) // n - start
        yield _Piece(start, ends)
        group = last


def _read(points: NDArray[np.float32], order: NDArray[np.int64], pieces: Iterator[_Piece]) -> Iterator[_Read]:
    """Read the cells of pieces, many pieces at a time, from front to back."""

    def together() -> Iterator[list[_Piece]]:
        held: list[_Piece] = []
        for piece in pieces:
            held.append(piece)
            if piece.stop - held[0].start >= CELLS_AT_ONCE:
                yield held
                held = []
        if held:
            yield held

    def gathered() -> Iterator[tuple[list[_Piece], NDArray[np.float32], NDArray[np.int64]]]:
        for held in together():
            rows = order[held[0].start : held[-1].stop]
            by_row = np.argsort(rows)
            at = np.empty_like(by_row)
            at[by_row] = np.arange(by_row.size)
            read = points[rows[by_row]]
            read.flags.writeable = False
            yield held, read, at

    for held, read, at in ahead(gathered()):
        first = held[0].start
        for piece in held:
            yield _Read(piece, read, at[piece.start - first : piece.stop - first])
