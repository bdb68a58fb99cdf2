"""Batches of shards for torch: every epoch another order, the same whatever the threads, workers and ranks.

1. an epoch's order is drawn from seed and epoch (`order`);
2. this rank and worker takes every n-th batch;
3. threads make batches ahead, straight from the memory-mapped shards (`encodings`);
4. labels, weights and masks of the cells go with them.
"""

from __future__ import annotations

import hashlib
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import polars as pl
import torch
from torch.utils.data import IterableDataset, get_worker_info

from curate.errors import ShardError
from curate.threads import mapped
from curate.train.loader.batch import Batch
from curate.train.loader.labels import read_labels
from curate.train.loader.order import CHUNK_CELLS, GROUP_CHUNKS, EpochOrder, weighted_times

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from curate.manifests.document import Split
    from curate.train.loader.encodings import Encoding
    from curate.train.loader.masks import Mask
    from curate.train.shards import Shard, Shards

Weighting = Literal["none", "pass", "sample"]
WEIGHTINGS: tuple[Weighting, ...] = get_args(Weighting)
WEIGHT = "weight"


class ShardLoader(IterableDataset[Batch]):
    """Yields the batches of an epoch; iterating again yields the next epoch.

    Its batches are whole: use it as it is, or in a torch DataLoader with ``batch_size=None``, whose workers
    then take turns.

    Parameters
    ----------
    encoding
        What to make of the counts: `Dense`, `Sparse` or `Tokens`.
    labels
        Obs columns to go with the cells; a name with several columns stands for their combinations, as in
        ``{"batch": ("dataset_id", "assay")}``.
    weighting
        "pass" hands the manifest's weights on with the batch, "sample" draws cells in proportion to them, as
        many as there are, some more than once; "none" ignores them.
    weights
        [n cells of the split], instead of the manifest's.
    mask
        `RandomMask` or `ProgrammeMask`: which genes of a cell to hide, drawn from seed, epoch and row. A cell
        that is drawn twice in an epoch (`weighting`) has the same mask twice.
    is_shuffled
        Without it the cells come in the order of the shards, and the same every epoch.
    drop_last
        Leave out a last batch that is not full. Ranks have as many batches each, those that cannot be shared
        equally are left out; but the last batch of the last rank may be the one that is not full, so that
        with several ranks it takes `drop_last` for as many cells each.
    n_threads
        Batches made at the same time.

    Notes
    -----
    Memory: n_threads + 1 batches, labels at 8 bytes a cell and column, and the pages of the shards that the
    system keeps.

    Raises
    ------
    ShardError
        When the split has no cells, a column is not there, weights are asked for and there are none, or a
        setting is out of range.
    """

    def __init__(
        self,
        shards: Shards,
        encoding: Encoding,
        *,
        split: Split = "train",
        batch_size: int = 256,
        labels: Sequence[str] | Mapping[str, Sequence[str]] = (),
        weighting: Weighting = "none",
        weights: NDArray[np.floating] | None = None,
        mask: Mask | None = None,
        seed: int = 0,
        is_shuffled: bool = True,
        drop_last: bool = False,
        rank: int = 0,
        n_ranks: int = 1,
        n_threads: int = 2,
    ) -> None:
        if batch_size < 1:
            raise ShardError(f"batches of {batch_size} cells; give 1 or more")
        if not 0 <= rank < n_ranks:
            raise ShardError(f"rank {rank} of {n_ranks}; ranks count from 0")
        if weighting not in WEIGHTINGS:
            raise ShardError(f"no weighting named {weighting!r}; there are: {', '.join(WEIGHTINGS)}")
        if mask is not None and mask.n_genes != shards.header.n_genes:
            raise ShardError(f"a mask of {mask.n_genes:,} genes; the shards have {shards.header.n_genes:,}")
        self.shards = shards
        self.encoding = encoding
        self.split = split
        self.batch_size = batch_size
        self.weighting = weighting
        self.mask = mask
        self.seed = seed
        self.is_shuffled = is_shuffled
        self.drop_last = drop_last
        self.rank = rank
        self.n_ranks = n_ranks
        self.n_threads = n_threads
        self.epoch = 0
        self._next_batch = 0
        self._parts = shards.split(split)
        self._edges = np.array([part.first_row for part in self._parts])
        self._first_row = shards.rows(split).start
        self.n_cells = len(shards.rows(split))
        self._codes, self.categories = read_labels(shards, split, labels)
        self._weights = None
        if weighting != "none":
            self._weights = (
                read_weights(shards, split) if weights is None else _checked(weights, self.n_cells)
            )

    def __len__(self) -> int:
        """Return the batches of an epoch for this rank."""
        return self._order(self.epoch).n_batches(n_ranks=self.n_ranks, drop_last=self.drop_last)

    def set_epoch(self, epoch: int, *, next_batch: int = 0) -> None:
        """Begin an epoch at its start, or at a later batch of this rank."""
        self.epoch, self._next_batch = epoch, next_batch

    def state_dict(self) -> dict[str, Any]:
        """Return where it is, and what decides which cells stand in which batch; plain values for JSON.

        "epoch", and "next_batch": the batches of it that this rank has had. Ranks are at the same place, so
        that the state of one does for all of them.
        """
        return {"epoch": self.epoch, "next_batch": self._next_batch, **self._deciding}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken; the batches that follow have the same cells.

        Encoding, labels and mask are no part of the state: what is made of the cells may be another.

        Raises
        ------
        ShardError
            When it is the state of a loader with other batches, naming what differs, or is none.
        """
        wanted = self.state_dict()
        if lacking := [name for name in wanted if name not in state]:
            raise ShardError(
                f"the state lacks {', '.join(lacking)}: it was not taken from this version of the loader; "
                "begin an epoch with set_epoch"
            )
        differing = [
            f"{name} is {state[name]!r} in the state and {value!r} here"
            for name, value in self._deciding.items()
            if state[name] != value
        ]
        if differing:
            raise ShardError(
                f"the state is of a loader with other batches: {'; '.join(differing)}; make the loader as it "
                "was, or begin an epoch with set_epoch"
            )
        epoch, next_batch = state["epoch"], state["next_batch"]
        n_batches = self._order(epoch).n_batches(n_ranks=self.n_ranks, drop_last=self.drop_last)
        if not 0 <= next_batch <= n_batches:
            raise ShardError(
                f"the state is at batch {next_batch:,} of an epoch of {n_batches:,}; take another state"
            )
        self.set_epoch(epoch, next_batch=next_batch)

    @cached_property
    def _deciding(self) -> dict[str, Any]:
        """What decides which cells stand in which batch, of every epoch."""
        weights = None
        if self._weights is not None:
            weights = hashlib.sha256(np.ascontiguousarray(self._weights, "<f4").tobytes()).hexdigest()
        return {
            "manifest": self.shards.header.manifest,
            "shards": self.shards.digest,
            "split": self.split,
            "batch_size": self.batch_size,
            "n_ranks": self.n_ranks,
            "seed": self.seed,
            "is_shuffled": self.is_shuffled,
            "drop_last": self.drop_last,
            "weighting": self.weighting,
            "weights": weights,
            "chunk_cells": CHUNK_CELLS,
            "group_chunks": GROUP_CHUNKS,
        }

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches that are left of the epoch, then turn to the next epoch."""
        order = self._order(self.epoch)
        n_batches = order.n_batches(n_ranks=self.n_ranks, drop_last=self.drop_last)
        info = get_worker_info()
        worker, n_workers = (info.id, info.num_workers) if info is not None else (0, 1)
        numbers = range(self._next_batch + worker, n_batches, n_workers)
        # In the order of the batches, so that the rows of a group are made once.
        make = partial(self._batch, epoch=self.epoch)
        rows = (order.batch(self.rank + number * self.n_ranks) for number in numbers)
        for number, batch in zip(numbers, mapped(make, rows, n_threads=self.n_threads), strict=True):
            self._next_batch = number + 1
            yield batch
        self.set_epoch(self.epoch + 1)

    def _order(self, epoch: int) -> EpochOrder:
        times = None
        if self.weighting == "sample" and self._weights is not None:
            times = weighted_times(self._weights, seed=self.seed, epoch=epoch)
        return EpochOrder(
            self.n_cells,
            self.batch_size,
            seed=self.seed,
            epoch=epoch if self.is_shuffled else 0,
            times=times,
            is_shuffled=self.is_shuffled,
        )

    def _batch(self, rows: NDArray[np.int64], *, epoch: int) -> Batch:
        """Make the batch of some rows of the split."""
        absolute = rows + self._first_row
        x, lengths = self.encoding.encode(list(self._by_shard(absolute)), rows.size)
        weights = None
        if self.weighting == "pass" and self._weights is not None:
            weights = torch.from_numpy(self._weights[rows])
        return Batch(
            x=x,
            rows=torch.from_numpy(absolute),
            labels={name: torch.from_numpy(codes[rows]) for name, codes in self._codes.items()},
            weights=weights,
            lengths=lengths,
            mask=None if self.mask is None else self.mask.draw(absolute, seed=self.seed, epoch=epoch),
        )

    def _by_shard(
        self, rows: NDArray[np.int64]
    ) -> Iterator[tuple[Shard, NDArray[np.int64], NDArray[np.int64]]]:
        of_shard = np.searchsorted(self._edges, rows, side="right") - 1
        for number in np.unique(of_shard).tolist():
            at = np.flatnonzero(of_shard == number)
            shard = self._parts[number]
            yield shard, rows[at] - shard.first_row, at


def _checked(weights: NDArray[np.floating], n_cells: int) -> NDArray[np.float32]:
    if weights.shape != (n_cells,):
        raise ShardError(f"weights of shape {weights.shape} for {n_cells:,} cells; give one a cell")
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise ShardError("weights that are negative, not finite or all 0; give others")
    return weights.astype(np.float32)


def read_weights(shards: Shards, split: Split) -> NDArray[np.float32]:
    """Return the manifest's weights of the cells of a split; 1 where a cell has none.

    Raises
    ------
    ShardError
        When the manifest has none.
    """
    obs = shards.obs(split=split)
    if WEIGHT not in obs.columns:
        raise ShardError(
            f"{shards.header.manifest_ref} has no weights; its strategy gives none, leave weighting out"
        )
    weights: NDArray[np.float32] = obs[WEIGHT].fill_null(1).fill_nan(1).cast(pl.Float32).to_numpy().copy()
    return weights
