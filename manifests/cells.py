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
from curate.manifests.document import CENSUS, SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

REQUIRED = ("source", "soma_joinid", "split")
OPTIONAL = ("weight", "rank")
NO_RANK = -1
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
        cells, source = cls._of(frame)
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
            frame = pl.from_arrow(file.read(columns=names))
        except (pa.ArrowException, OSError) as error:
            raise ManifestError(f"cells.parquet cannot be read as Parquet: {error}") from error
        assert isinstance(frame, pl.DataFrame)
        cells, source = cls._of(frame)
        wrong = _first_out_of_order(source, cells.soma_joinid)
        if wrong is not None:
            raise ManifestError(
                f"cells.parquet is not in ascending order of source and soma_joinid at row {wrong:,}"
            )
        return cells

    @classmethod
    def _of(cls, frame: pl.DataFrame) -> tuple[Cells, NDArray[np.int32]]:
        """Return the cells as they stand, and the number of the source of each."""
        missing = [name for name in REQUIRED if name not in frame.columns]
        if missing:
            raise ManifestError(
                f"cells have no column {missing[0]!r}; a manifest needs: {', '.join(REQUIRED)}"
            )
        names = sorted(_labels(frame["source"]))
        source = _codes(frame["source"], names)
        n_by_source = np.bincount(source, minlength=len(names))
        cells = cls(
            sources={name: int(n) for name, n in zip(names, n_by_source, strict=True)},
            soma_joinid=_joinids(frame["soma_joinid"]),
            split=_codes(frame["split"], SPLITS).astype(np.uint8),
            weight=_weights(frame["weight"]) if "weight" in frame.columns else None,
            rank=_ranks(frame["rank"]) if "rank" in frame.columns else None,
        )
        return cells, source

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
        counts = np.bincount(self.split, minlength=len(SPLITS))
        return {name: int(n) for name, n in zip(SPLITS, counts, strict=True)}

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

    def digest(self) -> str:
        """Return the digest that enters the id: of the columns' little-endian bytes, source by source.

        Joinids are int64, splits uint8 (0 train, 1 val, 2 test), weights float32, ranks int32.
        """
        columns: list[tuple[str, NDArray[Any] | None, str]] = [
            ("soma_joinid", self.soma_joinid, "<i8"),
            ("split", self.split, "u1"),
            ("weight", self.weight, "<f4"),
            ("rank", self.rank, "<i4"),
        ]
        return canonical_digest(
            {
                source: {
                    name: hashlib.sha256(values[self.rows_of(source)].astype(dtype).data).hexdigest()
                    for name, values, dtype in columns
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
        columns = {
            "source": pa.DictionaryArray.from_arrays(source, pa.array(list(self.sources), pa.string())),
            "soma_joinid": pa.array(self.soma_joinid),
            "split": pa.DictionaryArray.from_arrays(self.split.astype(np.int32), list(SPLITS)),
        }
        if self.weight is not None:
            columns["weight"] = pa.array(self.weight, mask=np.isnan(self.weight))
        if self.rank is not None:
            columns["rank"] = pa.array(self.rank, mask=self.rank == NO_RANK)
        return pa.table(columns)


def _labels(texts: pl.Series) -> list[str]:
    return [label for label in texts.unique().cast(pl.String) if label is not None]


def _codes(texts: pl.Series, names: Iterable[str]) -> NDArray[np.int32]:
    """Return the position of each text among `names`, int32 [n], whatever the encoding of the texts."""
    if texts.null_count():
        raise ManifestError(f"{texts.null_count():,} cells have no {texts.name}; every cell needs one")
    names = list(names)
    try:
        return texts.cast(pl.Enum(names)).to_physical().cast(pl.Int32).to_numpy()
    except pl.exceptions.InvalidOperationError:
        unknown = sorted(set(_labels(texts)) - set(names))[0]
        raise ManifestError(
            f"cells have the {texts.name} {unknown!r}; there are: {', '.join(names)}"
        ) from None


def _joinids(column: pl.Series) -> NDArray[np.int64]:
    if not column.dtype.is_integer() or column.null_count() or (column < 0).any():
        raise ManifestError("a cell has a soma_joinid that is not a whole number of at least 0")
    return column.cast(pl.Int64).to_numpy()


def _weights(column: pl.Series) -> NDArray[np.float32] | None:
    """Return the weights, one not-a-number for none and one zero; None when no cell has one."""
    weights = column.cast(pl.Float32).fill_null(np.nan).to_numpy() + np.float32(0)
    none = np.isnan(weights)
    if (weights[~none] < 0).any() or np.isinf(weights).any():
        raise ManifestError(
            "a cell has a weight below 0 or infinite; weights are inverse inclusion probabilities"
        )
    weights[none] = np.nan
    return None if none.all() else weights


def _ranks(column: pl.Series) -> NDArray[np.int32] | None:
    if not column.dtype.is_integer() or (column.drop_nulls() < 0).any():
        raise ManifestError("a cell has a rank that is not a whole number of at least 0")
    ranks = column.cast(pl.Int32).fill_null(NO_RANK).to_numpy()
    return None if (ranks == NO_RANK).all() else ranks


def _first_out_of_order(source: NDArray[np.int32], joinids: NDArray[np.int64]) -> int | None:
    """Return the first row that does not come after the row before it, by source and then by joinid."""
    later = (source[1:] > source[:-1]) | ((source[1:] == source[:-1]) & (joinids[1:] > joinids[:-1]))
    return None if later.all() else int(np.argmin(later)) + 1
