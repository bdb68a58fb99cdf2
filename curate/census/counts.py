"""Read counts as CSR blocks in joinid order, assembled from Arrow tables."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from curate.census.counts_kernels import lay_down, sift

if TYPE_CHECKING:
    from collections.abc import Iterator

    import tiledbsoma as soma
    from numpy.typing import NDArray

#: Two rows of tiles: 4096 cells x 2,000 non-zeros take about 0.25 GB while they are assembled.
BLOCK_CELLS = 4096
#: Blocks get smaller where cells have so many genes that a block would hold more than this.
BLOCK_NONZEROS = 2**24
_TILE = 2048
#: Where more of a range than this is wanted, read the whole of it: tiles are decompressed as a whole anyway.
#: Other cells cost memory until they are left out, other genes little beside the time to look for the wanted.
_DENSE_CELLS, _DENSE_GENES = 0.3, 0.02


@dataclass(frozen=True)
class CountsBlock:
    """The counts of some consecutive cells of a list of joinids.

    Parameters
    ----------
    start
        Place of the first cell in the list.
    joinids
        int64 [b].
    counts
        float32 [b, n_genes], rows as joinids, columns as asked for, int64 index pointers, sorted indices.
    totals
        float64 [b], the counts of each cell in these genes, or in those that totals were asked for over.
    """

    start: int
    joinids: NDArray[np.int64]
    counts: sp.csr_array
    totals: NDArray[np.float64]


def read_blocks(
    array: soma.SparseNDArray,
    joinids: NDArray[np.int64],
    *,
    var_joinids: NDArray[np.int64] | None,
    totals_over: NDArray[np.int64] | None,
    block_cells: int,
) -> Iterator[CountsBlock]:
    """Yield the blocks of ascending joinids; one is read ahead while the caller works on the last."""
    genes = _Genes.of(var_joinids, array.shape[1], totals_over=totals_over)
    blocks = _blocks(array, joinids, genes, block_cells=block_cells)
    with ThreadPoolExecutor(max_workers=1) as reader:
        upcoming = reader.submit(next, blocks, None)
        while (block := upcoming.result()) is not None:
            upcoming = reader.submit(next, blocks, None)
            yield block


@dataclass(frozen=True)
class _Genes:
    """The genes wanted: how to ask TileDB for them, and the column of each soma_joinid, -1 for the others.

    `is_counted` are those that totals are over.
    """

    n: int
    coordinates: slice | pa.Array
    column: NDArray[np.int32]
    is_counted: NDArray[np.bool_]

    @classmethod
    def of(
        cls, var_joinids: NDArray[np.int64] | None, n_genes: int, *, totals_over: NDArray[np.int64] | None
    ) -> _Genes:
        wanted = np.arange(n_genes) if var_joinids is None else var_joinids
        column = np.full(n_genes, -1, np.int32)
        column[wanted] = np.arange(len(wanted), dtype=np.int32)
        is_counted = np.zeros(n_genes, np.bool_)
        is_counted[wanted if totals_over is None else totals_over] = True
        span = coordinates(np.flatnonzero(is_counted | (column >= 0)), dense=_DENSE_GENES)
        return cls(len(wanted), span, column, is_counted)


def _blocks(
    array: soma.SparseNDArray, joinids: NDArray[np.int64], genes: _Genes, *, block_cells: int
) -> Iterator[CountsBlock]:
    start, n_cells = 0, block_cells
    while start < len(joinids):
        end = _block_end(joinids, start, n_cells)
        counts, totals, n_read = _read(array, joinids[start:end], genes)
        yield CountsBlock(start, joinids[start:end], counts, totals)
        mean_nnz = max(n_read / (end - start), 1.0)
        n_cells = min(block_cells, max(1, int(BLOCK_NONZEROS / mean_nnz)))
        start = end


def _block_end(joinids: NDArray[np.int64], start: int, n_cells: int) -> int:
    """End a block where a row of tiles ends, if it can, so that no tile is read twice."""
    end = start + n_cells
    if end >= len(joinids):
        return len(joinids)
    aligned = int(np.searchsorted(joinids, joinids[end] // _TILE * _TILE))
    return aligned if aligned > start else end


def coordinates(joinids: NDArray[np.int64], *, dense: float) -> slice | pa.Array:
    """Return what to ask TileDB for: these joinids, or their whole range where so many of it are wanted."""
    first, last = int(joinids[0]), int(joinids[-1])
    is_dense = len(joinids) >= dense * (last - first + 1)
    # A range of TileDB includes its end.
    return slice(first, last) if is_dense else pa.array(joinids)


def _read(
    array: soma.SparseNDArray, cells: NDArray[np.int64], genes: _Genes
) -> tuple[sp.csr_array, NDArray[np.float64], int]:
    """Return the counts of some cells, their totals, and the number of non-zeros that were read for them."""
    n_of_cell, totals = np.zeros(len(cells), np.int64), np.zeros(len(cells))
    n_read, parts = 0, []
    # What Arrow holds takes 20 bytes a non-zero, what is kept of it 8: let go of one table before the next.
    for table in array.read((coordinates(cells, dense=_DENSE_CELLS), genes.coordinates)).tables():
        for batch in table.to_batches():
            parts.append(_sifted(batch, cells, genes, n_of_cell, totals))
            n_read += len(batch)
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(n_of_cell)])
    indices, data = np.empty(indptr[-1], np.int64), np.empty(indptr[-1], np.float32)
    following, last, ascends = indptr[:-1].copy(), np.full(len(cells), -1, np.int32), True
    for part in parts:
        ascends &= lay_down(*part, following, last, indices, data)
    counts = sp.csr_array((data, indices, indptr), shape=(len(cells), genes.n))
    # Tiles of one fragment come in order; other fragments, or genes asked for in another order, do not.
    counts.has_sorted_indices = ascends
    counts.sort_indices()
    return counts, totals, n_read


def _sifted(
    batch: pa.RecordBatch,
    cells: NDArray[np.int64],
    genes: _Genes,
    n_of_cell: NDArray[np.int64],
    totals: NDArray[np.float64],
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Return the wanted entries of a batch: their runs, genes and counts; see `sift`."""
    rows, columns, values = (column.to_numpy() for column in batch.columns)
    n = len(rows)
    runs, kept, counts = np.empty((n, 2), np.int32), np.empty(n, np.int32), np.empty(n, np.float32)
    n_kept, n_runs = sift(
        rows, columns, values, cells, genes.column, genes.is_counted, n_of_cell, totals, runs, kept, counts
    )
    # Copies, to let go of the rest.
    return runs[:n_runs].copy(), kept[:n_kept].copy(), counts[:n_kept].copy()
