"""Predictions from the embedding of control cells.

`knn` votes. `linear` and `mlp` learn from each control cell of a training site how the change by a
perturbation there differs from its mean over training sites: which cell would have changed how is not
measured, so that all cells of a site are taught the mean of its perturbed ones. What they predict lies in the
span of the training changes, as anything linear in its last layer would; they therefore learn how to mix
these, whatever the number of genes.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestNeighbors
from sklearn.neural_network import MLPRegressor

from curate.evaluate.perturb.predicted import Predicted

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from curate.evaluate.perturb.folds import Asked, Known
    from curate.evaluate.perturb.predicted import Predictor

N_NEIGHBORS: Final = 15
N_HIDDEN: Final = 128
BATCH_SIZE: Final = 256
N_STEPS: Final = 1000
MAX_CELLS: Final = 256
"""Control cells of a site that a head is taught, drawn by lot."""
MAX_ROWS: Final = 20_000
"""Control cells times changes that it is taught, about: fewer cells of each site where changes are many."""
TINY: Final = 1e-10
"""Share of the largest singular value of the changes under which one counts as none."""

Vectors: TypeAlias = "Callable[[NDArray[np.int64]], NDArray[np.float64]]"
"""From rows of the data, of control cells, to their vectors [n, d]."""


class Head(Protocol):
    """Learns from what is known, with vectors of control cells."""

    def __call__(self, known: Known, vectors: Vectors, *, seed: int) -> Predictor:
        """Return what predicts."""
        ...


def knn(known: Known, vectors: Vectors, *, seed: int) -> Predictor:
    """Each control cell changes as the sites of the 15 most alike training control cells did (Euclidean).

    As many training cells of each site are looked among, so that a larger site is not nearer for its size.
    """
    sites = np.array(sorted(known.controls))
    n = min(MAX_CELLS, *(rows.size for rows in known.controls.values()))
    rng = np.random.default_rng(seed)
    rows = [np.sort(rng.choice(known.controls[site], n, replace=False)) for site in sites.tolist()]
    cells = vectors(np.concatenate(rows))
    of_site = np.repeat(sites, [each.size for each in rows])
    index = NearestNeighbors(n_neighbors=min(N_NEIGHBORS, len(cells))).fit(cells)

    def predict(asked: Asked) -> Predicted:
        pairs = known.with_perturbation(asked.perturbation)
        near = of_site[index.kneighbors(vectors(asked.controls), return_distance=False)]
        held, changes = _means_by_site(known, pairs)
        votes = (near[:, :, None] == held).sum(axis=1).astype(np.float64)
        # A cell whose neighbours are all of sites without the perturbation takes the mean over sites.
        votes[votes.sum(axis=1) == 0] = 1.0
        return Predicted(votes / votes.sum(axis=1, keepdims=True), changes)

    return predict


def linear(known: Known, vectors: Vectors, *, seed: int) -> Predictor:
    """Ridge regression on the same input as `mlp`, of a penalty of a tenth of the number of rows."""
    lesson = _lesson(known, vectors, seed)
    model = Ridge(alpha=0.1 * len(lesson.inputs)).fit(lesson.inputs, lesson.targets)
    return lesson.predictor(model)


def mlp(known: Known, vectors: Vectors, *, seed: int) -> Predictor:
    """A hidden layer of 128 on the standardised vector of a control cell and the perturbation, one-hot.

    1,000 steps of Adam on batches of 256. A perturbation that is new has no place in a one-hot code: where
    one is asked for, the head learns from the vector alone what perturbations do on average.
    """
    lesson = _lesson(known, vectors, seed)
    n_batches = -(-len(lesson.inputs) // BATCH_SIZE)
    model = MLPRegressor(
        hidden_layer_sizes=(N_HIDDEN,),
        alpha=1e-4,
        batch_size=min(BATCH_SIZE, len(lesson.inputs)),
        max_iter=-(-N_STEPS // n_batches),
        n_iter_no_change=N_STEPS,
        random_state=seed,
    )
    with warnings.catch_warnings():
        # It stops after so many steps, converged or not.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(lesson.inputs, lesson.targets if lesson.targets.shape[1] > 1 else lesson.targets[:, 0])
    return lesson.predictor(model)


HEADS: Final[dict[str, Head]] = {"knn": knn, "linear": linear, "mlp": mlp}


@dataclass(frozen=True, eq=False)
class Lesson:
    """Rows that a head is taught: control cells by perturbations."""

    known: Known
    inputs: NDArray[np.float32]
    targets: NDArray[np.float32]
    basis: NDArray[np.float64]
    encode: Callable[[NDArray[np.int64], int], NDArray[np.float32]]

    def predictor(self, model: Any) -> Predictor:
        """Return what predicts by a fitted regression: the mean over training sites, and what differs."""

        def predict(asked: Asked) -> Predicted:
            found = np.asarray(model.predict(self.encode(asked.controls, asked.perturbation)), np.float64)
            mixture = found.reshape(asked.controls.size, -1)
            usual = self.known.changes[self.known.with_perturbation(asked.perturbation)].mean(axis=0)
            return Predicted(np.hstack([np.ones((len(mixture), 1)), mixture]), np.vstack([usual, self.basis]))

        return predict


def _lesson(known: Known, vectors: Vectors, seed: int) -> Lesson:
    n = max(1, min(MAX_CELLS, MAX_ROWS // len(known.pairs)))
    rng = np.random.default_rng(seed)
    # As many rows of each site, so that all changes weigh alike: cells of a small one come again.
    taught = {site: np.resize(rng.permutation(known.controls[site]), n) for site in sorted(known.controls)}
    seen = vectors(np.concatenate(list(taught.values())))
    center, scale = seen.mean(axis=0), seen.std(axis=0)
    # Genes that the data lack are constant dimensions of `hvg`: most of them, in a panel of few genes.
    varies = np.ptp(seen, axis=0) > 0
    named = [] if known.perturbations_are_new else np.unique(known.pairs[:, 1]).tolist()
    codes = {number: code for code, number in enumerate(named)}

    def encode(cells: NDArray[np.int64], perturbation: int) -> NDArray[np.float32]:
        one_hot = np.zeros((cells.size, len(codes)))
        if perturbation in codes:
            one_hot[:, codes[perturbation]] = 1.0
        scaled = ((vectors(cells) - center)[:, varies]) / scale[varies]
        return np.hstack([scaled, one_hot]).astype(np.float32)

    mixtures, basis = _mixtures(known.changes - _usual(known))
    inputs = [encode(taught[site], number) for site, number in known.pairs.tolist()]
    targets = np.repeat(mixtures, [len(each) for each in inputs], axis=0)
    return Lesson(known, np.vstack(inputs), targets.astype(np.float32), basis, encode)


def _usual(known: Known) -> NDArray[np.float64]:
    """Return the mean change of each pair's perturbation, or of all where what is asked for is new."""
    if known.perturbations_are_new:
        return np.asarray(known.changes.mean(axis=0, keepdims=True))
    means = [
        known.changes[known.with_perturbation(number)].mean(axis=0) for number in known.pairs[:, 1].tolist()
    ]
    return np.array(means)


def _mixtures(changes: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return orthogonal directions that span the changes, of one length, and the changes in them.

    Equal lengths keep the squared error of a mixture in proportion to that of the genes; the length is such
    that mixtures vary by about 1.
    """
    u, sizes, v = np.linalg.svd(changes, full_matrices=False)
    kept = sizes > TINY * max(sizes.max(initial=0.0), TINY)
    kept[0] = True
    length = float(np.sqrt((sizes**2).sum() / len(changes))) or 1.0
    return (u * sizes)[:, kept] / length, v[kept] * length


def _means_by_site(known: Known, pairs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the sites of some pairs, and the mean change of these pairs at each."""
    of_pair = known.pairs[pairs, 0]
    sites = np.unique(of_pair)
    return sites, np.array([known.changes[pairs[of_pair == site]].mean(axis=0) for site in sites.tolist()])
