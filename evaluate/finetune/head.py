"""A head: an MLP from vectors of cells to labels, trained on arrays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from curate.errors import EvaluationError
from curate.evaluate.finetune.loop import Cells, Curve, Limits, minimise
from curate.evaluate.finetune.settings import HeadSettings
from curate.evaluate.probes.probes import Guess
from curate.train.fit.seeds import generators_kept

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

CPU: Final = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Head:
    """A trained head.

    Attributes
    ----------
    classes
        [n_classes], ascending: what its outputs stand for.
    layers
        Standardise vectors by those it was trained on, and score them: float32 [n, n_dims] to
        [n, n_classes].
    """

    classes: NDArray[np.str_]
    layers: nn.Sequential
    curve: Curve

    def probabilities(self, x: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return float64 [n, n_classes] for vectors [n, n_dims].

        With balanced class weights they are those of classes that are equally frequent.
        """
        device = next(self.layers.parameters()).device
        with torch.inference_mode():
            scores = self.layers(torch.from_numpy(np.asarray(x, np.float32)).to(device))
            found: NDArray[np.float64] = scores.double().softmax(dim=1).cpu().numpy()
        return found

    def predict(self, x: NDArray[np.floating]) -> Guess:
        """Return the most probable label of each vector."""
        probabilities = self.probabilities(x)
        best = probabilities.argmax(axis=1)
        return Guess(self.classes[best], probabilities[np.arange(len(best)), best])


def train_head(
    x: NDArray[np.floating],
    labels: NDArray[np.str_],
    settings: HeadSettings | None = None,
    *,
    seed: int,
    what: str = "a head",
) -> Head:
    """Train a head on vectors and labels, of any task.

    Parameters
    ----------
    x
        [n, n_dims]; dimensions are standardised by the cells that are learned from.
    labels
        [n].
    seed
        Of the validation part, the first weights, the order of the cells and dropout: the same seed gives the
        same bits on one machine. torch's global generator is left as it was.
    what
        What is trained, for messages.

    Raises
    ------
    EvaluationError
        When there is one class only, there are too few cells for a validation part, or a value is no number.
    ModelError
        When the loss is no number.
    """
    settings = settings or HeadSettings()
    if x.ndim != 2 or len(x) != len(labels):
        raise EvaluationError(f"vectors of shape {x.shape} for {len(labels):,} labels; give a row for each")
    finite = np.isfinite(x).all(axis=1)
    if not finite.all():
        raise EvaluationError(
            f"{int((~finite).sum()):,} of {len(x):,} vectors for {what} are not finite; look at the model"
        )
    classes, cells = cells_of(labels, settings, seed=seed)
    vectors = torch.from_numpy(np.asarray(x, np.float32))
    layers = _layers(x[cells.learned], len(classes), settings, seed=seed)
    # Matrices so small are not worth a second thread: where other processes run too it would be waited for.
    with threadpool_limits(1):
        curve = minimise(
            layers,
            lambda rows: layers(vectors[torch.from_numpy(rows)]),
            cells,
            [parameters_of(layers, settings)],
            Limits(settings.max_epochs, settings.patience),
            batch_size=settings.batch_size,
            seed=seed,
            what=what,
            prepare=layers.train,
        )
    return Head(classes, layers, curve)


def cells_of(
    labels: NDArray[np.str_],
    settings: HeadSettings,
    *,
    seed: int,
    device: torch.device = CPU,
) -> tuple[NDArray[np.str_], Cells]:
    """Return the classes, and the cells to learn from with their validation part, the same for one seed.

    The validation part is drawn within classes; every class keeps cells to learn from.

    Raises
    ------
    EvaluationError
        When there is one class only, or nothing is left for the validation part.
    """
    classes, targets, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if classes.size < 2:
        raise EvaluationError(f"one class only ({', '.join(classes.tolist())}); a head needs two")
    rng = np.random.default_rng([seed, 0])
    is_validation = np.zeros(len(labels), bool)
    for number, count in enumerate(counts.tolist()):
        n = min(round(count * settings.validation_fraction), count - 1)
        is_validation[rng.choice(np.flatnonzero(targets == number), n, replace=False)] = True
    if not is_validation.any():
        raise EvaluationError(
            f"{len(labels):,} cells of {classes.size} classes, the largest of {counts.max():,}: a "
            f"validation_fraction of {settings.validation_fraction:g} leaves none to stop the training by; "
            "label more cells, or raise it"
        )
    weights = np.ones(classes.size)
    if settings.class_weights == "balanced":
        weights = len(labels) / (classes.size * counts)
    return classes, Cells(
        torch.from_numpy(targets.astype(np.int64)).to(device),
        np.flatnonzero(~is_validation),
        np.flatnonzero(is_validation),
        torch.from_numpy(weights.astype(np.float32)).to(device),
    )


def parameters_of(layers: nn.Module, settings: HeadSettings) -> dict[str, Any]:
    """Return the parameters of a head, and how they learn, as torch's optimisers take them."""
    return {
        "params": list(layers.parameters()),
        "lr": settings.learning_rate,
        "weight_decay": settings.weight_decay,
    }


class _Standardised(nn.Module):
    """Subtracts means and divides by deviations, which do not change."""

    def __init__(self, x: NDArray[np.floating]) -> None:
        super().__init__()
        held = x.astype(np.float64)
        deviation = held.std(axis=0)
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.from_numpy(held.mean(axis=0).astype(np.float32)))
        scale = np.where(deviation > 0, deviation, 1).astype(np.float32)
        self.register_buffer("deviation", torch.from_numpy(scale))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.deviation


def _layers(x: NDArray[np.floating], n_classes: int, settings: HeadSettings, *, seed: int) -> nn.Sequential:
    widths = [x.shape[1], *settings.hidden, n_classes]
    layers: list[nn.Module] = [_Standardised(x)]
    with generators_kept():
        torch.manual_seed(seed)
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(settings.dropout)]
    return nn.Sequential(*layers[:-2])
