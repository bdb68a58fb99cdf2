"""One pass over the counts of a source: what each cell holds, and the fingerprint of the whole."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.content import content_hashes, gene_keys
from curate.documents import canonical_digest
from curate.h5ad.source import H5adSource
from curate.progress import progress
from curate.sources.document import FingerprintRecord
from curate.sources.store import StoreSource

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

Reader = H5adSource | StoreSource


@dataclass(frozen=True)
class Scan:
    """What one pass over the counts found.

    Attributes
    ----------
    content
        uint64 [n_cells], the content hash of each cell over all genes of the source.
    raw_sum, nnz
        float64 and int64 [n_cells], counts and genes with counts of each cell.
    counts_kept_fraction
        Share of all counts that are in genes with a place in the corpus.
    """

    content: NDArray[np.uint64]
    raw_sum: NDArray[np.float64]
    nnz: NDArray[np.int64]
    counts_kept_fraction: float


def open_reader(path: Path, *, organism: str, layer: str | None = None, check: bool = True) -> Reader:
    """Open an h5ad file, or a folder as a store of the Census layout.

    Raises
    ------
    SourceError
        When it cannot be used; see `H5adSource.open` and `StoreSource`.
    CensusError
        When a folder is no Census.
    """
    if path.is_dir():
        return StoreSource(path, organism)
    return H5adSource.open(path, layer=layer, check=check)


def source_keys(reader: Reader) -> NDArray[np.uint64]:
    """Return the keys that the cells of a source are hashed with: those of its own names of genes."""
    return gene_keys(reader.var_names.fill_null("").to_list())


def scan(reader: Reader, *, has_place: NDArray[np.bool_] | None = None) -> Scan:
    """Hash and count every cell, in a stream.

    Memory: 24 bytes a cell, and one block of counts (`H5adSource.blocks`).

    Parameters
    ----------
    has_place
        bool [n_genes], which genes of the source have a place in the corpus; all by default.
    """
    keys = source_keys(reader)
    content = np.empty(reader.n_cells, np.uint64)
    raw_sum, nnz = np.empty(reader.n_cells), np.empty(reader.n_cells, np.int64)
    first, n_kept = 0, 0.0
    with progress(f"Reading {reader.path.name}", reader.n_cells) as advance:
        for block in reader.blocks():
            cells = slice(first, first + block.shape[0])
            content[cells] = content_hashes(block, keys)
            raw_sum[cells] = block.sum(axis=1, dtype=np.float64)
            nnz[cells] = np.diff(block.indptr)
            kept = block.data if has_place is None else block.data[has_place[block.indices]]
            n_kept += float(kept.sum(dtype=np.float64))
            first = cells.stop
            advance(block.shape[0])
    return Scan(content, raw_sum, nnz, n_kept / max(1.0, float(raw_sum.sum())))


def fingerprint(reader: Reader, content: NDArray[np.uint64], perturbations: pl.Series) -> FingerprintRecord:
    """Return the digests of what a source holds."""
    return FingerprintRecord(
        cells=_digest_of_texts(reader.obs_names),
        genes=_digest_of_texts(reader.var_names),
        counts=hashlib.sha256(content.astype("<u8", copy=False).data).hexdigest(),
        perturbations=_digest_of_texts(perturbations),
    )


def source_id(fingerprint: FingerprintRecord) -> str:
    """Return the id of a source: sha256 (hex) over the digests of its fingerprint."""
    content: dict[str, Any] = fingerprint.model_dump()
    return canonical_digest({"format": 1, **content})


def _digest_of_texts(texts: pl.Series) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(texts), 2**16):
        part = texts[start : start + 2**16].fill_null("").to_list()
        digest.update("".join(f"{text}\n" for text in part).encode())
    return digest.hexdigest()
