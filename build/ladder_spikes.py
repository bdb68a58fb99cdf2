"""The spike-ins of a ladder: whether all its steps can have them, and what the ladder says about them."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from curate.build.spike_ins import TRAIN, n_spiked
from curate.build.splits.units import CELL
from curate.manifests.ladder import SpikedShareRecord, SpikedStepsRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.build.candidates import Candidates
    from curate.build.ladder_lines import Step
    from curate.build.spike_ins import SpikeIns
    from curate.build.splits.splits import Splits

STANDARD_DEVIATIONS = 6.0
"""That the training cells of a step may be off, where each cell is split by a hash; one in 10⁹ is further."""


def check_spike_sizes(
    spike_ins: SpikeIns, sizes: Sequence[int], candidates: Candidates, splits: Splits
) -> None:
    """Refuse what no step, or not the largest, can be spiked with, before anything is built.

    How many training cells a step will have is known exactly where it is all cells, and within bounds else:
    only what is beyond them is refused here, and what lies between when its step has its turn.

    Parameters
    ----------
    spike_ins
        From `guarded`.
    sizes
        Cells of each step.

    Raises
    ------
    SelectionError
        When a share of the smallest step is no cell, or one of the largest more than its source may give.
    """
    rows = np.arange(candidates.n_cells) if candidates.rows is None else candidates.rows
    n_train = int((splits.of(rows) == TRAIN).sum())
    for n_cells in (min(sizes), max(sizes)):
        least, most = _bounds(n_cells, n_train, candidates.n_cells, splits.record.unit)
        for source, share in spike_ins.shares:
            pool = spike_ins.pools[source.name]
            is_none = math.floor(Fraction(str(share)) * most) == 0
            if is_none or math.floor(Fraction(str(share)) * least) > len(pool.rows):
                # It says why, of the number that is to be expected.
                n_spiked(source, share, n_cells * n_train // candidates.n_cells, pool=pool)


def ladder_spike_ins(spike_ins: SpikeIns, steps: Sequence[Step], *, nested: bool) -> SpikedStepsRecord:
    """Return what a ladder says about the spike-ins of its steps."""
    n_lost = max((step.n_lost for step in steps), default=0)
    return SpikedStepsRecord(
        shares=tuple(
            SpikedShareRecord(source=source.name, id=source.id, fraction=share)
            for source, share in spike_ins.shares
        ),
        mode=spike_ins.mode,
        balance=spike_ins.balance,
        suffix=spike_ins.suffix,
        nested=n_lost == 0 if nested else None,
        n_lost=n_lost,
    )


def _bounds(n_cells: int, n_train: int, n_candidates: int, unit: str) -> tuple[int, int]:
    """Return the fewest and the most training cells that a choice of `n_cells` has."""
    least, most = max(n_cells - (n_candidates - n_train), 0), min(n_cells, n_train)
    if unit == CELL:
        # The hash that splits a cell knows nothing of what chose it.
        share = n_train / n_candidates
        off = STANDARD_DEVIATIONS * math.sqrt(n_cells * share * (1 - share))
        least = max(least, math.floor(n_cells * share - off))
        most = min(most, math.ceil(n_cells * share + off))
    return least, most
