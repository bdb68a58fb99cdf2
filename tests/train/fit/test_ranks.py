"""Ranks: two processes of half batches come to what one process of whole ones does."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any

import pytest
import torch

from curate.errors import ModelError, TrainingError
from curate.train.fit.plan import Budget
from curate.train.fit.ranks import _await
from tests.train.fit.conftest import DYING_RANK, Dying, Noiseless

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.train.fit.plan import FitPlan
    from curate.train.shards import Shards
    from tests.train.fit.conftest import Linear


class Process:
    """A process that has ended."""

    exitcode = -9

    def join(self) -> None:
        """It has."""


def test_two_ranks_come_to_what_one_does_also_when_one_of_them_was_killed(
    network: Callable[..., Linear],
    plan: Callable[..., FitPlan],
    shards: Shards,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {"budget": Budget(max_steps=20), "validation_cells": 16, "checkpoint_steps": 4}
    one = network(kind=Noiseless, batch_size=16)
    two, killed, resumed = (network(kind=Dying, batch_size=8) for _ in range(3))
    alone = one.fit(shards, plan("one", **given))
    shared = two.fit(shards, plan("two", **given, devices=2))
    # One rank of twice the batch.
    assert (shared.n_steps, shared.n_cells, shared.n_epochs) == (20, 320, alone.n_epochs)
    for name, value in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], value)
    for split in ("train", "val"):
        values = [r.metrics.filter(split=split, metric="loss")["value"].to_list() for r in (alone, shared)]
        assert values[1] == pytest.approx(values[0], rel=1e-5)
    # Killed in step 7 it stops with one line, and goes on to the same bits.
    monkeypatch.setenv(DYING_RANK, "1")
    said = r"^rank 1 of 2 died \(exit code -9\), for want of memory perhaps; the checkpoint of step 4 is kept"
    with pytest.raises(TrainingError, match=said):
        killed.fit(shards, plan("killed", **given, devices=2))
    assert not multiprocessing.active_children()
    monkeypatch.delenv(DYING_RANK)
    report = resumed.fit(shards, plan("killed", **given, devices=2))
    for name, value in two.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value)
    assert report.metrics.drop("seconds").equals(shared.metrics.drop("seconds"))


def test_too_few_cells_for_a_batch_of_each_rank_are_refused(
    network: Callable[..., Linear], plan: Callable[..., FitPlan], shards: Shards
) -> None:
    n = shards.n_cells("train")
    with pytest.raises(ModelError, match=rf"{n} training cells are no batch of 200 .* at most {n // 2}$"):
        network(batch_size=200).fit(shards, plan(devices=2))


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ([None, ModelError("training diverged")], "^training diverged$"),
        ([RuntimeError("rank 0 failed: connection closed by peer"), TrainingError("diverged")], "^diverged$"),
        ([RuntimeError("rank 0 failed: closed")], r"^rank 1 of 2 died \(exit code -9\)"),
        ([None], r"^rank 1 of 2 died \(exit code -9\), for want of memory perhaps$"),
    ],
)
def test_the_error_of_a_rank_is_raised_and_one_that_died_is_named(sent: list[Any], said: str) -> None:
    pipes = [multiprocessing.Pipe(duplex=False) for _ in range(2)]
    for (_, theirs), what in zip(pipes, sent, strict=False):
        theirs.send(what)
    for _, theirs in pipes:
        theirs.close()
    with pytest.raises(ModelError, match=said):
        _await([ours for ours, _ in pipes], [Process(), Process()])
