"""How many cells to choose, and with which seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from curate.build.selection import check_n
from curate.errors import SelectionError
from curate.seeds import check_seed

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Request:
    """How many cells to choose, and with which seed."""

    n_cells: int
    seed: int
    fraction: float | None = None

    @property
    def suffix(self) -> str:
        """The part of a manifest's default name that tells the request."""
        size = f"n{self.n_cells}" if self.fraction is None else f"{self.fraction:g}"
        return f"{size}-s{self.seed}"


def make_requests(
    fraction: float | Sequence[float] | None,
    n_cells: int | Sequence[int] | None,
    seed: int | Sequence[int],
    n_candidates: int,
) -> list[Request]:
    """Return one request a size and seed."""
    seeds = [seed] if isinstance(seed, int) else list(dict.fromkeys(seed))
    if (fraction is None) == (n_cells is None):
        raise SelectionError("give either a fraction or a number of cells")
    check_seeds(seeds)
    sizes: list[tuple[int, float | None]]
    if fraction is not None:
        fractions = [fraction] if isinstance(fraction, int | float) else list(dict.fromkeys(fraction))
        sizes = [(cells_of_fraction(each, n_candidates), each) for each in fractions]
    else:
        numbers = [n_cells] if isinstance(n_cells, int) else list(dict.fromkeys(n_cells or ()))
        for number in numbers:
            check_n(number, n_candidates)
        sizes = [(number, None) for number in numbers]
    return [Request(n_cells=n, fraction=share, seed=each) for n, share in sizes for each in seeds]


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse seeds that are none, below 0, or beyond 64 bits.

    Raises
    ------
    SelectionError
        With the seeds.
    """
    if not seeds or min(seeds) < 0:
        raise SelectionError(f"seeds {', '.join(map(str, seeds)) or 'none'}; give whole numbers from 0")
    check_seed(max(seeds), SelectionError)


def cells_of_fraction(fraction: float, n_candidates: int) -> int:
    """Return how many cells a fraction of `n_candidates` is, rounded down; exact in decimals.

    Raises
    ------
    SelectionError
        When the fraction is not in (0, 1], or so small that it is no cell.
    """
    if not 0 < fraction <= 1:
        raise SelectionError(f"fraction {fraction:g} is not a share; give one above 0 and at most 1")
    n = math.floor(Fraction(str(fraction)) * n_candidates)
    if n == 0:
        least = Fraction(1, n_candidates)
        digits = max(2, math.ceil(math.log10(n_candidates)) + 1)
        at_least = math.ceil(least * 10**digits) / 10**digits
        raise SelectionError(
            f"fraction {fraction:g} of {n_candidates:,} cells selects 0 cells; use at least {at_least:g}"
        )
    return n
