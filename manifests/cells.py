"""The cells of a manifest: in memory, as Parquet, and as the digest that enters the id."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curate.documents import canonical_digest
from curate.errors import ManifestError
from curate.manifests import cell_columns as columns
from curate.manifests.cell_columns import NO_RANK
from curate.manifests.document import CENSUS, SPLITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

REQUIRED = ("source", "soma_joinid", "split")
OPTIONAL = ("weight", "rank")
ROW_GROUP_CELLS = 2**20


@dataclass(frozen=True)
class Cells:
    """The cells of a manifest, by source and then by joinid.

    Attributes
    ----------
    sources
        Source → number of cells, sources in alphabetical order. "census" are the corpus' own cells.
    soma_joinid
        int64 [n_cells], ascending and distinct inside a source. Of a spike-in source: the row in that source.
    split
        uint8 [n_cells], an index into SPLITS.
    weight, rank
        float32 [n_cells] (nan: none) and int32 [n_cells] (-1: none), or None where they mean nothing.
    """

    sources: dict[str, int]
    soma_joinid: NDArray[np.int64]
    split: NDArray[np.uint8]
    weight: NDArray[np.float32] | None = None
    rank: NDArray[np.int32] | None = None

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> Cells:
        """Take cells in any order, text in any encoding; put them into the order of the format.

        Parameters
        ----------
        frame
            Columns source, soma_joinid, split, and where they mean something weight and rank.

        Raises
        ------
        ManifestError
            When a column is missing or unknown, a cell stands twice, or a value is out of range.
        """
        unknown = sorted(set(frame.columns) - {*REQUIRED, *OPTIONAL})
        if unknown:
            raise ManifestError(
                f"cells have a column {unknown[0]!r}; a manifest holds: {', '.join(REQUIRED + OPTIONAL)}"
            )
        cells, source = cls._of(frame.to_arrow())
        if _first_out_of_order(source, cells.soma_joinid) is not None:
            order = np.lexsort((cells.soma_joinid, source))
            cells, source = cells._take(order), source[order]
        twice = _first_out_of_order(source, cells.soma_joinid)
        if twice is not None:
            name, joinid = list(cells.sources)[source[twice]], cells.soma_joinid[twice]
            raise ManifestError(
                f"cell {joinid} of source {name!r} stands twice; a manifest holds a cell once"
            )
        return cells

    @classmethod
    def from_parquet(cls, data: bytes) -> Cells:
        """Read cells.parquet from its bytes; columns that the format does not name are left alone.

        Raises
        ------
        ManifestError
            When the schema or the order is not that of the format.
        """
        try:
            file = pq.ParquetFile(pa.BufferReader(data))
            names = [name for name in file.schema_arrow.names if name in (*REQUIRED, *OPTIONAL)]
            table = file.read(columns=names)
        except (pa.ArrowException, OSError) as error:
            raise ManifestError(f"cells.parquet cannot be read as Parquet: {error}") from error
        cells, source = cls._of(table)
        wrong = _first_out_of_order(source, cells.soma_joinid)
        if wrong is not None:
            raise ManifestError(
                f"cells.parquet is not in ascending order of source and soma_joinid at row {wrong:,}"
            )
        return cells

    @classmethod
    def _of(cls, table: pa.Table) -> tuple[Cells, NDArray[np.uint8]]:
        """Return the cells as they stand, and the number of the source of each."""
        held = dict(zip(table.column_names, table.columns, strict=True))
        missing = [name for name in REQUIRED if name not in held]
        if missing:
            raise ManifestError(
                f"cells have no column {missing[0]!r}; a manifest needs: {', '.join(REQUIRED)}"
            )
        sources = columns.labels(held["source"], "source")
        cells = cls(
            sources=sources,
            soma_joinid=columns.joinids(held["soma_joinid"]),
            split=columns.codes(held["split"], "split", SPLITS),
            weight=columns.weights(held["weight"]) if "weight" in held else None,
            rank=columns.ranks(held["rank"]) if "rank" in held else None,
        )
        return cells, columns.codes(held["source"], "source", list(sources))

    def _take(self, order: NDArray[np.int64]) -> Cells:
        return replace(
            self,
            soma_joinid=self.soma_joinid[order],
            split=self.split[order],
            weight=None if self.weight is None else self.weight[order],
            rank=None if self.rank is None else self.rank[order],
        )

    def __len__(self) -> int:
        return len(self.soma_joinid)

    @property
    def n_by_split(self) -> dict[str, int]:
        """Cells of each split, in the order of SPLITS."""
        return {name: int(np.count_nonzero(self.split == code)) for code, name in enumerate(SPLITS)}

    def rows_of(self, source: str) -> slice:
        """Return where the cells of a source stand; an empty slice when it has none."""
        start = 0
        for name, n in self.sources.items():
            if name == source:
                return slice(start, start + n)
            start += n
        return slice(0, 0)

    def census_joinids(self) -> NDArray[np.int64]:
        """Return the joinids of the corpus' own cells, int64 ascending."""
        return self.soma_joinid[self.rows_of(CENSUS)]

    def beyond(self, other: Cells) -> dict[str, NDArray[np.int64]]:
        """Return the cells that `other` lacks: source → joinids, int64 ascending; nothing when it has all."""
        lacking = {}
        for source in self.sources:
            own, held = (cells.soma_joinid[cells.rows_of(source)] for cells in (self, other))
            missing = np.setdiff1d(own, held, assume_unique=True)
            if missing.size:
                lacking[source] = missing
        return lacking

    def digest(self) -> str:
        """Return the digest that enters the id: of the columns' little-endian bytes, source by source.

        Joinids are int64, splits uint8 (0 train, 1 val, 2 test), weights float32, ranks int32.
        """
        arrays: list[tuple[str, NDArray[Any] | None, str]] = [
            ("soma_joinid", self.soma_joinid, "<i8"),
            ("split", self.split, "u1"),
            ("weight", self.weight, "<f4"),
            ("rank", self.rank, "<i4"),
        ]
        return canonical_digest(
            {
                source: {
                    name: hashlib.sha256(
                        values[self.rows_of(source)].astype(dtype, copy=False).data
                    ).hexdigest()
                    for name, values, dtype in arrays
                    if values is not None
                }
                for source in self.sources
            }
        )

    def to_frame(self) -> pl.DataFrame:
        """Return columns source (categorical), soma_joinid, split (enum), and weight and rank where there."""
        frame = pl.from_arrow(self._to_arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame.with_columns(pl.col("split").cast(pl.Enum(SPLITS)))

    def splits(self) -> pl.Series:
        """Return the split of each cell, a series "split" [n_cells] of text."""
        codes = pa.DictionaryArray.from_arrays(self.split, list(SPLITS))
        series = pl.from_arrow(codes)
        assert isinstance(series, pl.Series)
        return series.alias("split")

    def to_parquet(self, extra: pl.DataFrame | None = None) -> bytes:
        """Return the bytes of cells.parquet: plain columns for any reader, a few bits a cell.

        Joinids are packed as differences, source and split are dictionary-encoded; the rest is the work of
        zstd's entropy coder. Level 1 is also the smallest: higher levels look for repeats, and random cells
        have none.

        Parameters
        ----------
        extra
            Further columns [n_cells] to carry along.
        """
        table = self._to_arrow()
        for column in extra.iter_columns() if extra is not None else ():
            table = table.append_column(column.name, column.to_arrow())
        sink = pa.BufferOutputStream()
        pq.write_table(
            table,
            sink,
            row_group_size=ROW_GROUP_CELLS,
            compression="zstd",
            compression_level=1,
            use_dictionary=[name for name in table.column_names if name not in ("soma_joinid", "rank")],
            column_encoding={
                name: "DELTA_BINARY_PACKED" for name in ("soma_joinid", "rank") if name in table.column_names
            },
            write_statistics=["soma_joinid"],
        )
        content: bytes = sink.getvalue().to_pybytes()
        return content

    def _to_arrow(self) -> pa.Table:
        source = np.repeat(np.arange(len(self.sources), dtype=np.int32), list(self.sources.values()))
        table = {
            "source": pa.DictionaryArray.from_arrays(source, pa.array(list(self.sources), pa.string())),
            "soma_joinid": pa.array(self.soma_joinid),
            "split": pa.DictionaryArray.from_arrays(self.split.astype(np.int32), list(SPLITS)),
        }
        if self.weight is not None:
            table["weight"] = pa.array(self.weight, mask=np.isnan(self.weight))
        if self.rank is not None:
            table["rank"] = pa.array(self.rank, mask=self.rank == NO_RANK)
        return pa.table(table)


def _first_out_of_order(source: NDArray[np.uint8], joinids: NDArray[np.int64]) -> int | None:
    """Return the first row that does not come after the row before it, by source and then by joinid."""
    later = joinids[1:] > joinids[:-1]
    if len(source) and source.min() != source.max():
        later = (source[1:] > source[:-1]) | ((source[1:] == source[:-1]) & later)
    return None if later.all() else int(np.argmin(later)) + 1
