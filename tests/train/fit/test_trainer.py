"""fit: trains, is reproducible, obeys budgets, goes on after a kill."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from curate.train.fit.plan import Budget

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.train.fit.plan import FitPlan
    from curate.train.shards import Shards
    from tests.train.fit.conftest import Linear


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
