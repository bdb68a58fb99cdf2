"""Shards on disk: the counts of a manifest's cells, shuffled once, made for fast batches.

::

    <folder>/
        shards.json                manifest, genes, what each file is (sha256)
        obs.parquet                one row a cell, in the order of the shards: train, then val, then test
        genes.parquet              feature_id, feature_name: the columns of the counts
        presence.parquet           which data set or source measured which gene, a bit each
        train-00000.indptr.npy     int64 [n_cells + 1]
        train-00000.indices.npy    uint16 or uint32 [n_nonzeros], ascending inside a cell
        train-00000.data.npy       uint16 or uint32 [n_nonzeros], counts
        …

Made by `curate.train.shards.materialize.materialize`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.corpus.presence import read_presence
from curate.documents import canonical_digest, file_digest, read_header
from curate.errors import ShardError
from curate.gene_space import GeneSpace
from curate.manifests.document import CENSUS, SPLITS
from curate.nearest import nearest
from curate.progress import progress
from curate.threads import mapped
from curate.train.shards.document import FORMAT, ShardsDocument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.manifests.document import Split

HEADER_FILE = "shards.json"
OBS_FILE = "obs.parquet"
GENES_FILE = "genes.parquet"
PRESENCE_FILE = "presence.parquet"
KINDS = ("indptr", "indices", "data")
AGAIN = "remove the folder and materialize the manifest again"


@dataclass(frozen=True)
class Shard:
    """The counts of consecutive rows, memory-mapped CSR.

    Attributes
    ----------
    first_row
        Row of its first cell among all cells of the shards.
    indptr
        int64 [n_cells + 1].
    indices, data
        uint16 or uint32 [n_nonzeros].
    """

    name: str
    first_row: int
    indptr: NDArray[np.int64]
    indices: NDArray[np.unsignedinteger]
    data: NDArray[np.unsignedinteger]

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.indptr.size - 1


@dataclass(frozen=True)
class Shards:
    """An opened folder of shards. Opening reads shards.json and looks at the size of every file."""

    path: Path
    header: ShardsDocument

    @classmethod
    def open(cls, path: str | Path) -> Shards:
        """Open the shards in a folder.

        Raises
        ------
        ShardError
            When there are none, the format is not known, or a file is missing or of another size.
        """
        folder = Path(path)
        header = read_header(
            folder / HEADER_FILE,
            ShardsDocument,
            number=FORMAT,
            error=ShardError,
            noun="holds shards",
            absent=f"{folder} holds no shards ({HEADER_FILE}); make some with `curate materialize`",
            remedy=AGAIN,
        )
        shards = cls(folder, header)
        for name, (n_bytes, _) in shards.files.items():
            found = (folder / name).stat().st_size if (folder / name).is_file() else None
            if found != n_bytes:
                what = "is missing" if found is None else f"has {found:,} bytes, not {n_bytes:,}"
                raise ShardError(f"{folder / name} {what}; {AGAIN}")
        return shards

    @property
    def files(self) -> dict[str, tuple[int, str]]:
        """Size in bytes and sha256 of every file beside shards.json."""
        records = [self.header.files, *(shard.files for shard in self.header.shards)]
        return {name: (held.n_bytes, held.sha256) for files in records for name, held in files.items()}

    @property
    def digest(self) -> str:
        """sha256 (hex) over the sha256 that shards.json records of every file."""
        return canonical_digest({name: sha256 for name, (_, sha256) in self.files.items()})

    def verify(self) -> None:
        """Compare every file with its sha256, several at a time; `open` looks at their sizes alone.

        Raises
        ------
        ShardError
            Naming the first file that is not the one that was written.
        """
        held = self.files
        with progress("Verifying shards", sum(n for n, _ in held.values()), unit="bytes") as advance:
            found = mapped(file_digest, (self.path / name for name in held), n_threads=os.cpu_count() or 1)
            for (name, (n_bytes, sha256)), digest in zip(held.items(), found, strict=True):
                if digest != sha256:
                    raise ShardError(
                        f"{self.path / name} has changed since it was written: its sha256 is not the one "
                        f"recorded; {AGAIN}"
                    )
                advance(n_bytes)

    def n_cells(self, split: Split) -> int:
        """Number of cells of a split."""
        return self.header.n_cells.get(split, 0)

    def rows(self, split: Split) -> range:
        """Return the rows of a split in obs.parquet."""
        before = sum(self.n_cells(each) for each in SPLITS[: SPLITS.index(split)])
        return range(before, before + self.n_cells(split))

    def split(self, split: Split) -> list[Shard]:
        """Open the shards of a split, in the order of their rows.

        Raises
        ------
        ShardError
            When there is no such split, or it has no cells.
        """
        if split not in SPLITS:
            raise ShardError(f"no split named {split!r}; there are: {', '.join(SPLITS)}")
        found = [shard for shard in self.header.shards if shard.split == split]
        if not found:
            raise ShardError(f"{self.path} has no cells in split {split}; build with other --split-ratios")
        return [
            Shard(each.name, each.first_row, *(self._array(each.name, kind) for kind in KINDS))
            for each in found
        ]

    def obs(self, columns: Sequence[str] | None = None, *, split: Split | None = None) -> pl.DataFrame:
        """Return obs columns of the cells, by default all, in the order of the shards.

        Raises
        ------
        ShardError
            When there is no such column, naming the nearest.
        """
        held = pl.read_parquet_schema(self.path / OBS_FILE)
        for name in columns or ():
            if name not in held:
                raise ShardError(f"{self.path} has no obs column {name!r}; {nearest(name, held)}")
        table = pl.read_parquet(self.path / OBS_FILE, columns=None if columns is None else list(columns))
        if split is None:
            return table
        rows = self.rows(split)
        return table[rows.start : rows.stop]

    @cached_property
    def genes(self) -> GeneSpace:
        """The genes of the counts, with which data set or source measured them."""
        genes = GeneSpace.from_table(pl.read_parquet(self.path / GENES_FILE))
        return genes.measured_by(read_presence(self.path / PRESENCE_FILE, genes.n_genes))

    def measured(self, *, split: Split | None = None) -> pl.Series:
        """Return the data set or source that measured each cell: a name in the presence of `genes`."""
        source, dataset = pl.col("source").cast(pl.String), pl.col("dataset_id").cast(pl.String)
        named = pl.when(source == CENSUS).then(dataset).otherwise(source)
        return self.obs(["source", "dataset_id"], split=split).select(named.alias("measured"))["measured"]

    def _array(self, name: str, kind: str) -> NDArray[Any]:
        path = self.path / f"{name}.{kind}.npy"
        array: NDArray[Any] = np.load(path, mmap_mode=None if kind == "indptr" else "r", allow_pickle=False)
        return array
