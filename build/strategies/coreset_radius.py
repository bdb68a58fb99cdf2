"""How near the cells of a coreset are to all cells, beside a random choice of as many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.build.diversity.neighbours import nearest_cells
from curate.build.strategies.coreset_kernels import squared_to_own
from curate.build.strategies.keys import smallest_keys
from curate.threads import mapped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.build.strategies.coreset_pool import Pool

PARTIAL = 0.001
"""Share of the farthest cells that the partial Hausdorff distance leaves out."""
N_PROBES = 20_000
_BLOCK = 1 << 16


def reach(
    pool: Pool,
    points: NDArray[np.float32],
    distances: NDArray[np.float32],
    left_out: NDArray[np.int64],
) -> dict[str, float]:
    """Return the radius and the partial Hausdorff distance, or what is certain of them.

    Parameters
    ----------
    distances
        float32 [n_pool], of each candidate from the nearest chosen cell, by place.
    left_out
        int64, places of those that do not count.

    Returns
    -------
    dict
        radius, and partial_hausdorff over all cells when all are candidates; else radius_of_pool, and
        radius_at_most: no cell is farther, by way of the candidate of its box.
    """
    if pool.is_all:
        counted = np.delete(distances, left_out)
        return {"radius": short(counted.max(initial=0)), "partial_hausdorff": partial_hausdorff(counted)}
    assert pool.boxes is not None
    assert pool.candidate_of_box is not None
    counts = np.ones(pool.size, dtype=np.bool_)
    counts[pool.at[left_out]] = False
    of_candidate = np.empty_like(distances)
    of_candidate[pool.at] = distances
    boxes, candidate_of_box = pool.boxes, pool.candidate_of_box

    def farthest(start: int) -> float:
        own = candidate_of_box[boxes[start : start + _BLOCK]]
        squared = np.empty(own.size, dtype=np.float32)
        squared_to_own(points, start, own, pool.points, squared)
        return float(((np.sqrt(squared) + of_candidate[own]) * counts[own]).max())

    return {
        "radius_of_pool": short(distances.max()),
        "radius_at_most": short(max(mapped(farthest, range(0, boxes.size, _BLOCK)))),
    }


def sampled_reach(
    points: NDArray[np.float32], rows: NDArray[np.int64], keys: NDArray[np.uint64], *, is_known: bool
) -> dict[str, float]:
    """Return the partial Hausdorff distance of a random choice, and of this one unless it is known.

    Measured from a random sample of 20,000 cells that has nothing to do with the smallest keys.
    """
    turned = (keys << np.uint64(32)) | (keys >> np.uint64(32))
    probes = smallest_keys(turned, np.array([min(N_PROBES, keys.size)]))
    of_random = smallest_keys(keys, np.array([rows.size]))
    measured = {} if is_known else {"partial_hausdorff": rows}
    return {
        name: partial_hausdorff(nearest_cells(points, chosen, probes)[1])
        for name, chosen in (measured | {"partial_hausdorff_of_random": of_random}).items()
    }


def partial_hausdorff(distances: NDArray[np.floating]) -> float:
    """Return the largest distance but for a thousandth of them."""
    if distances.size == 0:
        return 0.0
    at = distances.size - 1 - int(PARTIAL * distances.size)
    return short(np.partition(distances, at)[at])


def short(value: float | np.floating) -> float:
    """Return a number in six digits, for people to read."""
    return float(f"{value:.6g}")
