"""Budgets, schedules and what a run costs."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from curate.train.fit.budget import ended, known_steps, round_steps, share_done
from curate.train.fit.energy import Energy
from curate.train.fit.plan import Budget
from curate.train.fit.schedule import learning_rate
from curate.train.fit.state import Progress
from curate.train.models.settings import NetworkSettings, changed

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = NetworkSettings(n_dims=2, max_epochs=3, learning_rate=1.0)


@pytest.mark.parametrize(
    ("budget", "progress", "expected"),
    [
        (Budget(), Progress(step=29, epoch=2, next_batch=9), None),
        (Budget(), Progress(step=30, epoch=3), "epochs"),
        (Budget(max_steps=10), Progress(step=9, epoch=50), None),
        (Budget(max_steps=10), Progress(step=10), "steps"),
        (Budget(max_cells=100), Progress(n_cells=99), None),
        (Budget(max_cells=100), Progress(n_cells=112), "cells"),
        (Budget(max_minutes=0.5), Progress(seconds=29.9), None),
        (Budget(max_minutes=0.5), Progress(seconds=30.1), "minutes"),
        (Budget(max_steps=10, max_cells=100), Progress(step=7, n_cells=112), "cells"),
    ],
)
def test_what_ends_a_run(budget: Budget, progress: Progress, expected: str | None) -> None:
    assert ended(budget, progress, n_steps=30) == expected


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (Budget(), 30),
        (Budget(max_steps=7), 7),
        (Budget(max_cells=65), 5),
        (Budget(max_steps=7, max_cells=65), 5),
        (Budget(max_minutes=1), None),
        (Budget(max_minutes=1, max_steps=7), 7),
    ],
)
def test_the_last_step_is_known_beforehand_unless_only_minutes_are_given(
    budget: Budget, expected: int | None
) -> None:
    assert known_steps(budget, SETTINGS, n_batches=10, step_cells=16) == expected


def test_few_cells_are_passed_over_until_the_least_steps_are_taken() -> None:
    settings = SETTINGS.model_copy(update={"min_steps": 100})
    found = {n: round_steps(settings, n_batches=n) for n in (1, 33, 34, 50)}
    assert found == {1: 34, 33: 34, 34: 34, 50: 50}
    assert known_steps(Budget(), settings, n_batches=1, step_cells=16) == 102
    assert known_steps(Budget(max_steps=7), settings, n_batches=1, step_cells=16) == 7


def test_who_says_how_many_epochs_gets_so_many() -> None:
    settings = SETTINGS.model_copy(update={"min_steps": 100})
    assert changed(settings, {"max_epochs": 2}, model="any").model_dump()["min_steps"] == 0
    assert changed(settings, {"max_epochs": 2, "min_steps": 9}, model="any").model_dump()["min_steps"] == 9
    assert changed(settings, {"n_dims": 3}, model="any").model_dump()["min_steps"] == 100


def test_the_share_that_is_done_is_that_of_the_nearest_limit() -> None:
    progress = Progress(step=10, seconds=30)
    assert share_done(Budget(max_minutes=2, max_steps=20), progress, n_steps=20) == 0.5
    assert share_done(Budget(max_minutes=0.625, max_steps=20), progress, n_steps=20) == 0.8


def test_the_learning_rate_rises_then_falls_to_nothing_after_the_last_step() -> None:
    def rates(schedule: Any, n_steps: int | None) -> list[float]:
        settings = SETTINGS.model_copy(update={"warmup_steps": 4, "schedule": schedule})
        return [learning_rate(settings, step, n_steps=n_steps) for step in range(9)]

    rising = [0.25, 0.5, 0.75, 1.0]
    np.testing.assert_allclose(rates("constant", 8), [*rising, 1, 1, 1, 1, 1])
    np.testing.assert_allclose(rates("linear", 8), [*rising, 1, 0.75, 0.5, 0.25, 0])
    np.testing.assert_allclose(rates("linear", None), [*rising, 1, 1, 1, 1, 1])
    half = np.sqrt(0.5) / 2
    np.testing.assert_allclose(rates("cosine", 8), [*rising, 1, 0.5 + half, 0.5, 0.5 - half, 0], atol=1e-12)


def test_energy_of_processors_is_added_up_across_the_end_of_their_counters(tmp_path: Path) -> None:
    for name, joules in {"intel-rapl:0": 5, "intel-rapl:1": 90, "intel-rapl:0:0": 1}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "max_energy_range_uj").write_text("100000000\n")
        (tmp_path / name / "energy_uj").write_text(f"{joules * 1_000_000}\n")
    energy = Energy(n_gpus=0, powercap=tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("15000000\n")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("10000000\n")
    (tmp_path / "intel-rapl:0:0" / "energy_uj").write_text("9000000\n")
    # 10 of one package, 20 of the other, whose counter began anew at 100; cores are part of their package
    assert energy.taken() == pytest.approx(30)
    assert energy.taken() == 0


def test_energy_of_gpus_is_read_from_nvml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    millijoules = {"GPU-a": 1000, "GPU-b": 5000}
    nvml = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda name: name,
        nvmlDeviceGetTotalEnergyConsumption=millijoules.__getitem__,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda number: SimpleNamespace(uuid="ab"[number]))
    energy = Energy(n_gpus=2, powercap=tmp_path)
    millijoules |= {"GPU-a": 4000, "GPU-b": 7000}
    assert energy.taken() == pytest.approx(5)


def test_energy_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert Energy(n_gpus=0, powercap=tmp_path).taken() is None
