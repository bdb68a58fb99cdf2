"""The bisection for a side length, and a guess of the sides that it will try."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

_AT_FIRST = 3  # sides, before anything is known
_AT_ONCE = 6


@dataclass(frozen=True)
class Bisection:
    """A side length to try, between bounds; float32 arithmetic, in the order of geosketch's.

    Attributes
    ----------
    k, alpha, max_iter
        The first side that gives (1 ± alpha) k boxes ends it, or the last of `max_iter`.
    low, high
        Sides that give too many boxes and too few.
    n_tried
        Sides tried, this one included.
    """

    k: int
    alpha: float
    max_iter: int
    low: np.float32
    high: np.float32
    unit: np.float32
    n_tried: int = 1

    def after(self, n_boxes: float) -> Bisection | None:
        """Return the next step, where this side gives `n_boxes`; None when it is the last."""
        if n_boxes > self.k * (1 + self.alpha):
            then = replace(self, low=self.unit, unit=(self.unit + self.high) / type(self.unit)(2))
        elif n_boxes < self.k * (1 - self.alpha):
            then = replace(self, high=self.unit, unit=(self.unit + self.low) / type(self.unit)(2))
        else:
            return None
        # Where no number lies between, all further iterations would try this one again.
        if then.high - then.low < 1e-20 or self.n_tried >= self.max_iter or then.unit == self.unit:
            return None
        return replace(then, n_tried=self.n_tried + 1)

    def likely(self, known: Mapping[float, int]) -> list[np.float32]:
        """Return this side and those that will probably be tried next: one pass serves them all.

        Parameters
        ----------
        known
            Side → number of boxes, or a smaller number above (1 + alpha) k.
        """
        sides = [self.unit]
        then = self.after(self._expected(known, self.unit))
        while then is not None and len(sides) < (_AT_ONCE if known else _AT_FIRST):
            sides.append(then.unit)
            then = then.after(self._expected(known, then.unit))
        return sides

    def _expected(self, known: Mapping[float, int], unit: np.float32) -> float:
        """Return the number of boxes by a power of the side, through the finest sides that gave too few."""
        if not known:
            return 0
        few = sorted([(u, n) for u, n in known.items() if n <= self.k * (1 + self.alpha)] + [(1.0, 1)])
        many = max([(u, n) for u, n in known.items() if n > self.k * (1 + self.alpha)], default=None)
        (side, n_boxes), *coarser = few
        others = coarser[:1] + ([many] if many else [])
        power = max((abs(math.log(n / n_boxes) / math.log(u / side)) for u, n in others), default=0.0)
        return math.exp(min(math.log(n_boxes) + power * math.log(side / unit), 700))
