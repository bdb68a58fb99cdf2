"""fit: trains, is reproducible, obeys budgets, keeps the best weights, says what it cost."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn.utils import get_total_norm

from curate.errors import ModelError, ShardError
from curate.train.fit.checkpoint import Checkpoint
from curate.train.fit.plan import Budget
from tests.train.fit.conftest import Linear

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from curate.train.fit.plan import FitPlan, FitReport
    from curate.train.loader import Batch
    from curate.train.shards import Shards


class Worsening(Linear):
    """Every step makes its validation loss larger."""

    def losses(self, batch: Batch, *, step: int) -> Mapping[str, Tensor]:
        found = super().losses(batch, step=step)
        return found if self.training else {"loss": torch.tensor(float(step))}


def same_weights(one: Linear, other: Linear) -> bool:
    others = other.state_dict()
    return all(torch.equal(value, others[name]) for name, value in one.state_dict().items())


def test_training_makes_the_loss_on_validation_cells_smaller(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    model = network()
    report = model.fit(shards, plan())
    n_batches = shards.n_cells("train") // 16
    assert (report.stopped, report.n_epochs, report.n_steps) == ("epochs", 3, 3 * n_batches)
    assert report.n_cells == report.n_steps * 16
    val = report.metrics.filter(split="val", metric="loss")
    assert val["step"].to_list() == [n_batches, 2 * n_batches, 3 * n_batches]
    assert val["value"].is_sorted(descending=True)
    assert (report.best_step, report.best_loss) == (3 * n_batches, val["value"][-1])
    assert not model.training


def test_few_cells_are_trained_on_for_the_least_steps_and_validated_as_often(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    n_batches = shards.n_cells("train") // 16
    report = network(min_steps=6 * n_batches + 1).fit(shards, plan())
    each = 2 * n_batches + 1
    assert (report.stopped, report.n_steps, report.n_epochs) == ("epochs", 3 * each, 7)
    val = report.metrics.filter(split="val", metric="loss")
    assert val["step"].to_list() == [each, 2 * each, 3 * each]


def test_two_runs_of_one_seed_are_equal_whatever_the_threads(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    one, other, another = network(), network(), network()
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = one.fit(shards, plan("one", n_threads=1))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    second = other.fit(shards, plan("other", n_threads=3))
    another.fit(shards, plan("another", seed=1))
    assert same_weights(one, other)
    assert first.metrics.drop("seconds").equals(second.metrics.drop("seconds"))
    assert not same_weights(one, another)


def test_a_run_of_a_finished_folder_returns_what_came_of_it(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    one, other = network(), network()
    first = one.fit(shards, plan())
    second = other.fit(shards, plan())
    assert same_weights(one, other)
    assert first.metrics.equals(second.metrics)
    assert (first.seconds, first.best_step) == (second.seconds, second.best_step)


def test_a_budget_of_steps_ends_in_the_midst_of_an_epoch_with_a_validation(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    n_batches = shards.n_cells("train") // 16
    report = network().fit(shards, plan(budget=Budget(max_steps=n_batches + 3)))
    assert (report.stopped, report.n_steps, report.n_epochs) == ("steps", n_batches + 3, 2)
    assert report.metrics.filter(split="val", metric="loss")["step"].to_list() == [n_batches, n_batches + 3]


def test_a_budget_of_cells_is_reached_by_whole_steps(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    report = network().fit(shards, plan(budget=Budget(max_cells=100)))
    assert (report.stopped, report.n_steps, report.n_cells) == ("cells", 7, 112)


def test_a_budget_of_minutes_ends_a_run(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    report = network().fit(shards, plan(budget=Budget(max_minutes=1e-4)))
    assert report.stopped == "minutes"
    assert report.seconds >= 6e-3
    assert report.n_steps >= 1


def test_patience_ends_a_run_and_the_best_weights_are_kept(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    model = network(kind=Worsening, patience=2, max_epochs=50)
    other = network(kind=Worsening, max_epochs=1)
    report = model.fit(shards, plan())
    n_batches = shards.n_cells("train") // 16
    assert (report.stopped, report.n_steps, report.best_step) == ("patience", 3 * n_batches, n_batches)
    other.fit(shards, plan("other"))
    assert same_weights(model, other)


def test_a_budget_is_spent_however_the_validation_loss_goes_and_its_best_weights_are_kept(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    model, other = network(kind=Worsening, patience=1), network(kind=Worsening, max_epochs=1)
    report = model.fit(shards, plan(budget=Budget(max_steps=70)))
    assert (report.stopped, report.n_steps) == ("steps", 70)
    n_batches = shards.n_cells("train") // 16
    assert (report.best_step, report.best_loss) == (n_batches, n_batches)
    other.fit(shards, plan("other"))
    assert same_weights(model, other)


def test_without_validation_the_last_weights_are_kept_and_patience_ends_nothing(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    model = network(kind=Worsening, patience=1)
    report = model.fit(shards, plan(validation_cells=0))
    assert (report.stopped, report.best_step, report.best_loss) == ("epochs", None, None)
    assert set(report.metrics["split"]) == {"train"}
    found = Checkpoint.read(plan().folder)
    assert found is not None
    assert all(torch.equal(value, found.model[name]) for name, value in model.state_dict().items())


def test_validation_sees_the_same_cells_and_masks_each_time_and_as_many_as_asked(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    # steps too small to change anything: what is left is what masks do
    unmoved = {"learning_rate": 1e-12, "patience": None}
    report = network(**unmoved).fit(shards, plan(validation_steps=5, validation_cells=16))
    val = report.metrics.filter(split="val", metric="loss")["value"]
    assert (report.n_steps, val.len()) == (42, 9)
    assert val.n_unique() == 1
    other = network(**unmoved).fit(shards, plan("other", seed=7, validation_cells=16))
    assert other.best_loss == report.best_loss
    more = network(**unmoved).fit(shards, plan("more"))
    assert more.best_loss != report.best_loss


def test_gradients_are_cut_to_the_norm_and_their_own_norm_is_written_down(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    seen: list[float] = []

    class Watched(Linear):
        """Looks at the gradients with which the step before was made."""

        def losses(self, batch: Batch, *, step: int) -> Mapping[str, Tensor]:
            gradients = [each.grad for each in self.parameters() if each.grad is not None]
            if self.training and gradients:
                seen.append(float(get_total_norm(gradients)))
            return super().losses(batch, step=step)

    budget = Budget(max_steps=10)
    watched = network(kind=Watched, clip_norm=0.01)
    norms = watched.fit(shards, plan(budget=budget)).metrics.filter(metric="gradient_norm")["value"]
    assert norms.len() == 2
    assert norms[0] > 1
    assert max(seen) == pytest.approx(0.01, rel=1e-3)


def test_bf16_computes_losses_in_bf16_and_keeps_weights_in_float32(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    found: set[tuple[bool, torch.dtype]] = set()

    class Watched(Linear):
        """Notes the type that it computes in."""

        def losses(self, batch: Batch, *, step: int) -> Mapping[str, Tensor]:
            found.add((self.training, self.encode(batch.x).dtype))
            return super().losses(batch, step=step)

    model = network(kind=Watched)
    report = model.fit(shards, plan(precision="bf16", budget=Budget(max_steps=4)))
    assert found == {(True, torch.bfloat16), (False, torch.bfloat16)}
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    assert report.best_loss is not None


def test_weights_of_model_and_manifest_at_once_are_refused(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    class Weighted(Linear):
        """Draws the first cell alone."""

        def sampling_weights(self, shards: Shards) -> NDArray[np.float64] | None:
            weights: NDArray[np.float64] = np.zeros(shards.n_cells("train"))
            weights[0] = 1
            return weights

        def losses(self, batch: Batch, *, step: int) -> Mapping[str, Tensor]:
            if self.training:
                assert set(batch.rows.tolist()) == {0}
            return super().losses(batch, step=step)

    network(kind=Weighted).fit(shards, plan(budget=Budget(max_steps=3)))
    with pytest.raises(ModelError, match="linear draws training cells by weights of its own, and those of"):
        network(kind=Weighted).fit(shards, plan("other", is_weighted=True))
    with pytest.raises(ShardError, match="has no weights"):
        network().fit(shards, plan("third", is_weighted=True))


def test_fewer_cells_than_a_batch_are_one_batch(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    report = network(batch_size=4096).fit(shards, plan())
    assert (report.n_steps, report.n_cells) == (3, 3 * shards.n_cells("train"))


def test_the_log_has_the_first_and_the_last_step_and_every_tenth(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    def steps(report: FitReport) -> list[int]:
        log: list[int] = report.metrics.filter(split="train", metric="loss")["step"].to_list()
        return log

    assert steps(network().fit(shards, plan("few", budget=Budget(max_steps=3)))) == [1, 3]
    assert steps(network().fit(shards, plan("one", budget=Budget(max_steps=1)))) == [1]
    assert steps(network().fit(shards, plan("more", budget=Budget(max_steps=23)))) == [1, 10, 20, 23]
    # patience ends after the step that it looks at
    worsening = network(kind=Worsening, patience=1, max_epochs=50)
    assert steps(worsening.fit(shards, plan("patience", validation_steps=6))) == [1, 10, 12]


def test_what_a_run_cost_is_told(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    report = network().fit(shards, plan())
    assert report.waiting_fraction is not None
    assert 0 <= report.waiting_fraction < 1
    assert report.metrics["seconds"].is_sorted()
    assert 0 < report.metrics["seconds"][-1] <= report.seconds


def test_nothing_is_said_where_nobody_watches_and_no_file_is_left_beside_the_folder(
    network: Callable[..., Linear],
    plan: Callable[..., FitPlan],
    shards: Shards,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    network().fit(shards, plan("run"))
    assert capfd.readouterr() == ("", "")
    files = [each.relative_to(tmp_path).as_posix() for each in tmp_path.rglob("*") if each.is_file()]
    assert sorted(files) == ["run/checkpoint.safetensors", "run/metrics.parquet"]
    assert pl.read_parquet(tmp_path / "run" / "metrics.parquet").height > 0


def test_a_terminal_shows_losses_pace_and_time_left(
    network: Callable[..., Linear],
    plan: Callable[..., FitPlan],
    shards: Shards,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    network().fit(shards, plan(budget=Budget(max_steps=20)))
    shown = capsys.readouterr().err
    assert re.search(r"Training linear .* 100 % .*step 20 .*train loss \d.*val loss \d.*cells/s", shown)


def test_tensorboard_gets_the_rows_of_the_log(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    report = network().fit(shards, plan(tensorboard=tmp_path / "events"))
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    written = [(event.step, event.value) for event in events.Scalars("loss/val")]
    log = report.metrics.filter(split="val", metric="loss")
    assert [step for step, _ in written] == log["step"].to_list()
    assert [value for _, value in written] == pytest.approx(log["value"].to_list())
