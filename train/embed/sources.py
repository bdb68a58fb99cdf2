"""What can be embedded: an h5ad file, a store of the Census layout, a folder of shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import polars as pl

from curate.errors import ModelError, SourceError
from curate.manifests.document import CENSUS, SPLITS
from curate.sources.scan import open_reader
from curate.train.shards.shards import HEADER_FILE, Shards

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    import scipy.sparse as sp

    from curate.manifests.document import Split
    from curate.sources.scan import Reader

BLOCK_CELLS = 4096


class ShardsSource:
    """The cells of shards, in their order, with what an h5ad file has.

    Attributes
    ----------
    path, obs_names, obs, var_names, var
        As of `H5adSource`. A cell is called by its soma_joinid, one of a spike-in "source:row".
    """

    def __init__(self, path: Path, split: Split | None) -> None:
        self.path = path
        self._shards = Shards.open(path)
        splits = [each for each in SPLITS if self._shards.n_cells(each)] if split is None else [split]
        self._parts = [part for each in splits for part in self._shards.split(each)]
        self.obs = self._shards.obs(split=split)
        joinid, source = pl.col("soma_joinid").cast(pl.String), pl.col("source").cast(pl.String)
        named = pl.when(source == CENSUS).then(joinid).otherwise(pl.concat_str(source, joinid, separator=":"))
        self.obs_names = self.obs.select(named.alias("index"))["index"]
        self.var_names = pl.Series("index", self._shards.genes.feature_ids)
        self.var = pl.DataFrame({"feature_name": self._shards.genes.feature_names})

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.obs.height

    @property
    def n_genes(self) -> int:
        """Number of genes of the counts."""
        return len(self.var_names)

    def blocks(self, block_cells: int = BLOCK_CELLS) -> Iterator[sp.csr_array]:
        """Yield the counts, float32 CSR [b, n_genes], in the order of obs."""
        import scipy.sparse as sp

        for part in self._parts:
            for first in range(0, part.n_cells, block_cells):
                indptr = part.indptr[first : min(first + block_cells, part.n_cells) + 1]
                at = slice(int(indptr[0]), int(indptr[-1]))
                data, indices = part.data[at].astype(np.float32), part.indices[at].astype(np.int64)
                yield sp.csr_array((data, indices, indptr - indptr[0]), shape=(indptr.size - 1, self.n_genes))

    def close(self) -> None:
        """Do nothing: files are mapped as long as they are needed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_cells(
    path: Path, *, organism: str, layer: str | None = None, split: Split | None = None
) -> Reader | ShardsSource:
    """Open what is to be embedded.

    Parameters
    ----------
    organism
        Whose cells of a store.
    layer
        Where the raw counts of an h5ad file stand; by default X or raw.X.
    split
        Only these cells of shards.

    Raises
    ------
    ModelError
        When a split is asked for of something else, or a layer of what has none.
    SourceError, ShardError, CensusError
        When it cannot be opened, or holds no raw counts.
    """
    if not path.exists():
        raise SourceError(f"{path} is not there; name an h5ad file, a store or a folder of shards")
    if (path / HEADER_FILE).is_file():
        if layer is not None:
            raise ModelError(f"{path} holds shards, which have no layer {layer!r}; leave --layer out")
        return ShardsSource(path, split)
    if split is not None:
        raise ModelError(f"{path} is no folder of shards and has no splits; leave --split out")
    return open_reader(path, organism=organism, layer=layer)
