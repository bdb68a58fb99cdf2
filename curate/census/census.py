"""An opened Census: a release of the public one, or a store of the same layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from curate.census import embeddings, layout, location, obs_reader
from curate.census.counts import BLOCK_CELLS, CountsBlock, read_blocks
from curate.census.entries import Entries
from curate.census.joinids import check_joinids, range_or_joinids
from curate.census.store import Store
from curate.census.stream import shuffled_batches
from curate.errors import CensusError
from curate.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    import tiledbsoma as soma
    from numpy.typing import NDArray

    from curate.where import Where


class Census:
    """An opened Census, a context manager. Make one with `Census.open`.

    Attributes
    ----------
    uri
        Where it is.
    summary
        census_info/summary: label → value.
    release
        The build date of the release, such as "2025-11-08".
    content
        What stands for its counts: a digest of them in a store that curate made, so that the same files make
        the same store on any day; else the release.
    schema_version
        The version of the Census schema, such as "2.4.0".
    organisms
        Names of the experiments, such as "homo_sapiens".
    """

    def __init__(self, root: soma.Collection[Any]) -> None:
        self._store = Store(root)
        self.uri = self._store.uri
        self.organisms = self._store.organisms
        self._enumerations: dict[tuple[str, str], list[str]] = {}
        table = self._store.table(layout.INFO, layout.SUMMARY)
        self.summary: dict[str, str] = dict(zip(table["label"], table["value"], strict=True))
        self.release = self.summary.get("census_build_date") or self.summary.get("label") or self.uri
        self.content = self.summary.get(layout.CONTENT_DIGEST, self.release)
        self.schema_version = self.summary.get("census_schema_version", layout.UNKNOWN)

    @classmethod
    def open(
        cls,
        release: str = "stable",
        *,
        uri: str | Path | None = None,
        region: str | None = None,
        endpoint: str | None = None,
        anonymous: bool = False,
        tiledb_config: Mapping[str, str] | None = None,
    ) -> Self:
        """Open a release of the public Census, or a store of the same layout at `uri`.

        Parameters
        ----------
        release
            "stable", "latest" or the date of a release; not looked at when `uri` is given.
        uri
            Local folder, or any uri that TileDB reads, such as s3://bucket/census/soma.
        region, endpoint, anonymous
            How to reach an s3:// uri: its region, the base URL of an S3-compatible server, and whether to
            send no credentials.
        tiledb_config
            Further TileDB settings; they go before those of curate.

        Raises
        ------
        CensusError
            When it cannot be reached or opened, or parts of a Census are missing.
        """
        config = dict(tiledb_config or {})
        if uri is None:
            root = location.open_release(release, config)
        else:
            root = location.open_uri(
                uri, region=region, endpoint=endpoint, anonymous=anonymous, tiledb_config=config
            )
        try:
            return cls(root)
        except BaseException:
            root.close()
            raise

    def close(self) -> None:
        """Close every array that was opened."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def n_cells(self, organism: str) -> int:
        """Return the number of cells of an organism; their soma_joinids are 0 to n - 1."""
        with self._store.reading(f"obs of {organism}"):
            return int(self._obs(organism).count)

    def n_nonzeros(self, organism: str, *, layer: str = "raw") -> int:
        """Return the number of non-zero counts that a layer holds."""
        array = self._layer(organism, layer)
        with self._store.reading(f"X/{layer} of {organism}"):
            return int(array.nnz)

    def layers(self, organism: str) -> tuple[str, ...]:
        """Return the names of the layers of counts, such as "raw" and "normalized"."""
        return tuple(
            sorted(self._store.part(*self._store.experiment(organism), "ms", layout.RNA, "X").keys())
        )

    def obs_columns(self, organism: str) -> tuple[str, ...]:
        """Return the obs columns that are stored; `read_obs` gives the other standard ones as nulls."""
        return tuple(self._obs(organism).keys())

    def enumeration(self, organism: str, column: str) -> list[str]:
        """Return the values of a text column of obs.

        From the enumeration that the store keeps; a release older than enumerations is searched for them,
        once.

        Raises
        ------
        CensusError
            When the column is not stored or holds no text.
        """
        if (organism, column) not in self._enumerations:
            self._enumerations[organism, column] = self._values(organism, column)
        return self._enumerations[organism, column]

    def read_obs(
        self,
        organism: str,
        columns: Sequence[str],
        *,
        where: Where | None = None,
        joinids: NDArray[np.int64] | slice | None = None,
        as_stored: bool = False,
    ) -> Iterator[pa.Table]:
        """Read columns of obs in joinid order, in tables of at most about half a million cells.

        Parameters
        ----------
        columns
            Standard columns, which are null where the release lacks them, or others that are stored.
        where
            Only cells that match. TileDB applies it while reading, unless it compares numbers.
        joinids
            Only these cells, int64 [n] ascending, or a half-open range of joinids; applied before `where`.
        as_stored
            Leave the codes of text in the integers of the store (int8 to int32) and text as large_string: a
            sixth quicker.

        Yields
        ------
        pyarrow.Table
            soma_joinid, then the columns as asked for; text as dictionary<int32, string> and free text
            (observation_joinid) as string. One table at least, so that the types are known.

        Raises
        ------
        CensusError
            When a column is neither standard nor stored, or reading fails.
        FilterError
            When `where` names a column that is not stored, or compares text with numbers.
        """
        obs = self._obs(organism)
        stored = self.obs_columns(organism)
        wanted = [name for name in dict.fromkeys(columns) if name != "soma_joinid"]
        for name in wanted:
            if name not in stored and name not in layout.STANDARD:
                hint = nearest(name, {*stored, *layout.STANDARD})
                raise CensusError(f"obs of {organism} in {self.uri} has no column {name!r}; {hint}")
        value_filter = None
        if where is not None:
            self._check_filter(organism, where)
            if obs_reader.can_push_down(where, obs):
                value_filter, where = self._value_filter(organism, where), None
        span = range_or_joinids(joinids, self.n_cells(organism))

        def tables() -> Iterator[pa.Table]:
            with self._store.reading(f"obs of {organism}"):
                yield from obs_reader.read_tables(
                    obs, wanted, value_filter=value_filter, where=where, joinids=span, as_stored=as_stored
                )

        return tables()

    def read_var(self, organism: str) -> pl.DataFrame:
        """Return one row a gene, in joinid order; a column that the release lacks is null.

        Columns soma_joinid, feature_id, feature_name, feature_type, feature_length (bases), nnz,
        n_measured_obs.
        """
        table = self._store.table(*self._store.experiment(organism), "ms", layout.RNA, "var")
        columns = [
            pl.col(name) if name in table.columns else pl.lit(None, dtype=dtype).alias(name)
            for name, dtype in layout.VAR_COLUMNS.items()
        ]
        return table.select(columns)

    def read_datasets(self) -> pl.DataFrame:
        """Return the datasets: soma_joinid, dataset_id, dataset_title, collection_name, citation and more."""
        return self._store.table(layout.INFO, layout.DATASETS)

    def read_cell_counts(self) -> pl.DataFrame:
        """Return the cells of every organism by category, as the release counted them; empty if it did not.

        Columns organism, category ("all", "cell_type", "assay", ...), label, ontology_term_id,
        total_cell_count, unique_cell_count (primary cells).
        """
        if layout.CELL_COUNTS not in self._store.part(layout.INFO):
            return pl.DataFrame(schema=layout.CELL_COUNTS_SCHEMA)
        return self._store.table(layout.INFO, layout.CELL_COUNTS)

    def presence(self, organism: str) -> sp.csr_array:
        """Return which dataset measured which gene, bool [n_datasets, n_genes].

        Rows are the soma_joinids of `read_datasets`, columns those of `read_var`.
        """
        array = self._store.part(*self._store.experiment(organism), "ms", layout.RNA, layout.PRESENCE)
        with self._store.reading(f"the presence matrix of {organism}"):
            table = array.read().tables().concat()
        rows, columns, values = (table[name].to_numpy() for name in ("soma_dim_0", "soma_dim_1", "soma_data"))
        shape = (self.read_datasets().height, array.shape[1])
        return sp.csr_array((values.astype(np.bool_), (rows, columns)), shape=shape)

    def read_counts(
        self,
        organism: str,
        joinids: NDArray[np.int64],
        *,
        var_joinids: NDArray[np.int64] | None = None,
        totals_over: NDArray[np.int64] | None = None,
        layer: str = "raw",
        block_cells: int = BLOCK_CELLS,
    ) -> Iterator[CountsBlock]:
        """Read the counts of cells in joinid order, in blocks.

        Scattered cells cost about as much time as all cells between them: TileDB decompresses tiles of 2048
        cells. Memory is bounded by two blocks of `block_cells` cells (fewer where cells have more than 4,000
        non-zeros), at 24 bytes a non-zero, and three times that where a third of the cells are wanted.

        Parameters
        ----------
        joinids
            int64 [n] ascending.
        var_joinids
            int64 [m], the genes wanted in the order wanted; all when None.
        totals_over
            The genes that the totals of the cells are taken over; those wanted when None.
        layer
            "raw" or another layer that is stored.
        block_cells
            Most cells in one block; it decides where blocks end, never what they hold.

        Raises
        ------
        CensusError
            When a joinid or the layer is not there, or reading fails.
        ValueError
            When joinids do not ascend, or var_joinids repeat or are none.
        """
        array = self._layer(organism, layer)
        check_joinids("cells", joinids, n=array.shape[0], ascending=True)
        for name, genes in {"var_joinids": var_joinids, "totals_over": totals_over}.items():
            if genes is not None:
                if not len(genes):
                    raise ValueError(f"{name} holds no genes")
                check_joinids("genes", genes, n=array.shape[1], ascending=False)
        if block_cells < 1:
            raise ValueError(f"block_cells is {block_cells}; it must be at least 1")

        def blocks() -> Iterator[CountsBlock]:
            with self._store.reading(f"X/{layer} of {organism}"):
                yield from read_blocks(
                    array,
                    joinids,
                    var_joinids=var_joinids,
                    totals_over=totals_over,
                    block_cells=block_cells,
                )

        return blocks()

    def entries(
        self, organism: str, *, var_joinids: NDArray[np.int64] | None = None, layer: str = "raw"
    ) -> Entries:
        """Return the non-zeros of a layer, to be read cell by cell as they are stored: no matrix is made.

        Twice as fast as `read_counts`, for what does not need the counts of a cell together.

        Parameters
        ----------
        var_joinids
            The genes wanted; others may come along. All when None.
        layer
            "raw" or another layer that is stored.

        Raises
        ------
        CensusError
            When the layer is not there.
        """
        array = self._layer(organism, layer)
        if var_joinids is not None:
            check_joinids("genes", var_joinids, n=array.shape[1], ascending=False)
        return Entries.of(self._store, array, var_joinids, what=f"X/{layer} of {organism}")

    def shuffled_batches(
        self,
        organism: str,
        joinids: NDArray[np.int64],
        *,
        var_joinids: NDArray[np.int64],
        layer: str = "raw",
        batch_size: int = 256,
        io_cells: int = 2**15,
        chunk_cells: int = 64,
        seed: int = 0,
        rank: int = 0,
        n_ranks: int = 1,
    ) -> Iterator[tuple[NDArray[np.int64], sp.csr_array]]:
        """Yield joinids and counts (float32 [b, m]) of batches of cells, in an order drawn from `seed`.

        By tiledbsoma-ml: chunks of `chunk_cells` neighbours are shuffled, then the cells of each `io_cells`
        that are read together. Ranks, and the workers of a torch DataLoader, share the cells, no cell twice,
        as many a rank. Memory: two times `io_cells`, at 8 bytes a non-zero, more while they are read.

        Raises
        ------
        CensusError
            When the layer is not there, reading fails, or tiledbsoma-ml is not installed.
        """
        self._layer(organism, layer)
        check_joinids("cells", joinids, n=self.n_cells(organism), ascending=True)
        experiment = self._store.part(*self._store.experiment(organism))
        with self._store.reading(f"X/{layer} of {organism}"):
            yield from shuffled_batches(
                experiment,
                joinids,
                var_joinids=var_joinids,
                layer=layer,
                batch_size=batch_size,
                io_cells=io_cells,
                chunk_cells=chunk_cells,
                seed=seed,
                rank=rank,
                n_ranks=n_ranks,
            )

    def read_embedding(
        self, organism: str, name: str, joinids: NDArray[np.int64]
    ) -> tuple[int, Iterator[NDArray[np.float32]]]:
        """Read an embedding that the store carries in obsm, or that is hosted beside the public release.

        Parameters
        ----------
        name
            Such as "scvi".
        joinids
            int64 [n] ascending.

        Returns
        -------
        int, iterator
            The number of dimensions d, and blocks of rows float32 [b, d] in the order of joinids.

        Raises
        ------
        CensusError
            When there is no such embedding, or a cell has none.
        """
        check_joinids("cells", joinids, n=self.n_cells(organism), ascending=True)
        array = embeddings.find_embedding(self._store, organism, name, release=self.release)

        def blocks() -> Iterator[NDArray[np.float32]]:
            with self._store.reading(f"the embedding {name!r} of {organism}"):
                yield from embeddings.read_embedding(array, joinids, name=name)

        return int(array.shape[1]), blocks()

    def _layer(self, organism: str, layer: str) -> soma.SparseNDArray:
        layers = self.layers(organism)
        if layer not in layers:
            known = ", ".join(layers)
            raise CensusError(f"{organism} in {self.uri} has no layer {layer!r}; there are: {known}")
        path = (*self._store.experiment(organism), "ms", layout.RNA, "X", layer)
        array: soma.SparseNDArray = self._store.part(*path)
        return array

    def _obs(self, organism: str) -> soma.DataFrame:
        obs: soma.DataFrame = self._store.part(*self._store.experiment(organism), "obs")
        return obs

    def _values(self, organism: str, column: str) -> list[str]:
        obs = self._obs(organism)
        if column not in self.obs_columns(organism):
            hint = nearest(column, self.obs_columns(organism))
            raise CensusError(f"obs of {organism} in {self.uri} stores no column {column!r}; {hint}")
        stored = obs.schema.field(column).type
        if pa.types.is_dictionary(stored):
            return [str(value) for value in obs.get_enumeration_values([column])[column].to_pylist()]
        if not (pa.types.is_large_string(stored) or pa.types.is_string(stored)):
            raise CensusError(f"the column {column!r} of {organism} holds {stored}, not text")
        values: set[str] = set()
        for table in self.read_obs(organism, [column]):
            values.update(pc.unique(table[column]).drop_null().cast(pa.string()).to_pylist())
        return sorted(values)

    def _check_filter(self, organism: str, where: Where) -> None:
        obs = self._obs(organism)
        where.check(self.obs_columns(organism))
        types = pa.schema([(name, obs_reader.read_type(name, obs)) for name in sorted(where.columns)])
        where.mask(pl.DataFrame(pl.from_arrow(types.empty_table())))  # refuses text compared with numbers

    def _value_filter(self, organism: str, where: Where) -> str:
        obs = self._obs(organism)
        texts = [name for name in where.columns if pa.types.is_dictionary(obs_reader.read_type(name, obs))]
        return where.to_soma({name: self.enumeration(organism, name) for name in texts})
