"""The counts of a unit of cells, in the order of their rows in the shards, as they wait on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from curate.atomic import atomic_file
from curate.errors import ShardError
from curate.train.shards.kernels import take_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from curate.passes.counts import Counts

SMALL, LARGE = np.uint16, np.uint32


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

    def save(self, path: Path) -> None:
        """Write it, aside and renamed."""
        arrays = {"rows": self.rows, "indptr": self.indptr, "indices": self.indices, "data": self.data}
        with atomic_file(path) as aside:
            save_file(arrays, aside)


def spool_unit(runs: Sequence[NDArray[np.int64]], rows: NDArray[np.int64], *, counts: Counts) -> Spooled:
    """Read the counts of a unit of cells and sort them by their rows in the shards."""
    return spooled([block.counts for block in counts.blocks(runs)], rows)


def spooled(blocks: Sequence[sp.csr_array], rows: NDArray[np.int64]) -> Spooled:
    """Put blocks of cells, whose rows in the shards are `rows`, into the order of those rows.

    Raises
    ------
    ShardError
        When a value is no count.
    """
    indptr = _joined_indptr(blocks)
    n_genes = blocks[0].shape[1]
    indices = np.concatenate([block.indices for block in blocks]).astype(_index_type(n_genes))
    values = np.concatenate([block.data for block in blocks])
    data = values.astype(LARGE if values.max(initial=0) > np.iinfo(SMALL).max else SMALL)
    if not np.array_equal(data, values):
        wrong = values[data != values][0]
        raise ShardError(
            f"a count is {wrong:g}, and counts are whole numbers from 0; name a layer of raw counts"
        )
    order = np.argsort(rows)
    return Spooled(rows[order], *take_rows(indptr, indices, data, order))


class Spool:
    """The spooled units of a folder, opened; parts of them are read when asked for."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files: list[Any] = [safe_open(path, "numpy") for path in paths]
        self._rows = [file.get_tensor("rows") for file in self._files]
        self._indptr = [file.get_tensor("indptr") for file in self._files]

    def read(self, first: int, stop: int) -> Spooled:
        """Return the counts of rows `first` … `stop` - 1, in their order."""
        rows, lengths, indices, data = [], [], [], []
        for file, held, indptr in zip(self._files, self._rows, self._indptr, strict=True):
            low, high = np.searchsorted(held, [first, stop])
            if low == high:
                continue
            rows.append(held[low:high])
            lengths.append(np.diff(indptr[low : high + 1]))
            span = slice(int(indptr[low]), int(indptr[high]))
            indices.append(file.get_slice("indices")[span])
            data.append(file.get_slice("data")[span])
        together = np.concatenate(rows)
        indptr = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
        order = np.argsort(together)
        return Spooled(
            together[order], *take_rows(indptr, np.concatenate(indices), np.concatenate(data), order)
        )


def is_whole(path: Path, rows: NDArray[np.int64]) -> bool:
    """Tell whether a file is there, and holds the counts of these rows."""
    try:
        with safe_open(path, "numpy") as file:
            return np.array_equal(file.get_tensor("rows"), np.sort(rows))
    except (OSError, SafetensorError):
        return False


def _joined_indptr(blocks: Sequence[sp.csr_array]) -> NDArray[np.int64]:
    lengths: list[Any] = [np.diff(block.indptr) for block in blocks]
    return np.concatenate([[0], np.cumsum(np.concatenate(lengths), dtype=np.int64)])


def _index_type(n_genes: int) -> type[np.unsignedinteger]:
    return SMALL if n_genes - 1 <= np.iinfo(SMALL).max else LARGE
