"""Networks that are fine-tuned with their heads: what changes, what does not, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from curate.errors import ModelError
from curate.evaluate.finetune.full import train_full
from curate.evaluate.finetune.head import train_head
from curate.evaluate.finetune.settings import FineTuneSettings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from curate.evaluate.data import EvaluationData
    from curate.evaluate.finetune.head import Head
    from curate.train.loader import Batch
    from curate.train.models.network import Network

SETTINGS = FineTuneSettings(
    fine_tune=("full",), full_epochs=8, encoder_learning_rate=1e-2, learning_rate=1e-2, batch_size=32
)


def state(module: nn.Module) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in module.state_dict().items()}


def tuned(
    network: Network, data: EvaluationData, settings: FineTuneSettings = SETTINGS, *, seed: int = 0
) -> tuple[Head, Network, Head]:
    labels = data.labels("cell_type")
    head = train_head(network.embed(data.counts), labels, settings, seed=seed)
    return head, *train_full(network, head, data.counts, labels, settings, seed=seed, what="small")


def test_the_encoder_changes_and_what_was_given_does_not(network: Network, data: EvaluationData) -> None:
    before = state(network)
    head, trained, whole = tuned(network, data)
    kept = state(head.layers)
    assert state(network) == before
    assert state(head.layers) == kept
    after = state(trained)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {f"{name}.{what}" for name in ("first", "norm", "last") for what in ("weight", "bias")}
    assert state(whole.layers) != kept
    assert state(whole.layers)["0.mean"] == kept["0.mean"]


def test_a_network_at_random_tells_more_after_it(network: Network, data: EvaluationData) -> None:
    labels = data.labels("cell_type")
    head, trained, whole = tuned(network, data.take(np.arange(160)))
    rest = data.take(np.arange(160, 240))
    frozen = (head.predict(network.embed(rest.counts)).labels == labels[160:]).mean()
    after = (whole.predict(trained.embed(rest.counts)).labels == labels[160:]).mean()
    assert after > 0.9
    assert after > frozen + 0.05
    assert whole.curve.losses[whole.curve.best_epoch] < whole.curve.losses[0]


def test_the_same_seed_gives_the_same_bits(network: Network, data: EvaluationData) -> None:
    before = torch.get_rng_state().numpy().tobytes()
    first, again, other = (tuned(network, data, seed=seed) for seed in (1, 1, 2))
    assert state(first[1]) == state(again[1]) != state(other[1])
    assert state(first[2].layers) == state(again[2].layers)
    assert torch.get_rng_state().numpy().tobytes() == before


def test_it_begins_where_the_head_ended_and_is_never_worse_in_validation(
    network: Network, data: EvaluationData
) -> None:
    head, _, whole = tuned(network, data)
    assert whole.curve.losses[0] == pytest.approx(head.curve.losses[head.curve.best_epoch], rel=1e-5)
    # Steps that only harm are taken back.
    harmful = SETTINGS.model_copy(update={"encoder_learning_rate": 10.0, "full_epochs": 2})
    head, trained, whole = tuned(network, data, harmful)
    assert whole.curve.best_epoch == 0
    assert state(trained) == state(network)
    assert state(whole.layers) == state(head.layers)


def test_steps_are_limited(network: Network, data: EvaluationData) -> None:
    *_, whole = tuned(network, data, SETTINGS.model_copy(update={"max_steps": 9}))
    # 216 cells to learn from are 7 batches.
    assert (whole.curve.n_steps, whole.curve.n_epochs) == (9, 2)
    *_, whole = tuned(network, data, SETTINGS.model_copy(update={"max_steps": None}))
    assert whole.curve.n_steps == 7 * whole.curve.n_epochs > 9


def test_weights_that_are_not_to_be_trained_stay(network: Network, data: EvaluationData) -> None:
    network.first.requires_grad_(False)
    before = state(network)
    _, trained, _ = tuned(network, data)
    assert state(trained)["first.weight"] == before["first.weight"]
    assert state(trained)["last.weight"] != before["last.weight"]


def test_vectors_without_gradients_are_refused(
    network: Network, data: EvaluationData, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = type(network).embed_batch
    monkeypatch.setattr(type(network), "embed_batch", lambda self, batch: embed(self, batch).detach())
    with pytest.raises(ModelError, match="the vectors of small carry no gradients; fine-tune its head only"):
        tuned(network, data)


def in_trouble(network: Network, monkeypatch: pytest.MonkeyPatch, fault: Exception | None) -> None:
    """Let it embed well until it is trained."""
    embed = type(network).embed_batch

    def troubled(this: Network, batch: Batch) -> Tensor:
        if not this.training:
            return embed(this, batch)
        if fault is not None:
            raise fault
        return embed(this, batch) * torch.nan

    monkeypatch.setattr(type(network), "embed_batch", troubled)


def test_a_loss_that_is_no_number_ends_it(
    network: Network, data: EvaluationData, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_trouble(network, monkeypatch, None)
    with pytest.raises(
        ModelError,
        match=r"fine-tuning small diverged: after 0 steps the loss of a batch of 32 cells is nan; "
        r"give lower learning rates than 0.01 and 0.01",
    ):
        tuned(network, data)


def test_a_full_gpu_is_said_in_a_line(
    network: Network, data: EvaluationData, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_trouble(network, monkeypatch, torch.cuda.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(
        ModelError,
        match=r"not enough memory for batches of 32 cells in fine-tuning small; try --set batch_size=16",
    ):
        tuned(network, data)
