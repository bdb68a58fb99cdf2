"""Read the counts of a manifest's cells, unit by unit, into the order of their rows in the shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.manifests.document import CENSUS
from curate.passes.counts import corpus_counts
from curate.passes.schedule import Task, schedule
from curate.passes.units import UNIT_CELLS, Windows
from curate.progress import progress
from curate.threads import mapped
from curate.train.shards.spool import Spool, entries_of, spool_unit, spooled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.corpus import Corpus
    from curate.manifests.manifest import Manifest
    from curate.passes.schedule import Schedule
    from curate.passes.units import Unit
    from curate.sources.source import Source
    from curate.train.shards.plan import ShardPlan
    from curate.train.shards.spool import Spooled

#: Most that waits in memory: what a run that is killed has to read again.
HELD_BYTES = 2**30
BLOCK_CELLS = 4096


def read_units(
    folder: Path,
    manifest: Manifest,
    plan: ShardPlan,
    sources: Mapping[str, Source],
    *,
    workers: int | None,
    scheduler: str | None,
) -> Spool:
    """Read the counts of all cells, but for units that an earlier run has left in `folder`.

    Memory: HELD_BYTES, and four units, each 4 bytes a non-zero, with what reading them takes.
    """
    cells = manifest.held_cells
    spool = Spool(budget=HELD_BYTES)
    with progress("Reading counts", len(cells)) as advance:
        for name in cells.sources:
            own = cells.rows_of(name)
            joinids, rows = cells.soma_joinid[own], plan.row_of[own]
            if name == CENSUS:
                with schedule(workers=workers, scheduler=scheduler) as runner:
                    _read_census(spool, folder, manifest.corpus(), joinids, rows, runner, advance)
            else:
                _read_source(spool, folder, sources[name], joinids, rows, advance)
    return spool


def _read_census(
    spool: Spool,
    folder: Path,
    corpus: Corpus,
    joinids: NDArray[np.int64],
    rows: NDArray[np.int64],
    runner: Schedule,
    advance: Callable[[int], None],
) -> None:
    missing: list[tuple[Unit, Path]] = []
    for number, unit in enumerate(Windows.of(joinids).units()):
        path = folder / f"{CENSUS}-{number:06d}.spool"
        if spool.found(path, np.asarray(unit.take(rows))):
            advance(unit.n_cells)
        else:
            missing.append((unit, path))
    if not missing:
        return

    def add(read: tuple[Spooled, tuple[Unit, Path]]) -> int:
        part, (unit, path) = read
        spool.add(part, path)
        return unit.n_cells

    with corpus_counts(corpus, block_cells=BLOCK_CELLS) as counts:
        task = Task(spool_unit, joinids, {"counts": counts}, by_cell=(rows,))
        parts = runner.run(task, [unit for unit, _ in missing])
        # One more thread waits for the disk.
        for n_cells in mapped(add, zip(parts, missing, strict=True), n_threads=1):
            advance(n_cells)


def _read_source(
    spool: Spool,
    folder: Path,
    source: Source,
    joinids: NDArray[np.int64],
    rows: NDArray[np.int64],
    advance: Callable[[int], None],
) -> None:
    n_genes = source.mapping.space.n_genes
    for first in range(0, joinids.size, UNIT_CELLS):
        unit = slice(first, first + UNIT_CELLS)
        path = folder / f"source-{source.name}-{first // UNIT_CELLS:06d}.spool"
        if not spool.found(path, rows[unit]):
            part = spooled(
                entries_of(source.counts(joinids[unit])),
                np.arange(rows[unit].size),
                rows[unit],
                column=np.arange(n_genes, dtype=np.int32),
                n_genes=n_genes,
            )
            spool.add(part, path)
        advance(rows[unit].size)
