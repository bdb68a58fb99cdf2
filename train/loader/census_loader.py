"""Batches straight from a Census, for those who do not materialise: the same cells, slower.

1. the cells of a split are looked up in the manifest, with their labels and weights;
2. tiledbsoma-ml reads them in an order drawn from seed and epoch, and shares them among ranks and workers;
3. a batch becomes one small shard, so that the encodings are those of shards.
"""

from __future__ import annotations

from multiprocessing import current_process
from multiprocessing.context import ForkProcess
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from curate.errors import ShardError
from curate.manifests.document import CENSUS, SPLITS
from curate.train.loader.batch import Batch
from curate.train.loader.labels import coded_labels
from curate.train.shards.shards import Shard

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from curate.manifests.document import Split
    from curate.manifests.manifest import Manifest
    from curate.train.loader.encodings import Encoding
    from curate.train.loader.masks import Mask


class CensusLoader(IterableDataset[Batch]):
    """Yields the batches of an epoch, read from the Census as they are asked for.

    Iterating again yields the next epoch, in another order. In a torch DataLoader (``batch_size=None,
    multiprocessing_context="spawn"``: TileDB hangs in a process that was forked) call `set_epoch` before each
    epoch, and let its workers start anew: a worker has a copy of its own.

    Parameters
    ----------
    encoding, labels, mask, seed, rank, n_ranks
        As of `ShardLoader`. A mask is drawn by `Batch.rows`, here the rows of the cells in `Manifest.obs`.
    weighting
        "pass" hands the manifest's weights on with the batch.
    io_cells, chunk_cells
        Cells that are read and shuffled together, a multiple of the second: neighbours in the store that stay
        together until then. The defaults of tiledbsoma-ml are 65,536 and 64.

    Notes
    -----
    Memory: two times `io_cells` cells, 8 bytes a non-zero, and three times that of one while it is read.
    It does not go on in the midst of an epoch.

    Raises
    ------
    ShardError
        When the manifest has spike-ins or no weights, the split no cells, or a setting is out of range.
    """

    def __init__(
        self,
        manifest: Manifest,
        encoding: Encoding,
        *,
        split: Split = "train",
        batch_size: int = 256,
        labels: Sequence[str] | Mapping[str, Sequence[str]] = (),
        weighting: Literal["none", "pass"] = "none",
        mask: Mask | None = None,
        seed: int = 0,
        rank: int = 0,
        n_ranks: int = 1,
        io_cells: int = 2**15,
        chunk_cells: int = 64,
    ) -> None:
        if batch_size < 1:
            raise ShardError(f"batches of {batch_size} cells; give 1 or more")
        if not 0 <= rank < n_ranks:
            raise ShardError(f"rank {rank} of {n_ranks}; ranks count from 0")
        if chunk_cells < 1 or io_cells < 1 or io_cells % chunk_cells:
            raise ShardError(f"io_cells {io_cells:,} is no multiple of chunk_cells {chunk_cells:,}; give one")
        if split not in SPLITS:
            raise ShardError(f"no split named {split!r}; there are: {', '.join(SPLITS)}")
        if weighting not in ("none", "pass"):
            raise ShardError(
                f"weighting {weighting!r} is not for streaming, which reads every cell once; materialize "
                f"the manifest: curate materialize {manifest.ref}"
            )
        cells = manifest.held_cells
        if spiked := {name: n for name, n in cells.sources.items() if name != CENSUS}:
            told = ", ".join(f"{n:,} cells of {name}" for name, n in spiked.items())
            raise ShardError(
                f"{manifest.ref} has spike-ins ({told}), which no Census holds; "
                f"materialize it: curate materialize {manifest.ref}"
            )
        self.rows = np.flatnonzero(cells.split == SPLITS.index(split))
        if not self.rows.size:
            raise ShardError(f"{manifest.ref} has no cells in split {split}; build with other --split-ratios")
        self.corpus = manifest.corpus()
        self.encoding = encoding
        self.batch_size = batch_size
        self.mask = mask
        self.seed, self.rank, self.n_ranks = seed, rank, n_ranks
        self.io_cells, self.chunk_cells = io_cells, chunk_cells
        self.epoch = 0
        self.joinids = cells.soma_joinid[self.rows]
        self.n_cells = self.rows.size
        self._codes, self.categories = coded_labels(manifest.obs, labels)
        self._weights = None
        if weighting == "pass":
            if cells.weight is None:
                raise ShardError(
                    f"{manifest.ref} has no weights; its strategy gives none, leave weighting out"
                )
            self._weights = cells.weight.astype(np.float32)

    def __len__(self) -> int:
        """Return the batches of an epoch for this rank; workers may each end in one that is not full."""
        return -(-(self.n_cells // self.n_ranks) // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch at its start."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of the epoch, then turn to the next.

        Raises
        ------
        CensusError
            When the Census cannot be opened or read.
        ShardError
            When a value is no count, or this is a worker that was forked.
        """
        if get_worker_info() is not None and isinstance(current_process(), ForkProcess):
            raise ShardError('TileDB hangs in workers that are forked; give multiprocessing_context="spawn"')
        epoch = self.epoch
        with self.corpus.open_census() as census:
            batches = census.shuffled_batches(
                self.corpus.header.organism,
                self.joinids,
                var_joinids=self.corpus.var_joinids(),
                batch_size=self.batch_size,
                io_cells=self.io_cells,
                chunk_cells=self.chunk_cells,
                seed=int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0]),
                rank=self.rank,
                n_ranks=self.n_ranks,
            )
            for joinids, counts in batches:
                yield self._batch(joinids, counts, epoch=epoch)
        self.set_epoch(epoch + 1)

    def _batch(self, joinids: NDArray[np.int64], counts: sp.csr_array, *, epoch: int) -> Batch:
        rows = self.rows[np.searchsorted(self.joinids, joinids)]
        data = counts.data.astype(np.uint32)
        if not np.array_equal(data, counts.data):
            wrong = counts.data[data != counts.data][0]
            raise ShardError(f"a count is {wrong:g}, and counts are whole numbers from 0")
        shard = Shard("batch", 0, counts.indptr.astype(np.int64), counts.indices.astype(np.uint32), data)
        places = np.arange(rows.size)
        x, lengths = self.encoding.encode([(shard, places, places)], rows.size)
        return Batch(
            x=x,
            rows=torch.from_numpy(rows),
            labels={name: torch.from_numpy(codes[rows]) for name, codes in self._codes.items()},
            weights=None if self._weights is None else torch.from_numpy(self._weights[rows]),
            lengths=lengths,
            mask=None if self.mask is None else self.mask.draw(rows, seed=self.seed, epoch=epoch),
        )
