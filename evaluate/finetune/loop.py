"""Steps of gradients until the validation loss gets no better; the best weights are kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from curate.errors import ModelError
from curate.train.fit.seeds import generators_kept, seed_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor, nn

    Scores = Callable[[NDArray[np.int64]], Tensor]
    """Rows of cells to what is said of them, float32 [b, n_classes] before the softmax."""

CLIP_NORM: Final = 1.0
TOLERANCE: Final = 1e-4
"""By which a validation loss must be lower to count as better (scikit-learn's)."""


@dataclass(frozen=True)
class Curve:
    """How a training went.

    Attributes
    ----------
    losses
        Validation loss before the first step, and after each epoch.
    best_epoch
        The one whose weights were kept; 0 for those before the first step.
    n_steps
        Steps that were taken.
    """

    losses: tuple[float, ...]
    best_epoch: int
    n_steps: int

    @property
    def n_epochs(self) -> int:
        """Epochs that were begun."""
        return len(self.losses) - 1


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells to learn from.

    Attributes
    ----------
    targets
        int64 [n_cells], numbers of classes.
    learned, validation
        int64, rows to take gradients of, and rows whose loss says when to stop.
    class_weights
        float32 [n_classes], of a class in the loss.
    """

    targets: Tensor
    learned: NDArray[np.int64]
    validation: NDArray[np.int64]
    class_weights: Tensor


@dataclass(frozen=True)
class Limits:
    """What ends a training."""

    max_epochs: int
    patience: int
    max_steps: int | None = None

    def n_steps(self, n_batches: int) -> int:
        """Return the most steps that there can be."""
        n = self.max_epochs * n_batches
        return n if self.max_steps is None else min(n, self.max_steps)


def minimise(
    module: nn.Module,
    scores: Scores,
    cells: Cells,
    groups: list[dict[str, Any]],
    limits: Limits,
    *,
    batch_size: int,
    seed: int,
    what: str,
    prepare: Callable[[], object],
    advance: Callable[[int], None] = lambda n: None,
) -> Curve:
    """Train a module in place, by AdamW on the cross-entropy; leave it in eval mode with its best weights.

    Parameters
    ----------
    module
        Holds all weights that change, and whatever else is to be put back.
    groups
        Parameters and their settings, as torch's optimisers take them.
    seed
        Of the order of the cells, and of dropout: the same seed gives the same bits on one machine.
    what
        What is trained, for messages.
    prepare
        Brings the module into the mode in which it is trained.
    advance
        Told of each step.

    Raises
    ------
    ModelError
        When a loss is no number, or the GPU has not enough memory.
    """
    n_batches = math.ceil(cells.learned.size / batch_size)
    n_most = limits.n_steps(n_batches)
    optimiser = torch.optim.AdamW(groups, fused=True)
    parameters = [each for group in groups for each in group["params"]]
    device = cells.targets.device
    step = best_epoch = 0

    rates = " and ".join(f"{group['lr']:g}" for group in groups)

    def checked(loss: float, when: str) -> float:
        if not math.isfinite(loss):
            raise ModelError(
                f"fine-tuning {what} diverged: after {step:,} steps the loss {when} is {loss}; give lower "
                f"learning rates than {rates}"
            )
        return loss

    def validated() -> float:
        module.eval()
        with torch.no_grad():
            total = weight = 0.0
            for rows in _cut(cells.validation, batch_size):
                of = cells.targets[torch.from_numpy(rows).to(device)]
                total += float(
                    functional.cross_entropy(
                        scores(rows).float(), of, weight=cells.class_weights, reduction="sum"
                    )
                )
                weight += float(cells.class_weights[of].sum())
        return checked(total / weight, f"of {cells.validation.size:,} validation cells")

    try:
        with generators_kept():
            losses = [validated()]
            best = _copied(module)
            while len(losses) <= limits.max_epochs and step < n_most:
                order = np.random.default_rng([seed, len(losses)]).permutation(cells.learned)
                prepare()
                for rows in _cut(order, batch_size):
                    seed_step(seed, device, rank=0, step=step)
                    of = cells.targets[torch.from_numpy(rows).to(device)]
                    loss = functional.cross_entropy(scores(rows).float(), of, weight=cells.class_weights)
                    checked(float(loss.detach()), f"of a batch of {rows.size:,} cells")
                    optimiser.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    clip_grad_norm_(parameters, CLIP_NORM)
                    optimiser.step()
                    step += 1
                    advance(1)
                    if step == n_most:
                        break
                losses.append(validated())
                if losses[-1] < losses[best_epoch] - TOLERANCE:
                    best_epoch, best = len(losses) - 1, _copied(module)
                elif len(losses) - 1 - best_epoch >= limits.patience:
                    break
    except torch.cuda.OutOfMemoryError as fault:
        less = f"--set batch_size={batch_size // 2}" if batch_size > 1 else "--fine-tune head"
        raise ModelError(
            f"the GPU has not enough memory for batches of {batch_size:,} cells in fine-tuning {what}; "
            f"try {less}"
        ) from fault
    module.load_state_dict(best)
    module.eval()
    return Curve(tuple(losses), best_epoch, step)


def _cut(rows: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [rows[first : first + size] for first in range(0, rows.size, size)]


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
