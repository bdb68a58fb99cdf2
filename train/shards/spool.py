"""The counts of a unit of cells, in the order of their rows in the shards, as they wait on disk."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.atomic import atomic_file
from curate.errors import ShardError
from curate.train.shards.kernels import copy_rows, lay_down_counts, sift_counts, sort_genes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from curate.passes.counts import Counts

    Entries = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
    """Numbers of cells, numbers of genes and counts, as many of each."""

SMALL, LARGE = np.uint16, np.uint32
_SMALL_MAX = np.iinfo(SMALL).max


@dataclass(frozen=True)
class Spooled:
    """The counts of some cells.

    Attributes
    ----------
    rows
        int64 [n] ascending, their rows in the shards.
    indptr, indices, data
        CSR; gene numbers and counts are uint16, or uint32 where one needs it.
    """

    rows: NDArray[np.int64]
    indptr: NDArray[np.int64]
    indices: NDArray[np.unsignedinteger]
    data: NDArray[np.unsignedinteger]

    @property
    def n_bytes(self) -> int:
        """What it takes in memory."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))

    def save(self, path: Path) -> None:
        """Write it, aside and renamed: the arrays one after the other as NumPy writes them."""
        with atomic_file(path) as aside, aside.open("wb") as stream:
            for field in fields(self):
                np.lib.format.write_array(stream, getattr(self, field.name), allow_pickle=False)

    @classmethod
    def open(cls, path: Path) -> Spooled:
        """Open it memory-mapped.

        Raises
        ------
        OSError, ValueError
            When the file is not there, or not whole.
        """
        arrays = []
        with path.open("rb") as stream:
            held = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            for _ in fields(cls):
                np.lib.format.read_magic(stream)
                shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
                arrays.append(np.frombuffer(held, dtype, shape[0], stream.tell()))
                stream.seek(arrays[-1].nbytes, 1)
        return cls(*arrays)


def spool_unit(runs: Sequence[NDArray[np.int64]], rows: NDArray[np.int64], *, counts: Counts) -> Spooled:
    """Read the counts of a unit of cells into the order of their rows in the shards."""
    return spooled(
        counts.entries(runs), np.concatenate(runs), rows, column=counts.columns, n_genes=counts.n_genes
    )


def spooled(
    entries: Iterable[Entries],
    cells: NDArray[np.int64],
    rows: NDArray[np.int64],
    *,
    column: NDArray[np.int32],
    n_genes: int,
) -> Spooled:
    """Put the entries of cells, whose rows in the shards are `rows`, into the order of those rows.

    Memory: 4 bytes an entry twice, and 6 bytes an entry of what `entries` yields at a time.

    Parameters
    ----------
    cells
        int64 [n] ascending, the numbers of the cells wanted.
    column
        The column of each number of a gene, -1 where it is not wanted.

    Raises
    ------
    ShardError
        When a value is no count.
    """
    index_type = SMALL if n_genes - 1 <= _SMALL_MAX else LARGE
    n_of_cell, most, parts = np.zeros(cells.size, np.int64), 0, []
    for numbers, genes, values in entries:
        n = numbers.size
        runs, kept, counts = np.empty((n, 2), np.int32), np.empty(n, index_type), np.empty(n, LARGE)
        found = sift_counts(numbers, genes, values, cells, column, n_of_cell, runs, kept, counts)
        n_kept, n_runs, largest, are_counts = found
        if not are_counts:
            _refuse(values[(column[genes] >= 0) & np.isin(numbers, cells)])
        most = max(most, int(largest))
        data_type = SMALL if largest <= _SMALL_MAX else LARGE
        # Copies, to let go of the rest.
        parts.append((runs[:n_runs].copy(), kept[:n_kept].copy(), counts[:n_kept].astype(data_type)))
    order = np.argsort(rows)
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(n_of_cell[order])])
    following = np.empty(cells.size, np.int64)
    following[order] = indptr[:-1]
    indices = np.empty(indptr[-1], index_type)
    data = np.empty(indptr[-1], SMALL if most <= _SMALL_MAX else LARGE)
    last, ascends = np.full(cells.size, -1, np.int64), True
    for part in parts:
        ascends &= lay_down_counts(*part, following, last, indices, data)
    if not ascends:
        # Tiles of one fragment come in order; other fragments do not.
        sort_genes(indptr, indices, data)
    return Spooled(rows[order], indptr, indices, data)


def entries_of(blocks: Iterable[sp.csr_array]) -> Iterator[Entries]:
    """Yield the entries of blocks of cells, which count from 0 on."""
    first = 0
    for block in blocks:
        cells = np.repeat(np.arange(first, first + block.shape[0]), np.diff(block.indptr))
        yield cells, block.indices.astype(np.int64), block.data
        first += block.shape[0]


class Spool:
    """Units that wait for the shards: in memory while they fit into `budget` bytes, else all on disk."""

    def __init__(self, *, budget: int) -> None:
        self._budget = budget
        self._held: dict[Path, Spooled] = {}
        self._opened: list[Spooled] = []

    def found(self, path: Path, rows: NDArray[np.int64]) -> bool:
        """Take a unit that an earlier run has left on disk; tell whether it is there and whole."""
        try:
            unit = Spooled.open(path)
        except (OSError, ValueError):
            return False
        if not np.array_equal(unit.rows, np.sort(rows)):
            return False
        self._opened.append(unit)
        return True

    def add(self, unit: Spooled, path: Path) -> None:
        """Take a unit; `path` is where it waits if it has to wait on disk."""
        self._held[path] = unit
        if sum(each.n_bytes for each in self._held.values()) > self._budget:
            self._budget = 0
            for held_path, held in self._held.items():
                held.save(held_path)
                self._opened.append(Spooled.open(held_path))
            self._held.clear()

    def read(self, first: int, stop: int) -> Spooled:
        """Return the counts of rows `first` … `stop` - 1, in their order."""
        units = [*self._opened, *self._held.values()]
        spans = [np.searchsorted(unit.rows, [first, stop]) for unit in units]
        parts = [(u, low, high) for u, (low, high) in zip(units, spans, strict=True) if low < high]
        indptr = np.zeros(stop - first + 1, np.int64)
        for unit, low, high in parts:
            indptr[unit.rows[low:high] - first + 1] = np.diff(unit.indptr[low : high + 1])
        np.cumsum(indptr, out=indptr)
        indices = np.empty(indptr[-1], _widest(unit.indices for unit, _, _ in parts))
        data = np.empty(indptr[-1], _widest(unit.data for unit, _, _ in parts))
        for unit, low, high in parts:
            at = indptr[unit.rows[low:high] - first]
            held = (unit.indptr, unit.indices, unit.data)
            copy_rows(*held, np.arange(low, high), at, indices, data)
        return Spooled(np.arange(first, stop), indptr, indices, data)


def _widest(arrays: Iterable[NDArray[np.unsignedinteger]]) -> np.dtype[np.unsignedinteger]:
    return max((array.dtype for array in arrays), key=lambda dtype: dtype.itemsize)


def _refuse(values: NDArray[np.floating]) -> None:
    with np.errstate(invalid="ignore"):
        wrong = values[(values < 0) | (values != np.floor(values)) | ~(values < 2**32)]
    raise ShardError(
        f"a count is {wrong[0]:g}, and counts are whole numbers from 0; name a layer of raw counts"
    )
