"""How well chosen cells cover the space of an embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.build.diversity.neighbours import nearest_cells
from curate.errors import EmbeddingError
from curate.identity import cell_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

Interval = tuple[float, float]

N_PROBES = 1000
MOST_CHOSEN = 50_000
_BLOCK = 1 << 14


def coverage_distance(
    embedding: NDArray[np.float32], rows: NDArray[np.int64], *, probes: NDArray[np.int64]
) -> float:
    """Return the mean Euclidean distance from a cell to the nearest chosen one; less is better.

    Parameters
    ----------
    embedding
        float32 [n_cells, d], finite.
    rows
        int64 [n], the chosen cells, ascending; of more than MOST_CHOSEN, as many at even steps stand for all.
    probes
        int64 [n_probes], the cells to measure from.

    Notes
    -----
    Memory: 8 bytes for each pair of a probe and one of 16,384 chosen cells (0.13 GB for 1,000 probes).
    """
    if rows.size > MOST_CHOSEN:
        rows = rows[np.linspace(0, rows.size - 1, MOST_CHOSEN).astype(np.int64)]
    from_cells = embedding[probes].astype(np.float64)
    nearest = np.full(probes.size, np.inf)
    for start in range(0, rows.size, _BLOCK):
        chosen = embedding[rows[start : start + _BLOCK]].astype(np.float64)
        squared = (chosen**2).sum(axis=1) - 2 * from_cells @ chosen.T
        np.minimum(nearest, squared.min(axis=1), out=nearest)
    # A chosen cell is at distance 0 from itself, which the difference of squares misses by a rounding error.
    nearest = np.where(np.isin(probes, rows), 0.0, nearest + (from_cells**2).sum(axis=1))
    return float(np.sqrt(np.maximum(nearest, 0)).mean())


@dataclass(frozen=True)
class Coverage:
    """How near the cells of a corpus are to chosen ones, with 95 % intervals for what is estimated.

    Attributes
    ----------
    n_probes
        Cells of the corpus that were measured from.
    radius
        A cell is covered when a chosen one is within this distance (Euclidean, in units of the embedding).
    covered, covered_interval
        Share of the corpus' cells that are; Wilson's interval.
    mean_distance, mean_distance_interval
        To the nearest chosen cell; interval by the normal approximation.
    left_out_fraction
        Share of the farthest cells that the partial Hausdorff distance leaves out.
    hausdorff, hausdorff_interval
        The largest distance among the others; interval by order statistics.
    """

    n_probes: int
    radius: float
    covered: float
    covered_interval: Interval
    mean_distance: float
    mean_distance_interval: Interval
    left_out_fraction: float
    hausdorff: float
    hausdorff_interval: Interval


def choose_probes(identity: NDArray[np.uint64], n: int | None, *, seed: int = 0) -> NDArray[np.int64]:
    """Return the rows of a random sample of cells, int64 ascending; of all cells for None or too many.

    By a hash of who a cell is: whatever the order of the cells, the sample is the same, and a smaller one
    lies inside a larger.

    Parameters
    ----------
    identity
        uint64 [n_cells].
    """
    if n is None or n >= identity.size:
        return np.arange(identity.size)
    keys = cell_keys(identity, seed=seed, purpose="coverage")
    return np.sort(np.argpartition(keys, n)[:n])


def usual_radius(
    values: NDArray[np.float32], probes: NDArray[np.int64], *, n_threads: int | None = None
) -> float:
    """Return the median distance from a sampled cell to the nearest other one of the sample.

    So a random choice of as many cells as the sample has covers about half of the corpus within this radius.

    Raises
    ------
    EmbeddingError
        When it is 0, as most sampled cells have the same vector, or there is one cell only.
    """
    distance = nearest_cells(values, probes, probes, other_than_self=True, n_threads=n_threads)[1]
    radius = float(np.median(distance))
    if not 0 < radius < np.inf:
        raise EmbeddingError(
            f"the median distance between neighbours among {probes.size:,} cells is {radius:g}, which makes "
            "no radius; give one with --radius"
        )
    return radius


def summarise_distances(
    distance: NDArray[np.float64], *, radius: float, left_out_fraction: float = 0.001, is_sample: bool = True
) -> Coverage:
    """Summarise how far cells are from the nearest chosen one.

    Parameters
    ----------
    distance
        float64 [n_probes], finite.
    left_out_fraction
        Of the farthest cells; 0 gives the Hausdorff distance, which one odd cell decides.
    is_sample
        False when these are all cells of the corpus: then there is nothing uncertain.

    References
    ----------
    Hie et al., Cell Systems 8 (2019), doi 10.1016/j.cels.2019.05.003, for the partial Hausdorff distance.
    Wilson, Journal of the American Statistical Association 22 (1927).
    """
    ordered = np.sort(distance)
    n = ordered.size
    covered, mean = float((ordered <= radius).mean()), float(ordered.mean())
    at = _rank(n, left_out_fraction)
    hausdorff = float(ordered[at])
    intervals: tuple[Interval, Interval, Interval] = ((covered,) * 2, (mean,) * 2, (hausdorff,) * 2)
    if is_sample and n > 1:
        half = _Z * float(ordered.std(ddof=1)) / n**0.5
        spread = _Z * (n * left_out_fraction * (1 - left_out_fraction)) ** 0.5
        below, above = max(0, int(np.floor(at - spread))), min(n - 1, int(np.ceil(at + spread)))
        intervals = (
            _wilson(covered, n),
            (max(0.0, mean - half), mean + half),
            (float(ordered[below]), float(ordered[above])),
        )
    return Coverage(
        n, radius, covered, intervals[0], mean, intervals[1], left_out_fraction, hausdorff, intervals[2]
    )


_Z = 1.959963984540054


def _rank(n: int, left_out_fraction: float) -> int:
    """Return where in ascending order the largest stands when this share of the largest is left out."""
    return n - 1 - int(n * left_out_fraction)


def _wilson(share: float, n: int) -> Interval:
    square = _Z**2
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = _Z / (1 + square / n) * (share * (1 - share) / n + square / (4 * n * n)) ** 0.5
    return max(0.0, centre - half), min(1.0, centre + half)
