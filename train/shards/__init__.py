"""Shards: a manifest's expression on disk, shuffled, made for fast batches."""

from __future__ import annotations

from curate.train.shards.shards import Shard, Shards

__all__ = ["Shard", "Shards"]
