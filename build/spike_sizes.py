"""Whether subsets of these sizes can be spiked, told before any of them is written down.

1. how many training cells a subset will have is known within bounds before it is chosen, and exactly where it
   is all cells: what is beyond the bounds is refused;
2. a subset that the bounds leave open is chosen, and counted, before any is written.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from curate.build.spike_ins import TRAIN, n_spiked
from curate.build.splits.units import CELL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.build.builder import Builder
    from curate.build.candidates import Candidates
    from curate.build.requests import Request
    from curate.build.selection import Selection
    from curate.build.spike_ins import SpikeIns
    from curate.build.splits.splits import Splits

STANDARD_DEVIATIONS = 6.0
"""That the training cells may be off, where each cell is split by a hash; one choice in 10⁹ is further."""


def check_spike_sizes(
    spike_ins: SpikeIns, sizes: Sequence[int], candidates: Candidates, splits: Splits
) -> set[int]:
    """Refuse what no subset, or not the largest, can be spiked with, before anything is built.

    How many training cells a subset will have is known exactly where it is all cells, and within bounds else:
    only what is beyond them is refused here.

    Parameters
    ----------
    spike_ins
        From `guarded`.
    sizes
        Cells of each subset.

    Returns
    -------
    The sizes that the bounds leave open: whether these can be spiked is known once they are chosen.

    Raises
    ------
    SelectionError
        When a share of the smallest is no cell, or one of the largest more than its source may give.
    """
    rows = np.arange(candidates.n_cells) if candidates.rows is None else candidates.rows
    n_train = int((splits.of(rows) == TRAIN).sum())
    is_open = set()
    for n_cells in sorted(set(sizes)):
        least, most = _bounds(n_cells, n_train, candidates.n_cells, splits.record.unit)
        for source, share in spike_ins.shares:
            n_least, n_most = (math.floor(Fraction(str(share)) * bound) for bound in (least, most))
            n_left = len(spike_ins.pools[source.name].rows)
            if n_most == 0 or n_least > n_left:
                # It says why, of the number that is to be expected.
                n_spiked(
                    source,
                    share,
                    n_cells * n_train // candidates.n_cells,
                    pool=spike_ins.pools[source.name],
                )
            if n_least == 0 or n_most > n_left:
                is_open.add(n_cells)
    return is_open


def choose_open(
    spike_ins: SpikeIns, requests: Sequence[Request], builder: Builder
) -> dict[Request, Selection]:
    """Choose the subsets of which only their training cells say whether they can be spiked; refuse the rest.

    Memory: the rows of these subsets, 8 bytes a cell, and as much of weights or ranks.

    Returns
    -------
    What was chosen, of those requests that the bounds left open.

    Raises
    ------
    SelectionError
        When a subset cannot be spiked.
    """
    sizes = [request.n_cells for request in requests]
    is_open = check_spike_sizes(spike_ins, sizes, builder.candidates, builder.splits)
    chosen = {}
    for request in requests:
        if request.n_cells not in is_open:
            continue
        selection = chosen[request] = builder.choose(request)
        splits = builder.splits.of(builder.candidates.to_corpus(selection.rows))
        for source, share in spike_ins.shares:
            n_spiked(source, share, int((splits == TRAIN).sum()), pool=spike_ins.pools[source.name])
    return chosen


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
