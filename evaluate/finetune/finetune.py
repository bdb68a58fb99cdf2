"""Fine-tuning of what is evaluated, for classification.

1. the vectors of the model as it is are taken, and a head is trained on those of the cells to learn from;
2. the whole model is trained on with that head, where it takes gradients;
3. both name the cells to test on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.evaluate.finetune.full import takes_gradients, train_full
from curate.evaluate.finetune.head import train_head
from curate.train.models.network import Network

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.evaluate.data import EvaluationData
    from curate.evaluate.finetune.loop import Curve
    from curate.evaluate.finetune.settings import FineTuneSettings, Tuning
    from curate.evaluate.probes.probes import Guess
    from curate.evaluate.probes.split import ProbeSplit
    from curate.evaluate.subject import Subject


@dataclass(frozen=True, eq=False)
class Tuned:
    """What a fine-tuned model says of the cells to test on, and how its training went."""

    setting: Tuning
    guess: Guess
    curve: Curve


def fine_tuned(
    subject: Subject,
    data: EvaluationData,
    labels: NDArray[np.str_],
    split: ProbeSplit,
    settings: FineTuneSettings,
    *,
    seed: int,
) -> list[Tuned]:
    """Fine-tune a model on the cells to learn from; the artifact, and the model in memory, do not change.

    A model that takes no gradients, such as a PCA, has its head trained instead, and a notice says so.

    Raises
    ------
    EvaluationError
        When there is one class only, or there are too few cells for a validation part.
    ModelError
        When the loss is no number, or the GPU has not enough memory.
    """
    asked = settings.fine_tune
    model = subject.model() if subject.artifact is not None and "full" in asked else None
    is_full = model is not None and takes_gradients(model)
    # 1. The head.
    vectors, taught = subject.embed(data), labels[split.train]
    head = train_head(vectors[split.train], taught, settings, seed=seed, what=f"a head on {subject.name}")
    found = []
    if "head" in asked or not is_full:
        found.append(Tuned("head", head.predict(vectors[split.test]), head.curve))
    # 2. The whole model.
    if is_full:
        assert isinstance(model, Network)
        counts, _ = data.aligned(model.genes)
        network, whole = train_full(
            model, head, counts[split.train], taught, settings, seed=seed, what=subject.name
        )
        guess = whole.predict(network.embed(counts[split.test]))
        found.append(Tuned("full", guess, whole.curve))
    elif "full" in asked:
        data.notice(f"{subject.model_key} takes no gradients: it has a head, and is not fine-tuned in full")
    told = ", ".join(f"{each.setting} {_told(each.curve)}" for each in found)
    data.notice(f"{subject.name} fine-tuned, seed {seed}: {told}")
    return found


def _told(curve: Curve) -> str:
    return f"{curve.n_epochs} epochs (best {curve.best_epoch})"
