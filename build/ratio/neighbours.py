"""The density ratio by nearest neighbours: reference cells within reach of the k-th nearest corpus cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.build.ratio import neighbours_kernels as kernels
from curate.errors import SelectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_LISTS = 4
"""Lists looked into, of about one and a half times the root of the sampled cells."""


@dataclass(frozen=True)
class Neighbours:
    """Samples of corpus and reference, in lists of what lies nearest to a centre."""

    centres: NDArray[np.float32]
    reference: _Lists
    corpus: _Lists
    k: int
    n_lists: int = N_LISTS
    notice: str = ""

    @property
    def notes(self) -> dict[str, int | float | str]:
        """How well ratios tell the samples apart, each cell left out of its own sample."""
        from sklearn.metrics import roc_auc_score

        # A cell of either sample finds itself at distance 0.
        own = self.count(self.reference.cells, self.k) - 1
        other = self.count(self.corpus.cells, self.k + 1)
        n_reference, n_corpus = len(self.reference.cells), len(self.corpus.cells)
        ratio = np.concatenate([own / (n_reference - 1), other / n_reference]) / (self.k / n_corpus)
        is_reference = np.arange(ratio.size) < n_reference
        odds = ratio * (n_reference / n_corpus)
        return {
            "held_out_auc": float(roc_auc_score(is_reference, ratio)),
            "held_out_brier": float(((odds / (1 + odds) - is_reference) ** 2).mean()),
            "sampled_share_in_reach": float((other > 0).mean()),
        }

    def log_ratio(self, cells: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return log p_reference / p_corpus of cells; -inf where no reference cell is in reach."""
        share = self.count(cells, self.k) / len(self.reference.cells)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(share) - np.log(self.k / len(self.corpus.cells)))

    def count(self, cells: NDArray[np.float32], k: int) -> NDArray[np.int64]:
        """Count the reference cells not farther than the k-th nearest corpus cell."""
        counts = np.empty(len(cells), dtype=np.int64)
        kernels.count_within_kth(
            self.centres,
            self.corpus.cells,
            self.corpus.starts,
            self.reference.cells,
            self.reference.starts,
            np.ascontiguousarray(cells, dtype=np.float32),
            k,
            self.n_lists,
            counts,
        )
        return counts


def fit_neighbours(reference: NDArray[np.float32], sample: NDArray[np.float32], *, k: int = 16) -> Neighbours:
    """Put both samples into lists, by the nearest of some cells of both.

    A ball around a cell that reaches to its k-th nearest corpus cell holds k of the n_corpus and, say, m of
    the n_reference: the ratio is (m / n_reference) / (k / n_corpus), whatever the dimension of the space.

    Parameters
    ----------
    reference, sample
        float32 [n_reference, d] and [n, d], finite, in random order.
    k
        More is smoother. A type of which the sample holds fewer than k cells is taken for its surroundings.

    Raises
    ------
    SelectionError
        When the sample has not more than `k` cells.

    Notes
    -----
    The search is approximate: it looks into the N_LISTS lists of the nearest centres only, for both samples
    alike. In spaces where most dimensions hold noise a tree would look at nearly all cells.

    References
    ----------
    Lima et al., Estimating the redshift distribution of photometric galaxy samples, MNRAS 2008, doi
    10.1111/j.1365-2966.2008.13510.x. Kremer et al., Nearest neighbor density ratio estimation for large-scale
    applications in astronomy, Astronomy and Computing 2015, doi 10.1016/j.ascom.2015.06.005.
    """
    if len(sample) <= k:
        raise SelectionError(
            f"knn_neighbours={k} of {len(sample):,} sampled cells are all of them; use fewer neighbours"
        )
    centres = np.concatenate(
        [sample[: round(len(sample) ** 0.5)], reference[: round(0.5 * len(reference) ** 0.5)]]
    )
    return Neighbours(centres, _Lists.of(reference, centres), _Lists.of(sample, centres), k)


@dataclass(frozen=True)
class _Lists:
    """Cells [n, d] ordered by the centre nearest to them; where those of each begin [n_centres + 1]."""

    cells: NDArray[np.float32]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, cells: NDArray[np.float32], centres: NDArray[np.float32]) -> _Lists:
        nearest = np.empty(len(cells), dtype=np.int64)
        kernels.nearest_centre(centres, cells, nearest)
        sizes = np.bincount(nearest, minlength=len(centres))
        return cls(cells[np.argsort(nearest, kind="stable")], np.append(0, np.cumsum(sizes)))
