"""A corpus: a recipe applied to a Census, on disk, in joinid order.

::

    corpora/<name>/
        corpus.json                  what it is: census, recipe, ontology, what each rule dropped, id
        cells.parquet                soma_joinid and obs columns, one row a cell, dictionary-encoded
        identity.npy                 uint64 [n_cells]: a hash of who each cell is (curate/identity.py)
        observation_joinids.parquet  text [n_cells]; absent where the release has none
        genes.parquet                soma_joinid, feature_id, feature_name, …, one row a gene
        embeddings/
        sources/                     Perturb-seq data sets to spike subsets with (curate/sources)

Built by `curate.corpus.build.build_corpus`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from pydantic import ValidationError

from curate.corpus.columns import read_columns
from curate.corpus.document import FORMAT, CorpusDocument
from curate.documents import first_fault
from curate.errors import CorpusError
from curate.genes import GeneSpace
from curate.nearest import nearest
from curate.where import SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from curate.census import Census

HEADER_FILE = "corpus.json"
CELLS_FILE = "cells.parquet"
IDENTITY_FILE = "identity.npy"
OBSERVATION_JOINIDS_FILE = "observation_joinids.parquet"
GENES_FILE = "genes.parquet"
EMBEDDINGS_FOLDER = "embeddings"
SOURCES_FOLDER = "sources"

JOINID = "soma_joinid"
OBSERVATION_JOINID = "observation_joinid"


@dataclass(frozen=True)
class Corpus:
    """An opened corpus. Opening reads corpus.json; the rest is read when asked for."""

    path: Path
    header: CorpusDocument

    @classmethod
    def open(cls, path: str | Path) -> Corpus:
        """Open the corpus in a folder.

        Raises
        ------
        CorpusError
            When there is none, a file is missing, or the format is not known.
        """
        folder = Path(path)
        try:
            content = json.loads((folder / HEADER_FILE).read_text())
        except (OSError, ValueError):
            raise CorpusError(
                f"{folder} holds no corpus ({HEADER_FILE}); make one with `curate corpus build`"
            ) from None
        if isinstance(content, dict) and content.get("format") != FORMAT:
            raise CorpusError(
                f"{folder} is a corpus of format {content.get('format')!r}, this curate reads "
                f"format {FORMAT}; update curate"
            )
        try:
            header = CorpusDocument.model_validate(content)
        except ValidationError as error:
            where, what = first_fault(error)
            raise CorpusError(
                f"{folder / HEADER_FILE} is damaged at {where}: {what}; build it again"
            ) from None
        for name in (CELLS_FILE, IDENTITY_FILE, GENES_FILE):
            if not (folder / name).is_file():
                raise CorpusError(f"{folder} lacks {name}; build the corpus again")
        return cls(path=folder, header=header)

    @property
    def name(self) -> str:
        """The name of the corpus, which is that of its folder when it was built."""
        return self.header.name

    @property
    def id(self) -> str:
        """sha256 (hex) of the content: which cells with which values, which genes, of which Census."""
        return self.header.id

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.header.n_cells

    @property
    def embeddings_path(self) -> Path:
        """The folder of embeddings, one folder each; it need not exist."""
        return self.path / EMBEDDINGS_FOLDER

    @property
    def sources_path(self) -> Path:
        """The folder of sources, one folder each; it need not exist."""
        return self.path / SOURCES_FOLDER

    def columns(self, names: Sequence[str], *, rows: NDArray[np.int64] | None = None) -> pl.DataFrame:
        """Read some obs columns, in joinid order.

        Parameters
        ----------
        names
            Of `header.columns`, or soma_joinid, or observation_joinid (random text, in a file of its own).
        rows
            Only these rows, int64 [n] ascending; it spares memory, not reading.

        Returns
        -------
        DataFrame [n_cells]
            In the order of `names`; text as enums of the values that the corpus has, in alphabetical order.
            Memory: 1 byte a cell for text of up to 255 values, 2 of up to 65,535; 8 for a number.

        Raises
        ------
        CorpusError
            When the corpus has no such column.
        """
        available = [JOINID, *self.header.columns]
        if self._observation_joinids_path.is_file():
            available.append(OBSERVATION_JOINID)
        for name in names:
            if name not in available:
                raise CorpusError(f"corpus {self.name} has no column {name!r}; {nearest(name, available)}")
        indexed = [name for name in dict.fromkeys(names) if name != OBSERVATION_JOINID]
        held = read_columns(self.path / CELLS_FILE, indexed, rows=rows) if indexed else []
        if OBSERVATION_JOINID in names:
            held += read_columns(self._observation_joinids_path, [OBSERVATION_JOINID], rows=rows)
        return pl.DataFrame(held).select(names)

    def joinids(self) -> NDArray[np.int64]:
        """Return the soma_joinid of each cell, int64 [n_cells], ascending."""
        return self.columns([JOINID])[JOINID].to_numpy()

    def identity(self) -> NDArray[np.uint64]:
        """Return the hash of each cell's identity, uint64 [n_cells], memory-mapped and read-only."""
        try:
            values: NDArray[np.uint64] = np.load(self.path / IDENTITY_FILE, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise CorpusError(
                f"{self.path / IDENTITY_FILE} is damaged: {error}; build the corpus again"
            ) from None
        if values.shape != (self.n_cells,):
            raise CorpusError(
                f"{self.path / IDENTITY_FILE} holds {values.size:,} cells, the corpus {self.n_cells:,}; "
                "build it again"
            )
        return values

    def value_counts(self, column: str) -> pl.DataFrame:
        """Count the cells of each value of a column, the most first.

        Returns
        -------
        DataFrame
            `value` and `n_cells`. A cell whose value holds several ("A || B", as disease may) counts for
            each, so that the counts can add up to more than n_cells.
        """
        counts = self.columns([column])[column].value_counts(name="n_cells")
        if isinstance(counts.schema[column], pl.Enum):
            counts = counts.with_columns(pl.col(column).cast(pl.String).str.split(SEPARATOR)).explode(column)
        return (
            counts.rename({column: "value"})
            .group_by("value")
            .agg(pl.col("n_cells").cast(pl.Int64).sum())
            .sort("n_cells", "value", descending=[True, False])
        )

    def genes(self) -> GeneSpace:
        """Return the genes, in the order of the corpus."""
        return GeneSpace.from_table(self.gene_table)

    def var_joinids(self) -> NDArray[np.int64]:
        """Return the soma_joinid of each gene in the Census' var, int64 [n_genes], ordered as `genes`."""
        return self.gene_table[JOINID].to_numpy()

    @cached_property
    def gene_table(self) -> pl.DataFrame:
        """soma_joinid, feature_id, feature_name, feature_type and feature_length of each gene."""
        return as_frame(_read(self.path / GENES_FILE))

    def open_census(self, *, uri: str | None = None) -> Census:
        """Open the Census that the corpus was built from.

        Parameters
        ----------
        uri
            Where it is now, if it has moved.

        Raises
        ------
        CensusError
            When it cannot be opened.
        CorpusError
            When it is another release.
        """
        from curate.census import Census

        record = self.header.census
        census = Census.open(
            record.release,
            uri=uri or self.census_uri(),
            region=record.region,
            endpoint=record.endpoint,
            anonymous=record.anonymous,
        )
        if census.content != record.content:
            found = census.release
            census.close()
            raise CorpusError(
                f"corpus {self.name} was built from another Census (release {record.release}) than "
                f"{census.uri} (release {found}); soma_joinids hold inside one Census only"
            )
        return census

    def census_uri(self) -> str:
        """Return where the Census is that the corpus was built from; a local store may have moved with it."""
        record = self.header.census
        if record.relative_path is not None and not Path(record.uri).exists():
            moved = (self.path / record.relative_path).resolve()
            return str(moved) if moved.exists() else record.uri
        return record.uri

    @property
    def _observation_joinids_path(self) -> Path:
        return self.path / OBSERVATION_JOINIDS_FILE


def _read(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, memory_map=True)
    except (OSError, pa.ArrowException) as error:
        raise CorpusError(f"{path} cannot be read: {error}; build the corpus again") from None


def as_frame(table: pa.Table) -> pl.DataFrame:
    """Return an Arrow table as a data frame, text as categoricals."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
