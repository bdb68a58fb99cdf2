"""Choice for a task: cells drawn as if from the distribution of a reference, and a share of background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from curate.build.ratio.kl import kl_reduction
from curate.build.ratio.ratio import Estimator, Ratios, check_reference, estimate_ratios, sample_corpus
from curate.build.selection import Parameter, Selection, Strategy, check_n
from curate.build.strategies.race import effective_size
from curate.build.strategies.settings import between, one_of, whole
from curate.build.strategies.target_draw import background_of, draw_mixed
from curate.errors import SelectionError
from curate.identity import cell_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl
    from numpy.typing import NDArray

    from curate.build.task.target import TaskTarget

MOST_COMPARED = 1 << 14
"""Chosen cells that the divergence from the reference is measured on."""
_MOST_KEPT = 8


def target(
    cells: pl.DataFrame,
    embedding: NDArray[np.float32] | None,
    n: int,
    *,
    keys: NDArray[np.uint64],
    rng: np.random.Generator,
    reference: NDArray[np.float32] | None = None,
    estimator: Estimator = "classifier",
    knn_neighbours: int = 16,
    mix: float = 0.0,
    ratios: Callable[[NDArray[np.uint64]], Ratios] | None = None,
) -> Selection:
    """Choose `n` cells by importance resampling towards a reference.

    The density ratio p_reference / p_corpus of every cell is estimated in the embedding; cells are drawn
    without replacement with chances in proportion to it (Gumbel top-k on its logarithm). With the same keys a
    choice of fewer cells lies inside this one, background included.

    The weights are inverse inclusion probabilities: weighted means over the chosen cells estimate those over
    the **corpus** (over its cells with a ratio above 0, with knn and no background); without weights they
    follow the reference. Far from the reference a cell has next to no chance, so that without background the
    effective size of the weights may be that of a few cells.

    Parameters
    ----------
    reference
        float32 [n_reference, d], cells of the task in the space of the embedding.
    estimator
        "classifier": calibrated logistic regression. "knn": reference cells within reach of the k-th nearest
        corpus cell; 0 beyond, so that no more cells can be chosen than have one in reach.
    knn_neighbours
        k of knn.
    mix
        Share of the `n` cells that are drawn at random among all, whatever their ratio.
    ratios
        What `prepare` returned.

    Raises
    ------
    SelectionError
        When `n` is 0 or more than there are cells, there is no embedding or reference, the reference has one
        cell only or more than there are to choose from, a value is not finite, or fewer cells than `n` have a
        weight.

    Notes
    -----
    Streams over the embedding. Memory: 28 bytes a cell at the peak, and some 0.2 GB.

    References
    ----------
    Xie et al., Data selection for language models via importance resampling (DSIR), NeurIPS 2023, arXiv
    2302.03169, on vectors instead of hashed n-grams.
    """
    del cells, rng
    check_n(n, keys.size)
    vectors = _checked(embedding, keys.size)
    if ratios is None:
        ratios = prepare(vectors, reference=reference, estimator=estimator, knn_neighbours=knn_neighbours)[
            "ratios"
        ]
    found = ratios(keys)
    drawn = draw_mixed(keys, found.log, n, mix=mix)
    compared = _sampled(drawn.rows, keys)
    divergence = kl_reduction(found.reference, found.sample, vectors[compared])
    n_alike = int((found.log > 0).sum())
    notes: dict[str, int | float | str] = {
        **found.notes,
        "n_background": drawn.n_background,
        "n_cells_likelier_in_reference": n_alike,
        "effective_cells_of_ratio": _effective(found.log),
        "effective_size": effective_size(drawn.weights),
        "weights_cover": float(drawn.weights.sum(dtype=np.float64)) / keys.size,
        "kl_of_corpus": divergence.of_corpus,
        "kl_of_choice": divergence.of_choice,
        "kl_reduction": divergence.reduction,
    }
    # Four digits say all that is known.
    notes = {name: float(f"{v:.4g}") if isinstance(v, float) else v for name, v in notes.items()}
    if notice := found.notice or _beyond(n - background_of(n, mix), n_alike, n, keys.size):
        notes["notice"] = notice
    return Selection(drawn.rows, weights=drawn.weights, notes=notes)


def prepare(
    embedding: NDArray[np.float32],
    *,
    reference: NDArray[np.float32] | None = None,
    estimator: Estimator = "classifier",
    knn_neighbours: int = 16,
    **other: object,
) -> dict[str, Any]:
    """Return the ratios by keys: those of one seed are estimated once for all sizes.

    Memory: 4 bytes a cell for each of the last eight seeds.
    """
    del other
    if reference is None:
        raise SelectionError(
            "target chooses towards a reference; give a task with reference cells, or choose by type with "
            "the strategy ontology"
        )
    check_reference(embedding, reference)
    kept: dict[bytes, Ratios] = {}

    def ratios(keys: NDArray[np.uint64]) -> Ratios:
        sampled = sample_corpus(keys)
        # The keys matter by the sample only.
        name = sampled.tobytes()
        if name not in kept:
            if len(kept) == _MOST_KEPT:
                del kept[next(iter(kept))]
            kept[name] = estimate_ratios(
                embedding, reference, sampled, estimator=estimator, neighbours=knn_neighbours
            )
        return kept[name]

    return {"ratios": ratios}


def from_task(task: TaskTarget) -> dict[str, Any]:
    """Return what is taken from a task: the reference."""
    return {"reference": task.reference}


def _checked(embedding: NDArray[np.float32] | None, n_cells: int) -> NDArray[np.float32]:
    if embedding is None:
        raise SelectionError("target needs an embedding; make one with `curate embed`")
    if embedding.ndim != 2 or embedding.shape[0] != n_cells:
        raise SelectionError(f"the embedding has shape {embedding.shape} for {n_cells:,} cells")
    return embedding


def _sampled(rows: NDArray[np.int64], keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return a random sample of the chosen cells, in random order."""
    mixed = cell_keys(keys[rows], seed=0, purpose="compared")
    return np.asarray(rows[np.lexsort((rows, mixed))[:MOST_COMPARED]])


