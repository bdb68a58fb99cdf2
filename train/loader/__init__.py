"""Batches of shards at the pace of the hardware."""

from __future__ import annotations

from curate.train.loader.batch import Batch
from curate.train.loader.encodings import Dense, Encoding, Sparse, Tokens
from curate.train.loader.loader import ShardLoader

__all__ = ["Batch", "Dense", "Encoding", "ShardLoader", "Sparse", "Tokens"]
