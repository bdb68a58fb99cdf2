"""A line of a ladder: the steps of one strategy and seed, the smallest first.

1. a manifest that is there already is taken as it is, so that a ladder that was killed goes on;
2. else it is chosen; of a nested ladder it must contain the step below it;
3. where asked for, it is spiked, in a manifest of its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.build.requests import Request
from curate.build.spike_ins import spike
from curate.errors import SelectionError
from curate.manifests.document import CONTAINS, ParentRecord
from curate.manifests.ladder import StepRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from curate.build.builder import Builder
    from curate.build.spike_ins import SpikeIns
    from curate.manifests.cells import Cells
    from curate.manifests.document import ManifestDocument
    from curate.manifests.manifest import Manifest


@dataclass(frozen=True)
class Step:
    """A manifest of a ladder.

    Attributes
    ----------
    is_new
        Whether this run made it.
    n_lost
        Of a spiked step: cells of the spiked step below it that it lacks.
    """

    record: StepRecord
    document: ManifestDocument
    is_new: bool
    n_lost: int = 0


def step_seed(seed: int, fraction: float) -> int:
    """Return the seed of one step of a ladder that is not nested, 32 bits."""
    digest = hashlib.blake2b(f"ladder\0{seed}\0{fraction!r}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def step_name(ladder: str, strategy: str, fraction: float, seed: int) -> str:
    """Return what the manifest of a step is called."""
    return f"{ladder}-{strategy}-{fraction:g}-s{seed}"


def build_line(
    builder: Builder,
    sizes: Mapping[float, int],
    *,
    seed: int,
    nested: bool,
    name: str,
    spike_ins: SpikeIns | None = None,
) -> Iterator[Step]:
    """Yield the steps of one strategy and seed, each followed by what it is when spiked.

    Parameters
    ----------
    sizes
        Cells of each fraction, ascending.
    name
        Of the ladder.

    Raises
    ------
    SelectionError
        When a step of a nested ladder does not contain the one below it, or a spike-in is no cell, or more
        than the source has.
    """
    below: ManifestDocument | None = None
    rows_below: NDArray[np.int64] | None = None
    spiked_below: Cells | None = None
    for fraction, n_cells in sizes.items():
        draw = seed if nested else step_seed(seed, fraction)
        request = Request(n_cells=n_cells, seed=draw, fraction=fraction)
        parents = (
            [ParentRecord(id=below.id, relation=CONTAINS, ref=below.ref)]
            if nested and below is not None
            else []
        )
        called = step_name(name, builder.chosen.label, fraction, seed)
        base = _find(builder, called, request, parents)
        is_new = base is None
        if base is None:
            selection = builder.choose(request)
            if nested:
                _check_contains(builder, selection.rows, rows_below, fraction=fraction)
                rows_below = selection.rows
            base = builder.write(called, request, selection, parents=parents)
        else:
            rows_below = None
        yield _step(base, fraction=fraction, seed=seed, draw=draw, is_new=is_new)
        below = base.document
        if spike_ins is not None:
            known = builder.registry.versions(called + spike_ins.suffix)
            spiked = spike(base, spike_ins, registry=builder.registry, corpus=builder.corpus, seed=draw)
            yield _step(
                spiked,
                fraction=fraction,
                seed=seed,
                draw=draw,
                is_new=spiked.version not in known,
                is_spiked=True,
                n_lost=_n_lost(spiked_below, spiked.held_cells),
            )
            spiked_below = spiked.held_cells if nested else None


def _step(
    manifest: Manifest,
    *,
    fraction: float,
    seed: int,
    draw: int,
    is_new: bool,
    is_spiked: bool = False,
    n_lost: int = 0,
) -> Step:
    record = StepRecord(
        strategy=manifest.document.selection.strategy,
        fraction=fraction,
        seed=seed,
        drawn_with=draw,
        spiked=is_spiked,
        n_cells=manifest.document.n_cells,
        manifest=manifest.name,
        version=manifest.version,
        id=manifest.id,
    )
    return Step(record, manifest.document, is_new, n_lost)


def _n_lost(below: Cells | None, cells: Cells) -> int:
    return sum(len(joinids) for joinids in below.beyond(cells).values()) if below is not None else 0


def _find(builder: Builder, name: str, request: Request, parents: Sequence[ParentRecord]) -> Manifest | None:
    """Return the manifest of this name that was asked the same, if it is there whole."""
    wanted = builder.asked(request, parents=parents)
    for entry in reversed(builder.registry.entries(name)):
        if entry.document is not None and entry.document.asked() == wanted:
            folder = builder.registry.version_path(entry.name, entry.version)
            files = entry.document.files.items()
            if all(
                (path := folder / file).is_file() and path.stat().st_size == held.n_bytes
                for file, held in files
            ):
                return builder.registry.open(entry.name, entry.version)
    return None


def _check_contains(
    builder: Builder, rows: NDArray[np.int64], below: NDArray[np.int64] | None, *, fraction: float
) -> None:
    """Refuse a step that does not contain the one below it: settings can keep a strategy from nesting."""
    if below is None:
        return
    is_held = np.zeros(builder.candidates.n_cells, dtype=np.bool_)
    is_held[rows] = True
    n_lost = int((~is_held[below]).sum())
    if n_lost:
        raise SelectionError(
            f"{builder.chosen.name} with these parameters does not nest: {n_lost:,} of the {below.size:,} "
            f"cells of a step are not in the next, {fraction:g}; leave them out, or build without nesting"
        )
