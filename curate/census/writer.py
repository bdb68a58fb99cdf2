"""Write a store of the Census layout: dataset by dataset, in a stream, complete or not at all."""

from __future__ import annotations

import gc
import hashlib
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl
import pyarrow as pa
import tiledbsoma as soma

from curate.atomic import atomic_folder
from curate.census import layout
from curate.census.census import Census
from curate.census.counts_writer import CountsWriter
from curate.census.info_writer import Dataset, InfoWriter
from curate.census.obs_writer import ObsWriter
from curate.census.tables import check_space, tiledb_errors, write_table
from curate.documents import canonical_digest
from curate.errors import CensusError, WriteError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import TracebackType

    import scipy.sparse as sp
    from numpy.typing import NDArray

#: Rows of the presence matrix written at a time.
_DATASETS = 64
GENE_COLUMNS = ("feature_id", "feature_name", "feature_type", "feature_length")


class CensusWriter:
    """Write a local store that `cellxgene_census` and `curate` open like a Census release.

    Use it as a context manager: the store is written aside and takes its place at `path` when the block ends
    without an error; on an error, an interrupt or a full disk nothing of it remains. Cells get their
    soma_joinid in the order in which they are added. Memory is bounded by the obs of one dataset, one block
    of counts and about 500 MB, whatever the number of cells.

    Parameters
    ----------
    path
        Folder to make; it must not exist.
    genes
        One row a gene: feature_id (Ensembl), feature_name, feature_type, feature_length (bases; 1 or more).
    organism
        Name of the experiment, such as "homo_sapiens".
    build_date
        census_build_date, such as "2026-01-31".
    label
        One line that says what the store is, kept in census_info/summary.
    schema_version
        Census schema to write by. Older ones lack columns: 1.0.0 has neither statistics nor
        observation_joinid nor tissue_type nor the layer "normalized", and its text is not enumerated.

    Raises
    ------
    WriteError
        When the store cannot be written, or `path` exists.
    ValueError
        When what is added does not fit: an unknown obs column, blocks of other sizes, counts that are not
        non-negative integers, counts in genes that are not measured, a dataset_id added twice.
    """

    def __init__(
        self,
        path: Path,
        *,
        genes: pl.DataFrame,
        organism: str = "homo_sapiens",
        build_date: str,
        label: str,
        schema_version: str = layout.SCHEMA_VERSION,
    ) -> None:
        if genes.is_empty() or genes["feature_id"].n_unique() != genes.height:
            raise ValueError(
                f"{genes.height} genes with {genes['feature_id'].n_unique()} distinct feature_ids"
            )
        self.path = path
        self._genes = genes.select(GENE_COLUMNS)
        self._organism = organism
        self._schema_version = schema_version
        self._info = InfoWriter(organism, build_date=build_date, label=label, schema_version=schema_version)
        self._n_measured_obs = np.zeros(genes.height, np.int64)
        self._measured: list[NDArray[np.uint8]] = []  # a bit a gene
        self._writing: AbstractContextManager[None] | None = None

    def __enter__(self) -> Self:
        self._writing = self._write()
        self._writing.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._writing is not None
        return self._writing.__exit__(kind, error, trace)

    def add_dataset(
        self,
        dataset: Dataset,
        obs: pl.DataFrame,
        blocks: Iterable[sp.csr_array] | None,
        *,
        measured: NDArray[np.bool_],
    ) -> None:
        """Add the cells of one dataset.

        Parameters
        ----------
        dataset
            What the dataset is; its dataset_id must be new.
        obs
            One row a cell, Census obs columns. Missing ones become "unknown", is_primary_data True,
            observation_joinid a hash of dataset_id and position. soma_joinid and dataset_id are assigned.
        blocks
            Raw counts, float32 [b, n_genes], in the order of obs, of any sizes b; None for a store without
            counts, whose statistics columns are taken from obs where they are there and null otherwise.
        measured
            bool [n_genes], which genes the dataset measured.
        """
        self._info.check(dataset)
        if measured.shape != (self._genes.height,) or measured.dtype != np.bool_:
            raise ValueError(
                f"measured is {measured.dtype} {measured.shape}, not bool [{self._genes.height}]"
            )
        if obs.is_empty():
            raise ValueError(f"the dataset {dataset.dataset_id!r} has no cells")
        self._obs.check(obs, has_counts=blocks is not None)
        if blocks is None:
            self._counts.skip(obs.height)
        statistics = None if blocks is None else self._counts.add(blocks, obs, measured=measured)
        filled = self._obs.add(dataset.dataset_id, obs, statistics, n_measured=int(measured.sum()))
        self._info.add(dataset, filled)
        self._measured.append(np.packbits(measured))
        self._n_measured_obs[measured] += obs.height

    @contextmanager
    def _write(self) -> Iterator[None]:
        with atomic_folder(self.path) as aside:
            try:
                with tiledb_errors(self.path):
                    self._begin(aside)
                yield
                with tiledb_errors(self.path):
                    self._finish(aside)
                self._read_back(aside)
            except (WriteError, KeyboardInterrupt) as error:
                _release(error)
                raise

    def _begin(self, folder: Path) -> None:
        check_space(str(folder))
        root: soma.Collection[Any]
        with soma.Collection.create(str(folder)) as root:
            root.add_new_collection(layout.INFO)
            data = root.add_new_collection(layout.DATA)
            experiment = data.add_new_collection(self._organism, soma.Experiment)
            rna = experiment.add_new_collection("ms").add_new_collection(layout.RNA, soma.Measurement)
            x = rna.add_new_collection("X")
            self._counts = CountsWriter(
                x,
                self._genes["feature_length"].to_numpy(),
                path=self.path,
                schema_version=self._schema_version,
            )
        self._obs = ObsWriter(folder / ".obs", schema_version=self._schema_version)

    def _finish(self, folder: Path) -> None:
        if not self._measured:
            raise ValueError(f"no dataset was added to {self.path}")
        if self._counts.n_cells != self._obs.n_cells:
            raise ValueError("a dataset could not be added, and its counts cannot be taken back")
        self._counts.finish()
        place = folder / layout.DATA / self._organism
        with soma.Experiment.open(str(place), "w") as experiment:
            self._obs.finish(experiment)
        with soma.Measurement.open(str(place / "ms" / layout.RNA), "w") as rna:
            self._write_genes(rna)
        info: soma.Collection[Any]
        with soma.Collection.open(str(folder / layout.INFO), "w") as info:
            self._info.finish(info, content_digest=self._content_digest())

    def _content_digest(self) -> str:
        return canonical_digest(
            {
                "genes": self._genes["feature_id"].to_list(),
                "measured": hashlib.sha256(b"".join(map(bytes, self._measured))).hexdigest(),
                "counts": self._counts.digest,
            }
        )

    def _write_genes(self, rna: soma.Measurement) -> None:
        statistics = pl.DataFrame({"nnz": self._counts.gene_nnz, "n_measured_obs": self._n_measured_obs})
        has_statistics = layout.version(self._schema_version) >= layout.STATISTICS_SINCE
        var = pl.concat([self._genes, statistics], how="horizontal") if has_statistics else self._genes
        write_table(rna, "var", var, config=layout.var_config())
        shape = (len(self._measured), self._genes.height)
        check_space(rna.uri)
        with rna.add_new_sparse_ndarray(layout.PRESENCE, type=pa.bool_(), shape=shape) as presence:
            for first in range(0, len(self._measured), _DATASETS):
                packed = np.stack(self._measured[first : first + _DATASETS])
                rows, columns = np.nonzero(np.unpackbits(packed, axis=1, count=self._genes.height))
                are_measured = np.ones(len(rows), np.bool_)
                table = {"soma_dim_0": rows + first, "soma_dim_1": columns, "soma_data": are_measured}
                if len(rows):
                    presence.write(pa.table(table))

    def _read_back(self, folder: Path) -> None:
        """Raise WriteError unless what was written can be read.

        TileDB writes its smallest files when arrays are closed, and does not say when that fails.
        """
        try:
            with Census.open(uri=folder) as census:
                n_cells = sum(
                    len(table)
                    for table in census.read_obs(self._organism, census.obs_columns(self._organism))
                )
                found = n_cells, census.n_nonzeros(self._organism), census.presence(self._organism).nnz
                census.read_var(self._organism)
                census.read_datasets()
                census.read_cell_counts()
        except CensusError as error:
            raise WriteError(f"could not write {self.path}: {error}; nothing was changed") from error
        expected = (
            self._obs.n_cells,
            int(self._counts.gene_nnz.sum()),
            sum(int(np.bitwise_count(each).sum()) for each in self._measured),
        )
        if found != expected:
            raise WriteError(
                f"could not write {self.path}: {found} cells, counts and measured genes can be read of "
                f"{expected} written; nothing was changed"
            )


def _release(error: BaseException) -> None:
    """Free what a failure has left open.

    TileDB tries to close it once more when it is freed, and would write into the folder after it was removed.
    """
    each: BaseException | None = error
    while each is not None:
        traceback.clear_frames(each.__traceback__)
        each = each.__cause__ or each.__context__
    gc.collect()
