"""From a manifest to shards.

1. every cell gets its row: shuffled once within its split, rows cut into shards (`plan`);
2. the labels of the cells are written in that order, and which data set measured which gene;
3. the counts are read once, in joinid order, unit by unit, those of spike-ins from their files; units wait in
   the order of their rows, in memory while 1 GiB holds them all, else on disk (`reading`);
4. shard by shard, the parts of all units are put together and written, with their sha256;
5. what was written is written down, last.

A run that was killed goes on where it was: units on disk are not read again, shards not written again.
"""

from __future__ import annotations

import hashlib
import shutil
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from curate import __version__
from curate.atomic import atomic_file, atomic_folder
from curate.corpus.presence import measured_genes, write_presence
from curate.documents import Document, file_digest
from curate.errors import ShardError
from curate.manifests.document import SPLITS
from curate.manifests.sources import sources_of
from curate.progress import progress
from curate.seeds import check_seed
from curate.threads import mapped
from curate.train.shards.document import FileRecord, ShardRecord, ShardsDocument, SourceOfCells
from curate.train.shards.plan import make_plan
from curate.train.shards.reading import read_units
from curate.train.shards.shards import (
    GENES_FILE,
    HEADER_FILE,
    KINDS,
    OBS_FILE,
    PRESENCE_FILE,
    Shards,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.manifests.manifest import Manifest
    from curate.sources.source import Source
    from curate.train.shards.plan import Piece, ShardPlan
    from curate.train.shards.spool import Spool

SHARD_CELLS = 16_384
SPOOL = "spool"
#: Two compute while one waits for the disk.
WRITERS = 3


class Asked(Document):
    """What the parts found in a folder were made for."""

    manifest: str
    seed: int
    shard_cells: int


def materialize(
    manifest: Manifest,
    path: Path,
    *,
    shard_cells: int = SHARD_CELLS,
    seed: int = 0,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Shards:
    """Write the counts of a manifest's cells as shards, shuffled, in the gene space of its corpus.

    Parameters
    ----------
    path
        The folder to make. Asked again for the same manifest and settings, it is opened as it is.
    shard_cells
        Most cells of a shard.
    seed
        Of the order of the cells. The files have the same bytes for the same manifest, seed and shard_cells;
        but shards.json, which says when it was written and by which versions.
    workers, scheduler
        Read in so many processes of a local Dask cluster, or in the workers of the Dask scheduler at this
        address, instead of two threads.

    Returns
    -------
    Shards

    Notes
    -----
    Memory: 40 bytes a cell of the manifest, 1 GiB of counts that wait, four units of about 4,096 cells and
    what reading them takes; then four shards (4 bytes a non-zero). Disk: 4 bytes a non-zero, 7 kB a cell of
    1,800 genes; where that is more than 1 GiB, the same again until the last shard is written.

    Raises
    ------
    ShardError
        When `path` holds something else, a value is no count, or the seed no seed.
    ManifestError
        When the corpus is not in the workspace, or does not hold a cell.
    CensusError, SourceError
        When counts cannot be read.
    ScheduleError
        When Dask is asked for and cannot be used.
    """
    check_seed(seed, ShardError)
    if shard_cells < 1:
        raise ShardError(f"{shard_cells} cells make no shard; give 1 or more")
    asked = Asked(manifest=manifest.id, seed=seed, shard_cells=shard_cells)
    if path.exists():
        return _opened_again(path, asked)
    corpus = manifest.corpus()
    cells = manifest.held_cells
    plan = make_plan(cells.split, manifest_id=manifest.id, seed=seed, shard_cells=shard_cells)
    sources = sources_of(manifest.document, corpus)
    with atomic_folder(path, resumable=True) as folder:
        _prepare(folder, asked)
        _write_labels(folder, manifest, plan, sources)
        spool = read_units(folder / SPOOL, manifest, plan, sources, workers=workers, scheduler=scheduler)
        shards = tuple(_assemble(folder, spool, plan))
        shutil.rmtree(folder / SPOOL)
        ShardsDocument(
            manifest=manifest.id,
            manifest_ref=manifest.ref,
            corpus=corpus.id,
            genes=corpus.header.genes.digest,
            n_genes=corpus.header.genes.n,
            n_cells={split: int((cells.split == code).sum()) for code, split in enumerate(SPLITS)},
            n_nonzeros=sum(shard.n_nonzeros for shard in shards),
            sources=tuple(
                SourceOfCells(name=name, id=sources[name].id if name in sources else None, n_cells=n)
                for name, n in cells.sources.items()
            ),
            seed=seed,
            shard_cells=shard_cells,
            shards=shards,
            files={name: _record(folder / name) for name in (OBS_FILE, GENES_FILE, PRESENCE_FILE)},
            created=datetime.now(UTC).replace(microsecond=0),
            software={"curate": __version__, "numpy": version("numpy")},
        ).save(folder / HEADER_FILE)
    return Shards.open(path)


def _opened_again(path: Path, asked: Asked) -> Shards:
    if not (path / HEADER_FILE).exists():
        raise ShardError(f"{path} is there and holds no shards; name a folder that is not there yet")
    shards = Shards.open(path)
    held = shards.header
    differing = [
        f"{name} {getattr(held, name)}, not {value}"
        for name, value in asked.model_dump().items()
        if getattr(held, name) != value
    ]
    if differing:
        what = f"{held.manifest_ref}: {', '.join(differing)}"
        raise ShardError(f"{path} holds shards of {what}; name another folder, or move this one away")
    return shards


def _prepare(folder: Path, asked: Asked) -> None:
    """Remove what an interrupted run of something else has left."""
    note = folder / SPOOL / "asked.json"
    try:
        found = Asked.model_validate_json(note.read_text())
    except (OSError, ValidationError):
        found = None
    if found != asked:
        for left in folder.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        asked.save(note)


def _write_labels(folder: Path, manifest: Manifest, plan: ShardPlan, sources: Mapping[str, Source]) -> None:
    """Write obs in the order of the shards, the genes, and which data set or source measured them."""
    with atomic_file(folder / OBS_FILE) as aside:
        manifest.obs()[plan.cell_of].write_parquet(aside)
    genes = measured_genes(manifest.corpus())
    presence = genes.presence
    assert presence is not None
    for source in sources.values():
        presence = presence.joined(source.mapping.presence(source.name))
    with atomic_file(folder / GENES_FILE) as aside:
        genes.table().write_parquet(aside)
    write_presence(presence, folder / PRESENCE_FILE)


def _assemble(folder: Path, spool: Spool, plan: ShardPlan) -> Iterator[ShardRecord]:
    """Write the shards that are not there yet, and yield the record of each."""
    with progress("Writing shards", plan.row_of.size) as advance:
        for piece, record in zip(
            plan.pieces, mapped(partial(_shard, folder, spool), plan.pieces, n_threads=WRITERS), strict=True
        ):
            yield record
            advance(piece.stop - piece.first)


def _shard(folder: Path, spool: Spool, piece: Piece) -> ShardRecord:
    note = folder / SPOOL / f"{piece.name}.json"
    try:
        return ShardRecord.model_validate_json(note.read_text())
    except (OSError, ValidationError):
        pass
    part = spool.read(piece.first, piece.stop)
    record = ShardRecord(
        name=piece.name,
        split=piece.split,
        first_row=piece.first,
        n_cells=piece.stop - piece.first,
        n_nonzeros=int(part.indptr[-1]),
        files={
            name: _write(folder / name, getattr(part, kind))
            for kind in KINDS
            for name in [f"{piece.name}.{kind}.npy"]
        },
    )
    record.save(note)
    return record


def _write(path: Path, array: NDArray[np.generic]) -> FileRecord:
    """Write an array as NumPy does; what is written is hashed on the way, and not read again."""
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    digest = hashlib.sha256(header.getvalue())
    with atomic_file(path) as aside, aside.open("wb") as stream:
        stream.write(header.getvalue())
        stream.write(array.data)
        digest.update(array.data)
    return FileRecord(n_bytes=len(header.getvalue()) + array.nbytes, sha256=digest.hexdigest())


def _record(path: Path) -> FileRecord:
    return FileRecord(n_bytes=path.stat().st_size, sha256=file_digest(path))
