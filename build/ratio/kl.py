"""How much nearer a choice is to a reference than the corpus is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_CENTRES = 64
"""Half cells of the reference, half of the corpus."""


@dataclass(frozen=True)
class KLReduction:
    """Kullback-Leibler divergences, in nats, of the reference from the corpus and from a choice."""

    of_corpus: float
    of_choice: float

    @property
    def reduction(self) -> float:
        """By how much the choice is nearer."""
        return self.of_corpus - self.of_choice


def kl_reduction(
    reference: NDArray[np.float32], corpus: NDArray[np.float32], choice: NDArray[np.float32]
) -> KLReduction:
    """Measure KL(reference | corpus) and KL(reference | choice) over regions of the space.

    A region is what lies nearest to one of N_CENTRES cells, the first of `reference` and of `corpus`. Each
    count is raised by 1/2, so that an empty region has a share.

    Parameters
    ----------
    reference, corpus, choice
        float32 [.., d], cells in random order. Of `corpus` as many are counted as there are in `choice`, so
        that small numbers blur both alike.

    References
    ----------
    Xie et al., arXiv 2302.03169, section 5, there over hashed n-grams.
    """
    from threadpoolctl import threadpool_limits

    n = min(len(corpus), len(choice))
    half = N_CENTRES // 2
    centres = np.concatenate([reference[:half], corpus[:half]]).astype(np.float64)
    with threadpool_limits(1):
        shares = [_shares(each, centres) for each in (reference, corpus[-n:], choice[:n])]
    return KLReduction(_kl(shares[0], shares[1]), _kl(shares[0], shares[2]))


def _shares(cells: NDArray[np.float32], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    nearest = ((centres**2).sum(axis=1) - 2 * (cells.astype(np.float64) @ centres.T)).argmin(axis=1)
    counts = np.bincount(nearest, minlength=len(centres)) + 0.5
    return np.asarray(counts / counts.sum())


def _kl(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    return float((p * np.log(p / q)).sum())
