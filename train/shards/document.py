"""The content of shards.json, format 1."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field

from curate.documents import Document
from curate.manifests.document import Split

FORMAT: Final = 1
Count = Annotated[int, Field(ge=0)]


class FileRecord(Document):
    """A file of the folder, as it was written."""

    n_bytes: Count
    sha256: str


class ShardRecord(Document):
    """One shard: consecutive rows of obs.parquet, all of one split."""

    name: str
    split: Split
    first_row: Count
    n_cells: Count
    n_nonzeros: Count
    files: dict[str, FileRecord]


class SourceOfCells(Document):
    """Where counts came from: the Census, or the file of a spike-in."""

    name: str
    id: str | None = None
    n_cells: Count


class ShardsDocument(Document):
    """What a folder of shards holds and what it was made from.

    Attributes
    ----------
    manifest, manifest_ref, corpus
        Ids of manifest and corpus, and what the manifest was called then.
    genes
        Digest of the gene space: the ids in order.
    seed
        Of the order of the cells.
    created
        UTC.
    """

    format: Literal[1] = FORMAT
    manifest: str
    manifest_ref: str
    corpus: str
    genes: str
    n_genes: Count
    n_cells: dict[Split, Count]
    n_nonzeros: Count
    sources: tuple[SourceOfCells, ...]
    seed: int
    shard_cells: Count
    shards: tuple[ShardRecord, ...]
    files: dict[str, FileRecord]
    created: datetime
    software: dict[str, str]
