"""The matrix of an h5ad file, read row by row whatever its layout: CSR, CSC or dense."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import h5py
import numpy as np
import scipy.sparse as sp

from curate.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

# Stored values held in memory at a time, while checking and in one block: 32 MiB of float32.
MAX_VALUES = 2**23
# Stored values sorted at a time while a matrix is turned from columns to rows: about 60 bytes each.
_TURNED_VALUES = 2**21
# Above this, float32 (what a Census stores) no longer tells two neighbouring counts apart.
MAX_COUNT = 2**24


class Matrix(Protocol):
    """Rows of a matrix on disk."""

    shape: tuple[int, int]
    n_values: int

    def values(self) -> Iterator[NDArray[Any]]:
        """Yield every stored value, in pieces of at most MAX_VALUES."""

    def end(self, start: int, block_cells: int) -> int:
        """Return where a block of at most `block_cells` rows and MAX_VALUES values ends (one at least)."""

    def rows(self, start: int, end: int) -> sp.csr_array:
        """Return rows as float32 CSR [end - start, n_columns]: sorted, no explicit zeros, int64 pointers."""


def open_matrix(node: h5py.Group | h5py.Dataset, scratch: Callable[[], Path]) -> Matrix:
    """Return the reader of a matrix as anndata wrote it, in today's encoding or the one before 0.7.

    Parameters
    ----------
    scratch
        Makes the folder for the row-wise copy that a CSC matrix needs: 8 bytes a stored value, on first use.

    Raises
    ------
    SourceError
        When it is neither dense nor CSR nor CSC, or when its parts do not fit together.
    """
    if isinstance(node, h5py.Dataset):
        if node.ndim != 2:
            raise SourceError(f"{node.name} has {node.ndim} dimensions instead of 2")
        return _Dense(node, (node.shape[0], node.shape[1]))
    layout = str(node.attrs.get("encoding-type", node.attrs.get("h5sparse_format", "?"))).removesuffix(
        "_matrix"
    )
    if layout not in ("csr", "csc") or any(part not in node for part in ("data", "indices", "indptr")):
        raise SourceError(f"{node.name} is stored as {layout!r}; dense, csr and csc can be read")
    n_rows, n_columns = (int(n) for n in node.attrs.get("shape", node.attrs.get("h5sparse_shape", (0, 0))))
    n_major, n_minor = (n_rows, n_columns) if layout == "csr" else (n_columns, n_rows)
    indptr = node["indptr"][:].astype(np.int64)
    n_values = node["data"].shape[0]
    fits = (
        len(indptr) == n_major + 1 and indptr[0] == 0 and indptr[-1] == n_values == node["indices"].shape[0]
    )
    if not fits or (np.diff(indptr) < 0).any():
        raise SourceError(
            f"{node.name} is damaged: its indptr does not fit its {n_values} values; write it again"
        )
    compressed = _Compressed(node.name, indptr, node["indices"], node["data"], n_minor)
    return _Rows(compressed, (n_rows, n_columns)) if layout == "csr" else _Columns(compressed, scratch)


@dataclass(frozen=True)
class _Compressed:
    """Values along a major axis: `indptr` in memory (8 bytes an entry), the others on disk."""

    name: str
    indptr: NDArray[np.int64]
    indices: h5py.Dataset | NDArray[Any]
    data: h5py.Dataset | NDArray[Any]
    n_minor: int

    def pieces(self, n_values: int) -> Iterator[slice]:
        for start in range(0, len(self.data), n_values):
            yield slice(start, min(start + n_values, len(self.data)))

    def read_indices(self, piece: slice) -> NDArray[np.int64]:
        indices: NDArray[np.int64] = self.indices[piece].astype(np.int64)
        if len(indices) and not (indices.min() >= 0 and indices.max() < self.n_minor):
            wrong = indices.min() if indices.min() < 0 else indices.max()
            raise SourceError(
                f"{self.name} is damaged: index {wrong} with {self.n_minor} entries; write it again"
            )
        return indices


class _Rows:
    def __init__(self, compressed: _Compressed, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.n_values = len(compressed.data)
        self._c = compressed

    def values(self) -> Iterator[NDArray[Any]]:
        for piece in self._c.pieces(MAX_VALUES):
            yield self._c.data[piece]

    def end(self, start: int, block_cells: int) -> int:
        indptr = self._c.indptr
        full = int(np.searchsorted(indptr, indptr[start] + MAX_VALUES, side="right")) - 1
        return min(max(full, start + 1), start + block_cells, self.shape[0])

    def rows(self, start: int, end: int) -> sp.csr_array:
        indptr = self._c.indptr[start : end + 1]
        piece = slice(int(indptr[0]), int(indptr[-1]))
        data = self._c.data[piece].astype(np.float32)
        indices = self._c.read_indices(piece)
        return _canonical(
            sp.csr_array((data, indices, indptr - indptr[0]), shape=(end - start, self.shape[1]))
        )


class _Columns:
    """A CSC matrix; the first read of rows copies it row-wise into `scratch`."""

    def __init__(self, compressed: _Compressed, scratch: Callable[[], Path]) -> None:
        self.shape = (compressed.n_minor, len(compressed.indptr) - 1)
        self.n_values = len(compressed.data)
        self._c = compressed
        self._scratch = scratch
        self._by_rows: _Rows | None = None

    def values(self) -> Iterator[NDArray[Any]]:
        for piece in self._c.pieces(MAX_VALUES):
            yield self._c.data[piece]

    def end(self, start: int, block_cells: int) -> int:
        return self._rows().end(start, block_cells)

    def rows(self, start: int, end: int) -> sp.csr_array:
        return self._rows().rows(start, end)

    def _rows(self) -> _Rows:
        if self._by_rows is None:
            self._by_rows = _Rows(_transposed(self._c, self._scratch()), self.shape)
        return self._by_rows


class _Dense:
    def __init__(self, dataset: h5py.Dataset, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.n_values = shape[0] * shape[1]
        self._dataset = dataset

    def values(self) -> Iterator[NDArray[Any]]:
        start = 0
        while start < self.shape[0]:
            end = self.end(start, self.shape[0])
            yield self._dataset[start:end].ravel()
            start = end

    def end(self, start: int, block_cells: int) -> int:
        full = max(1, MAX_VALUES // max(1, self.shape[1]))
        return min(start + full, start + block_cells, self.shape[0])

    def rows(self, start: int, end: int) -> sp.csr_array:
        return _canonical(sp.csr_array(self._dataset[start:end].astype(np.float32)))


def _canonical(rows: sp.csr_array) -> sp.csr_array:
    rows.sum_duplicates()
    rows.eliminate_zeros()
    return with_int64_pointers(rows)


def with_int64_pointers(rows: sp.csr_array) -> sp.csr_array:
    """Return the same matrix (changed in place) with index pointers that do not overflow at 2**31."""
    rows.indptr = rows.indptr.astype(np.int64)
    return rows


def _transposed(columns: _Compressed, scratch: Path) -> _Compressed:
    """Return the values along the other axis, in files under `scratch`; memory: 120 MB, 24 bytes a row."""
    n_values, n_rows = len(columns.data), columns.n_minor
    needed, free = 8 * n_values, shutil.disk_usage(scratch).free
    if needed > free:
        raise SourceError(
            f"{columns.name} is stored by columns; to read it by rows {needed / 1e9:.1f} GB are needed in "
            f"{scratch} and {free / 1e9:.1f} GB are free; set TMPDIR to a larger disk or store it as CSR"
        )
    indptr = np.zeros(n_rows + 1, dtype=np.int64)
    for piece in columns.pieces(_TURNED_VALUES):
        indptr[1:] += np.bincount(columns.read_indices(piece), minlength=n_rows)
    indptr = np.cumsum(indptr)
    # A file of no length cannot be mapped.
    indices = np.memmap(scratch / "indices", dtype=np.int32, mode="w+", shape=(max(1, n_values),))[:n_values]
    data = np.memmap(scratch / "data", dtype=np.float32, mode="w+", shape=(max(1, n_values),))[:n_values]
    next_place = indptr[:-1].copy()
    for piece in columns.pieces(_TURNED_VALUES):
        row = columns.read_indices(piece)
        column = np.searchsorted(columns.indptr, np.arange(piece.start, piece.stop), side="right") - 1
        # Stable: the columns of a row stay in their order.
        order = np.argsort(row, kind="stable")
        row = row[order]
        nth_of_row = np.arange(len(row)) - np.searchsorted(row, row, side="left")
        place = next_place[row] + nth_of_row
        indices[place] = column[order]
        data[place] = columns.data[piece][order]
        next_place += np.bincount(row, minlength=n_rows)
    return _Compressed(columns.name, indptr, indices, data, len(columns.indptr) - 1)


def flaw(matrix: Matrix, advance: Callable[[int], None] = lambda n: None) -> str | None:
    """Return why a matrix does not hold raw counts, None when it does; every stored value is looked at.

    Counts are integers of any dtype, at least 0, at most 2**24 (exact in float32), and not all zero.

    Parameters
    ----------
    advance
        Called with the number of values looked at, piece by piece.
    """
    some_positive = False
    for values in matrix.values():
        if why_not := flaw_of(values):
            return why_not
        some_positive = some_positive or bool(values.any())
        advance(len(values))
    return None if some_positive else "no value above zero"


def flaw_of(values: NDArray[Any]) -> str | None:
    """Return why values are no counts, None when they are; zeros alone are counts too."""
    if values.dtype.kind not in "biuf":
        return f"values of type {values.dtype}"
    if values.dtype.kind == "f":
        # NaN differs from itself; infinity does not differ from its rint.
        broken = (values != np.rint(values)) | ~np.isfinite(values)
        if broken.any():
            n, example = int(broken.sum()), values[broken][0]
            return f"values that are no integers ({n:,} of the first {len(values):,}, such as {example:.6g})"
    if values.dtype.kind in "fi" and (values < 0).any():
        n, example = int((values < 0).sum()), values[values < 0][0]
        return f"negative values ({n:,} of the first {len(values):,}, such as {example:g})"
    if len(values) and values.max() > MAX_COUNT:
        return f"a count of {values.max():,.0f}, above the {MAX_COUNT:,} that float32 holds exactly"
    return None
