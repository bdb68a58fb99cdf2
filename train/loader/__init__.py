"""Batches of shards at the pace of the hardware."""

from __future__ import annotations

from curate.train.loader.batch import Batch
from curate.train.loader.census_loader import CensusLoader
from curate.train.loader.encodings import Dense, Encoding, Sparse, Tokens
from curate.train.loader.loader import ShardLoader
from curate.train.loader.masks import Mask, ProgrammeMask, RandomMask
from curate.train.loader.programmes import Programmes, read_gmt

__all__ = [
    "Batch",
    "CensusLoader",
    "Dense",
    "Encoding",
    "Mask",
    "ProgrammeMask",
    "Programmes",
    "RandomMask",
    "ShardLoader",
    "Sparse",
    "Tokens",
    "read_gmt",
]
