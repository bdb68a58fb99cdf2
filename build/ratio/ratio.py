"""The density ratio of every cell, reference over corpus.

1. what was given is checked;
2. a random sample of the corpus stands for it, and so does one of a reference of many cells;
3. an estimator is fitted to the two samples, and tried on cells that it was not fitted to;
4. it goes over the embedding, block by block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from curate.errors import SelectionError
from curate.identity import cell_keys
from curate.threads import mapped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Estimator = Literal["classifier", "knn"]

MOST_OF_CORPUS = 1 << 15
MOST_OF_REFERENCE = 1 << 14
LEAST_OF_REFERENCE = 2
_BLOCK = 1 << 13


class RatioEstimator(Protocol):
    """A fitted estimator.

    Attributes
    ----------
    notes
        What was found in fitting it, for people to read.
    notice
        Why its ratios are not to be trusted; empty when there is no reason.
    """

    @property
    def notes(self) -> Mapping[str, int | float | str]: ...  # noqa: D102

    @property
    def notice(self) -> str: ...  # noqa: D102

    def log_ratio(self, cells: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return log p_reference / p_corpus of some cells, up to a constant; -inf where it is 0."""


@dataclass(frozen=True)
class Ratios:
    """Density ratios of all cells.

    Attributes
    ----------
    log
        float32 [n_cells], log p_reference / p_corpus; -inf where the reference has no density.
    reference, sample
        float32 [<= MOST_OF_REFERENCE, d] and [<= MOST_OF_CORPUS, d], what they were estimated on.
    """

    log: NDArray[np.float32]
    reference: NDArray[np.float32]
    sample: NDArray[np.float32]
    notes: Mapping[str, int | float | str]
    notice: str = ""


def estimate_ratios(
    embedding: NDArray[np.float32],
    reference: NDArray[np.float32],
    sampled: NDArray[np.int64],
    *,
    estimator: Estimator = "classifier",
    neighbours: int = 16,
    n_threads: int = 2,
) -> Ratios:
    """Estimate p_reference / p_corpus at every cell of an embedding.

    Parameters
    ----------
    embedding
        float32 [n_cells, d], memory-mapped or not.
    reference
        float32 [n_reference, d], cells in the same space, not more than there are cells.
    sampled
        int64 [n], rows of the cells that stand for the corpus; see `sample_corpus`.
    estimator
        "classifier" (`curate.build.ratio.classifier`) or "knn" (`curate.build.ratio.neighbours`).
    neighbours
        Of knn.
    n_threads
        It changes nothing but the time.

    Raises
    ------
    SelectionError
        When the reference does not fit the embedding, has one cell only or more than the corpus, or a vector
        is not finite, or all sampled cells are the same.

    Notes
    -----
    Memory: 4 bytes a cell, and some 0.2 GB for the samples and what is fitted to them.
    """
    check_reference(embedding, reference)
    ordered = np.argsort(cell_keys(np.arange(len(reference)).view(np.uint64), seed=0, purpose="reference"))
    of_reference = np.ascontiguousarray(reference[ordered[:MOST_OF_REFERENCE]], dtype=np.float32)
    of_corpus = np.ascontiguousarray(embedding[sampled], dtype=np.float32)
    if not np.isfinite(of_corpus).all():
        raise _not_finite()
    if (of_corpus == of_corpus[0]).all():
        raise SelectionError(
            f"all {len(of_corpus):,} sampled cells have the same vector, so that none is nearer to the "
            "reference than another; look at what made the embedding"
        )
    fitted = _fit(estimator, of_reference, of_corpus, neighbours=neighbours, n_threads=n_threads)
    notes = {"n_reference": len(reference), "n_corpus_sampled": len(of_corpus), **fitted.notes}
    logs = _over(embedding, fitted, n_threads)
    return Ratios(logs, of_reference, of_corpus, notes, fitted.notice)


def sample_corpus(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the rows of a random sample of at most MOST_OF_CORPUS cells, in the order of their keys.

    The keys are mixed anew, so that who is in the sample says nothing of who is chosen by the keys.
    """
    mixed = cell_keys(keys, seed=0, purpose="sample")
    n = min(mixed.size, MOST_OF_CORPUS)
    rows = np.argpartition(mixed, n - 1)[:n]
    return np.asarray(rows[np.lexsort((rows, mixed[rows]))])


def check_reference(embedding: NDArray[np.float32], reference: NDArray[np.float32]) -> None:
    """Refuse a reference that does not fit an embedding.

    Raises
    ------
    SelectionError
        As said in `estimate_ratios`.
    """
    if reference.ndim != 2 or reference.shape[1] != embedding.shape[1]:
        raise SelectionError(
            f"the reference has shape {reference.shape}, the embedding {embedding.shape}; "
            "embed the reference by the model of the corpus"
        )
    if len(reference) < LEAST_OF_REFERENCE:
        raise SelectionError(
            f"the reference has {len(reference):,} cells, too few for a density; give at least "
            f"{LEAST_OF_REFERENCE}, better 100, or choose by type with the strategy ontology"
        )
    if len(reference) > len(embedding):
        raise SelectionError(
            f"the reference has {len(reference):,} cells, more than the {len(embedding):,} to choose from; "
            "give a smaller reference, or train on all"
        )
    strange = int((~np.isfinite(reference).all(axis=1)).sum())
    if strange:
        raise SelectionError(
            f"{strange:,} of {len(reference):,} reference cells have a value that is not finite; "
            "embed them anew"
        )


def _fit(
    estimator: Estimator,
    reference: NDArray[np.float32],
    sample: NDArray[np.float32],
    *,
    neighbours: int,
    n_threads: int,
) -> RatioEstimator:
    if estimator == "knn":
        from curate.build.ratio.neighbours import fit_neighbours

        return fit_neighbours(reference, sample, k=neighbours)
    from curate.build.ratio.classifier import fit_classifier

    return fit_classifier(reference, sample, n_threads=n_threads)


def _over(embedding: NDArray[np.float32], fitted: RatioEstimator, n_threads: int) -> NDArray[np.float32]:
    from threadpoolctl import threadpool_limits

    def of(start: int) -> NDArray[np.float64]:
        cells = np.asarray(embedding[start : start + _BLOCK])
        if not np.isfinite(cells).all():
            raise _not_finite()
        return fitted.log_ratio(cells)

    logs = np.empty(len(embedding), dtype=np.float32)
    starts = range(0, len(embedding), _BLOCK)
    with threadpool_limits(1):
        for start, block in zip(starts, mapped(of, starts, n_threads=n_threads), strict=True):
            logs[start : start + _BLOCK] = block
    return logs


def _not_finite() -> SelectionError:
    return SelectionError("the embedding holds values that are not finite; check what made it")
