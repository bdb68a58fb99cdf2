"""One pass over the counts of cells, into a file of hashes: in a stream, and to be gone on with."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import ValidationError

from curate.content import add_entries, gene_keys
from curate.documents import Document, canonical_digest
from curate.progress import progress
from curate.threads import mapped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

    from curate.census import Census, Entries
    from curate.corpus.content import Content

HASHES_FILE, N_GENES_FILE, NOTE_FILE = "content.npy", "n_genes.npy", "note.json"
CHECKPOINT_S = 60.0
#: Two rows of tiles.
BLOCK_JOINIDS = 4096


class Note(Document):
    """How far a pass has come, and what it was for."""

    cells: str
    genes: str
    is_difference: bool
    n_done: int = 0


def hash_cells(
    folder: Path,
    census: Census,
    organism: str,
    joinids: NDArray[np.int64],
    genes: pl.DataFrame,
    *,
    n_genes: int,
    base: Content | None,
    cells: str,
) -> None:
    """Fill content.npy and n_genes.npy, going on from where a pass of the same cells and genes was killed.

    Parameters
    ----------
    folder
        Where the arrays are, and how far the pass has come.
    genes
        soma_joinid and feature_id of the genes to read.
    n_genes
        Genes of the Census.
    base
        When given, the hashes read are taken from these.
    cells
        What stands for the cells.

    Raises
    ------
    CensusError
        When the counts cannot be read.
    """
    note = Note(cells=cells, genes=_digest(genes), is_difference=base is not None)
    n_done = _n_done(folder / NOTE_FILE, note)
    hashes = _array(folder / HASHES_FILE, np.uint64, len(joinids), is_new=not n_done)
    detected = _array(folder / N_GENES_FILE, np.int32, len(joinids), is_new=not n_done)
    keys = np.zeros(n_genes, np.uint64)
    keys[genes["soma_joinid"].to_numpy()] = gene_keys(genes["feature_id"].to_list())
    wanted = None if genes.height == n_genes else genes["soma_joinid"].to_numpy()
    # Of no gene, where those that are not wanted are none: then the hashes are those over all.
    entries = census.entries(organism, var_joinids=wanted) if genes.height else None
    work = partial(_hash_block, entries, keys)
    with progress("Hashing counts", len(joinids)) as advance:
        advance(n_done)
        saved_at = time.monotonic()
        # One block is read while the other is hashed.
        for found, n_found in mapped(work, _blocks(joinids[n_done:])):
            rows = slice(n_done, n_done + found.size)
            hashes[rows] = found if base is None else base.hashes[rows] - found
            detected[rows] = n_found if base is None else base.n_genes[rows] - n_found
            n_done = rows.stop
            advance(found.size)
            if time.monotonic() - saved_at > CHECKPOINT_S or n_done == len(joinids):
                hashes.flush()
                detected.flush()
                note.model_copy(update={"n_done": n_done}).save(folder / NOTE_FILE)
                saved_at = time.monotonic()


def _hash_block(
    entries: Entries | None, keys: NDArray[np.uint64], joinids: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    hashes, n_genes = np.zeros(joinids.size, np.uint64), np.zeros(joinids.size, np.int32)
    if entries is not None:
        for rows, columns, counts in entries.read(joinids):
            add_entries(rows, columns, counts, cells=joinids, keys=keys, hashes=hashes, n_genes=n_genes)
    return hashes, n_genes


def _blocks(joinids: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Cut joinids where rows of tiles end, so that no tile is read twice."""
    ends = np.searchsorted(joinids, np.arange(BLOCK_JOINIDS, int(joinids[-1]) + 1, BLOCK_JOINIDS))
    first = 0
    for last in [*np.unique(ends).tolist(), joinids.size]:
        if last > first:
            yield joinids[first:last]
        first = last


def _n_done(path: Path, wanted: Note) -> int:
    try:
        found = Note.model_validate_json(path.read_text())
    except (OSError, ValidationError):
        return 0
    return found.n_done if found == wanted.model_copy(update={"n_done": found.n_done}) else 0


def _array(path: Path, dtype: type[np.generic], n: int, *, is_new: bool) -> Any:
    mode: Literal["w+", "r+"] = "w+" if is_new else "r+"
    return np.lib.format.open_memmap(path, mode=mode, dtype=np.dtype(dtype).newbyteorder("<"), shape=(n,))


def _digest(genes: pl.DataFrame) -> str:
    return canonical_digest({"genes": genes["feature_id"].to_list()})
