"""The X layers of a store in the making: raw counts, normalised counts and the statistics of both axes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import tiledbsoma as soma

from curate.census import layout
from curate.census.tables import next_millisecond, tiledb_errors
from curate.documents import canonical_digest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import scipy.sparse as sp
    from numpy.typing import NDArray

#: Non-zeros in one TileDB fragment: about 60 bytes of memory each while it is sorted and written.
FRAGMENT_NONZEROS = 2**22
_TILE = 2048
_SMALLEST = np.finfo(np.float32).smallest_subnormal


@dataclass(frozen=True)
class CellStatistics:
    """The statistics columns of obs, one value a cell; the moments are over the non-zero counts."""

    raw_sum: NDArray[np.float64]
    nnz: NDArray[np.int64]
    raw_mean_nnz: NDArray[np.float64]
    raw_variance_nnz: NDArray[np.float64]


class CountsWriter:
    """Append blocks of cells to the layers of X."""

    def __init__(
        self, x: soma.Collection[Any], gene_lengths: NDArray[np.int64], *, path: Path, schema_version: str
    ) -> None:
        self._n_genes = len(gene_lengths)
        self._gene_lengths = gene_lengths
        self._path = path
        has_normalized = layout.version(schema_version) >= layout.STATISTICS_SINCE
        self._layers = ("raw", "normalized") if has_normalized else ("raw",)
        self._uris = {}
        for layer in self._layers:
            array = x.add_new_sparse_ndarray(
                layer,
                type=pa.float32(),
                shape=(1, self._n_genes),
                platform_config=layout.layer_config(layer),
            )
            self._uris[layer] = array.uri
            array.close()
        next_millisecond()
        self.n_cells = 0
        self._written_cells = 1
        self._waiting: list[
            tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]]
        ] = []
        self._waiting_nonzeros = 0
        self.gene_nnz = np.zeros(self._n_genes, np.int64)
        self._hashes = [hashlib.sha256() for _ in ("nonzeros a cell", "genes", "counts")]

    def add(
        self, blocks: Iterable[sp.csr_array], obs: pl.DataFrame, *, measured: NDArray[np.bool_]
    ) -> CellStatistics:
        """Take the counts of one dataset; return the statistics of its cells.

        Raises
        ------
        ValueError
            When the blocks do not fit obs, or hold anything but counts of measured genes.
        """
        is_full_length = _is_full_length(obs)
        parts, n_cells, gene_nnz = [], 0, np.zeros(self._n_genes, np.int64)
        for block in blocks:
            counts = _checked(block, n_genes=self._n_genes)
            if n_cells + counts.shape[0] > obs.height:
                raise ValueError(f"blocks hold more than the {obs.height} cells of obs")
            self._take(counts, is_full_length[n_cells : n_cells + counts.shape[0]])
            for held, values in zip(
                self._hashes,
                (np.diff(counts.indptr).astype("<i8"), counts.indices.astype("<i8"), counts.data),
                strict=True,
            ):
                held.update(values.tobytes())
            parts.append(_statistics(counts))
            gene_nnz += np.bincount(counts.indices, minlength=self._n_genes)
            n_cells += counts.shape[0]
        if n_cells != obs.height:
            raise ValueError(f"blocks hold {n_cells} cells, obs {obs.height}")
        if n_unmeasured := int((gene_nnz[~measured] > 0).sum()):
            raise ValueError(f"{n_unmeasured} genes have counts and are not in measured")
        self.gene_nnz += gene_nnz
        return CellStatistics(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in CellStatistics.__dataclass_fields__
            )
        )

    @property
    def digest(self) -> str:
        """sha256 (hex) of all counts so far, in joinid order, whatever the blocks that they came in."""
        return canonical_digest({"counts": [held.hexdigest() for held in self._hashes]})

    def skip(self, n_cells: int) -> None:
        """Leave cells without counts."""
        self.n_cells += n_cells

    def finish(self) -> None:
        """Write what is waiting and give the layers their final shape."""
        self._flush()
        self._resize(self.n_cells)

    def _take(self, counts: sp.csr_array, is_full_length: NDArray[np.bool_]) -> None:
        for first, end in _pieces(counts.indptr):
            low, high = counts.indptr[first], counts.indptr[end]
            rows = np.repeat(
                np.arange(self.n_cells + first, self.n_cells + end, dtype=np.int64),
                np.diff(counts.indptr[first : end + 1]),
            )
            is_full = np.repeat(is_full_length[first:end], np.diff(counts.indptr[first : end + 1]))
            self._waiting.append(
                (rows, counts.indices[low:high].astype(np.int64), counts.data[low:high], is_full)
            )
            self._waiting_nonzeros += int(high - low)
            if self._waiting_nonzeros >= FRAGMENT_NONZEROS:
                self._flush()
        self.n_cells += counts.shape[0]

    def _flush(self) -> None:
        with tiledb_errors(self._path):
            self._write_fragment()

    def _write_fragment(self) -> None:
        if not self._waiting_nonzeros:
            return
        rows, columns, counts, is_full_length = (
            np.concatenate(each) for each in zip(*self._waiting, strict=True)
        )
        self._waiting, self._waiting_nonzeros = [], 0
        self._resize(int(rows[-1]) + 1)
        order = _tile_order(rows, columns, n_genes=self._n_genes)
        for layer in self._layers:
            values = (
                counts
                if layer == "raw"
                else _normalized(rows, columns, counts, self._gene_lengths, is_full_length)
            )
            table = pa.table(
                {"soma_dim_0": rows[order], "soma_dim_1": columns[order], "soma_data": values[order]}
            )
            with soma.SparseNDArray.open(self._uris[layer], "w") as array:
                array.write(table, platform_config=soma.TileDBWriteOptions(sort_coords=False))

    def _resize(self, n_cells: int) -> None:
        if n_cells <= self._written_cells:
            return
        for uri in self._uris.values():
            with soma.SparseNDArray.open(uri, "w") as array:
                array.resize((n_cells, self._n_genes))
        self._written_cells = n_cells
        next_millisecond()


def _checked(block: sp.csr_array, *, n_genes: int) -> sp.csr_array:
    if block.shape[1] != n_genes:
        raise ValueError(f"a block has {block.shape[1]} genes, the store {n_genes}")
    if block.dtype != np.float32 or not block.has_canonical_format or not block.data.all():
        block = block.astype(np.float32)
        block.sum_duplicates()
        block.eliminate_zeros()
    data = block.data
    if len(data) and not (data.min() >= 0 and np.isfinite(data.max()) and (data == np.floor(data)).all()):
        raise ValueError("a block holds values that are not counts: negative, fractional or not finite")
    return block


def _statistics(counts: sp.csr_array) -> CellStatistics:
    values = counts.astype(np.float64)
    nnz = np.diff(counts.indptr).astype(np.int64)
    total = np.asarray(values.sum(axis=1), np.float64)
    # Sums of squares of counts are whole numbers far below 2**53, so this one-pass variance is exact.
    squares = values.power(2).sum(axis=1)
    variance = (squares - total**2 / np.maximum(nnz, 1)) / np.maximum(nnz - 1, 1)
    return CellStatistics(
        raw_sum=total,
        nnz=nnz,
        raw_mean_nnz=total / np.maximum(nnz, 1),
        raw_variance_nnz=np.where(nnz > 1, variance, 0.0),
    )


def _pieces(indptr: NDArray[np.integer]) -> list[tuple[int, int]]:
    """Cut the rows of a block where they reach FRAGMENT_NONZEROS."""
    pieces, first, n_cells = [], 0, len(indptr) - 1
    while first < n_cells:
        end = int(np.searchsorted(indptr, indptr[first] + FRAGMENT_NONZEROS, side="right")) - 1
        end = min(max(end, first + 1), n_cells)
        pieces.append((first, end))
        first = end
    return pieces


def _tile_order(rows: NDArray[np.int64], columns: NDArray[np.int64], *, n_genes: int) -> NDArray[np.int64]:
    """Sort row-major entries by tile, then row, then column: TileDB's global order."""
    n_tiles = -(-n_genes // _TILE)
    tile = (rows // _TILE - rows[0] // _TILE) * n_tiles + columns // _TILE
    small = tile.astype(np.uint16) if tile.max() < 2**16 else tile
    return np.argsort(small, kind="stable")


def _is_full_length(obs: pl.DataFrame) -> NDArray[np.bool_]:
    if "assay_ontology_term_id" not in obs.columns:
        return np.zeros(obs.height, np.bool_)
    terms = obs["assay_ontology_term_id"].cast(pl.String)
    return terms.is_in(sorted(layout.FULL_LENGTH_ASSAYS)).fill_null(value=False).to_numpy()


def _normalized(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    counts: NDArray[np.float32],
    gene_lengths: NDArray[np.int64],
    is_full_length: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Divide by the length of the gene where the assay counts fragments, then by the cell's total.

    Kept to 15 bits of mantissa, ties to even, and never zero, as in the Census.
    """
    values = counts.astype(np.float64)
    if is_full_length.any():
        values = np.where(is_full_length, values / gene_lengths[columns], values)
    starts = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]])
    totals = np.add.reduceat(values, starts)
    values /= np.repeat(totals, np.diff(np.r_[starts, len(rows)]))
    bits = values.astype(np.float32).view(np.int32)
    bits += ((bits >> 8) & 1) + 127
    bits &= ~np.int32(255)
    rounded = bits.view(np.float32)
    rounded[rounded == 0] = _SMALLEST
    return rounded