def _effective(logs: NDArray[np.float32]) -> float:
    """Return Kish's effective size of the ratios: how many cells of the corpus stand for the reference."""
    top = float(logs.max())
    return effective_size(np.exp(logs.astype(np.float64) - top)) if np.isfinite(top) else 0.0


def _beyond(n_raced: int, n_alike: int, n: int, n_cells: int) -> str:
    if n_raced <= n_alike or n == n_cells:
        return ""
    return (
        f"{n_alike:,} of {n_cells:,} cells are likelier in the reference than in the corpus, fewer than the "
        f"{n_raced:,} chosen for it: the others are the least unlike; ask for fewer, or for background "
        "instead (mix)"
    )


TARGET = Strategy(
    select=target,
    summary="Cells like those of a task's reference, by importance resampling.",
    reference="Xie et al. (DSIR), NeurIPS 2023, arXiv 2302.03169",
    parameters=(
        Parameter(
            name="estimator",
            default="classifier",
            parse=one_of("estimator", get_args(Estimator)),
            metavar="classifier|knn",
            help="How the density ratio is estimated.",
        ),
        Parameter(
            name="knn_neighbours",
            default=16,
            parse=whole("knn_neighbours", usual=16),
            metavar="K",
            help="k of the estimator knn: more is smoother.",
        ),
        Parameter(
            name="mix",
            default=0.0,
            parse=between("mix", 0, 1, with_low=True),
            metavar="SHARE",
            help="Share of the cells that are drawn at random among all.",
        ),
    ),
    needs_embedding=True,
    nested=True,
    prepare=prepare,
    growth="N d",
    from_task=from_task,
)
