"""The passes over the counts of a corpus: what is done with one unit of cells, and how units come together.

The functions that work on one unit are pure and take all they need, so that they run anywhere; what they
return is put together here, in the order of the units. How far a pass has come is kept every CHECKPOINT_S
seconds, so that a run that was killed loses no more than that.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from curate.atomic import atomic_file
from curate.build.embeddings.pca import gram_size, gram_sums, moment_sums
from curate.documents import Document
from curate.errors import EmbeddingError
from curate.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from curate.build.embeddings.pca import PcaModel, Scaling
    from curate.passes.schedule import Schedule, Task
    from curate.passes.units import Unit

    Runs = Sequence[NDArray[np.int64]]

CHECKPOINT_S = 60.0


class CellBlock(Protocol):
    """The counts of some cells."""

    @property
    def counts(self) -> sp.csr_array:
        """[b, n_genes], raw, of the genes that were asked for."""

    @property
    def totals(self) -> NDArray[np.float64]:
        """float64 [b], over all genes."""


class CellCounts(Protocol):
    """Where the counts of cells come from: a corpus, or shards."""

    @property
    def n_genes(self) -> int:
        """Number of genes."""

    def blocks(self, runs: Runs, genes: NDArray[np.int64] | None = None) -> Iterator[CellBlock]:
        """Yield the counts of some cells and of some genes, or of all."""


def unit_moments(
    runs: Runs, sampled: NDArray[np.bool_], *, counts: CellCounts, target_sum: float
) -> NDArray[np.float64]:
    """Return the sums of `moment_sums` over the cells of a unit."""
    sums = np.zeros((counts.n_genes, 4))
    first = 0
    for block in counts.blocks(runs):
        last = first + block.totals.size
        moment_sums(block.counts, block.totals, sampled[first:last], sums, target_sum=target_sum)
        first = last
    return sums


def unit_gram(
    runs: Runs, *, counts: CellCounts, genes: NDArray[np.int64], scaling: Scaling
) -> NDArray[np.float64]:
    """Return the sums of `gram_sums` over the cells of a unit."""
    sums = np.zeros(gram_size(genes.size))
    for block in counts.blocks(runs, genes):
        gram_sums(scaling, block.counts, block.totals, sums)
    return sums


def unit_projection(
    runs: Runs, *, counts: CellCounts, genes: NDArray[np.int64], model: PcaModel
) -> tuple[NDArray[np.float32], int]:
    """Return the embedding of the cells of a unit, and how many of them have no counts."""
    parts, n_empty = [], 0
    for block in counts.blocks(runs, genes):
        parts.append(model.project(block.counts, block.totals))
        n_empty += int((block.totals == 0).sum())
    return np.concatenate(parts), n_empty


def add_up(
    kept: Path | None,
    task: Task,
    units: Sequence[Unit],
    *,
    shape: tuple[int, ...],
    schedule: Schedule,
    title: str,
) -> NDArray[np.float64]:
    """Return the sum of what `task` returns for each unit, float64 of this shape.

    Parameters
    ----------
    kept
        Where the sum so far is kept, and in the end the whole: a pass that is finished is not run again. None
        keeps nothing.
    """
    total, n_done = (np.zeros(shape), 0) if kept is None else _read_sum(kept, shape)
    with progress(title, sum(unit.n_cells for unit in units)) as advance:
        advance(sum(unit.n_cells for unit in units[:n_done]))
        saved_at = time.monotonic()
        for part in schedule.run(task, units[n_done:]):
            total += part
            advance(units[n_done].n_cells)
            n_done += 1
            is_due = time.monotonic() - saved_at > CHECKPOINT_S or n_done == len(units)
            if kept is not None and is_due:
                with atomic_file(kept) as aside:
                    save_file({"sum": total, "n_done": np.array([n_done])}, aside)
                saved_at = time.monotonic()
    return total


def _read_sum(kept: Path, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], int]:
    try:
        arrays = load_file(kept)
        return arrays["sum"], int(arrays["n_done"][0])
    except (OSError, SafetensorError):
        return np.zeros(shape), 0


class Projected(Document):
    """How many units the values of a file are those of, and how many cells without counts were among them."""

    n_units: int = 0
    n_empty: int = 0


def write_projection(
    values: Path,
    note: Path,
    task: Task,
    units: Sequence[Unit],
    *,
    n_components: int,
    schedule: Schedule,
    title: str,
) -> int:
    """Write what `task` returns for each unit as one float32 .npy file; return the cells without counts.

    How far it has come is kept in `note`.

    Raises
    ------
    EmbeddingError
        When a value is not finite.
    """
    done = _read_note(note, values)
    n_cells = sum(unit.n_cells for unit in units)
    n_written = sum(unit.n_cells for unit in units[: done.n_units])
    values.touch()
    with values.open("r+b") as stream, progress(title, n_cells) as advance:
        header: dict[str, Any] = {"descr": "<f4", "fortran_order": False, "shape": (n_cells, n_components)}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.seek(n_written * n_components * 4, os.SEEK_CUR)
        stream.truncate()
        advance(n_written)
        saved_at = time.monotonic()
        for unit, (part, n_empty) in zip(
            units[done.n_units :], schedule.run(task, units[done.n_units :]), strict=True
        ):
            if not np.isfinite(part).all():
                raise EmbeddingError("a value of the embedding is not finite; a count of the Census must be")
            stream.write(np.ascontiguousarray(part, "<f4").data)
            advance(unit.n_cells)
            done = Projected(n_units=done.n_units + 1, n_empty=done.n_empty + n_empty)
            if time.monotonic() - saved_at > CHECKPOINT_S or done.n_units == len(units):
                stream.flush()
                os.fsync(stream.fileno())
                done.save(note)
                saved_at = time.monotonic()
    return done.n_empty


def _read_note(note: Path, values: Path) -> Projected:
    try:
        return Projected.model_validate_json(note.read_text()) if values.exists() else Projected()
    except (OSError, ValidationError):
        return Projected()
