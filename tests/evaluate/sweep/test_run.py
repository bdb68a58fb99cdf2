"""Runs of a sweep by workers that only pretend: order, failures, what is done again and what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from curate.errors import EvaluationError, SweepError
from curate.evaluate.sweep.crew import Outcome
from curate.evaluate.sweep.folder import find_sweep, sweep_folder
from curate.evaluate.sweep.journal import read_journal
from curate.evaluate.sweep.status import status
from curate.evaluate.sweep.table import read_sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.evaluate.sweep.conftest import Sweeper

    Says = Callable[[Mapping[str, Any], int], Outcome | None]


class Killed(BaseException):
    """What ends a run at once."""


def failing(called: str, *, error: str = "it cannot be", times: int = 9, died: bool = False) -> Says:
    """Return what fails a job of this name so many times."""

    def says(payload: Mapping[str, Any], n: int) -> Outcome | None:
        if payload["called"] != called or n > times:
            return None
        return Outcome(payload["key"], error=error, died=died)

    return says


def kinds(given: list[dict[str, Any]]) -> dict[str, int]:
    found = [each["kind"] for each in given]
    return {kind: found.count(kind) for kind in dict.fromkeys(found)}


def test_what_is_equal_is_done_once_and_in_the_order_of_the_subsets(sweeper: Sweeper) -> None:
    ended = sweeper.pretend(sweeper.plan())
    given = sweeper.crews[0].given
    assert kinds(given) == {
        "baselines": 1,
        "manifest": 5,
        "shards": 5,
        "train": 12,
        "leakage": 5,
        "evaluate": 12,
    }
    assert (ended.n_done, ended.n_found, ended.n_failed, ended.n_blocked) == (40, 0, 0, 0)
    seen: set[str] = set()
    for each in given:
        assert set(each["inputs"]) <= seen
        assert all(need in seen for need in each["inputs"])
        seen.add(each["key"])
    fractions = [each["spec"]["fraction"] for each in given if each["kind"] == "manifest"]
    assert fractions == sorted(fractions)


def test_a_finished_sweep_has_nothing_to_do(sweeper: Sweeper) -> None:
    sweeper.pretend(sweeper.plan())
    ended = sweeper.pretend(sweeper.plan())
    assert sweeper.crews[1].given == []
    assert (ended.n_done, ended.n_found) == (0, 1 + 5 + 12 + 12)


@pytest.mark.parametrize("n", [1, 7, 20, 39])
def test_a_run_that_was_killed_goes_on_and_repeats_nothing(sweeper: Sweeper, n: int) -> None:
    count = iter(range(1000))

    def dies(payload: Mapping[str, Any], times: int) -> Outcome | None:
        if next(count) == n:
            raise Killed
        return None

    with pytest.raises(Killed):
        sweeper.pretend(sweeper.plan(), dies)
    folder = sweep_folder(sweeper.workspace, "small")
    before = set(read_journal(folder.journal_path).done)
    assert len(before) == n
    assert not status(folder).is_running
    sweeper.pretend(sweeper.plan())
    assert not before & {each["key"] for each in sweeper.crews[1].given}
    found = status(folder)
    assert (found.n_runs, found.n_again, found.is_ended) == (2, 0, True)
    assert {kind: (each.n, each.n_done) for kind, each in found.counts.items()} == {
        "manifest": (5, 5),
        "train": (12, 12),
        "baselines": (1, 1),
        "evaluate": (12, 12),
    }


def test_a_failed_job_stops_only_what_needs_it(sweeper: Sweeper) -> None:
    told: list[str] = []
    name = "pca tiny on random 0.1 s0"
    ended = sweeper.pretend(sweeper.plan(), failing(name), tell=told.append)
    assert ended.failures == (f"{name}: it cannot be",)
    assert (ended.n_failed, ended.n_blocked) == (1, 1)
    assert f"failed: {name}: it cannot be" in told
    found = status(ended.folder)
    assert [(each.called, each.n_blocked) for each in found.failed] == [(name, 1)]
    assert found.counts["evaluate"].n_blocked == 1
    assert found.counts["evaluate"].n_done == 11
    assert found.left_s == 0
    # Another run leaves it, unless it is told to try again.
    assert sweeper.pretend(sweeper.plan()).failures == ended.failures
    assert sweeper.crews[1].given == []
    again = sweeper.pretend(sweeper.plan(), retry_failed=True)
    assert again.failures == ()
    assert [each["kind"] for each in sweeper.crews[2].given] == ["train", "evaluate"]


def test_without_a_manifest_there_are_no_models_of_it(sweeper: Sweeper) -> None:
    ended = sweeper.pretend(sweeper.plan(), failing("random 0.1 s1"))
    # Shards, two models, the look for leakage, two evaluations.
    assert (ended.n_failed, ended.n_blocked) == (1, 6)


def test_a_job_whose_worker_dies_is_tried_once_more(sweeper: Sweeper) -> None:
    told: list[str] = []
    name = "hvg tiny on reweight 0.1 s0"
    how = failing(name, error="its worker was killed by SIGKILL", times=1, died=True)
    ended = sweeper.pretend(sweeper.plan(), how, tell=told.append)
    assert ended.failures == ()
    assert f"{name}: its worker was killed by SIGKILL; it is tried once more" in told
    assert sum(each["called"] == name for each in sweeper.crews[0].given) == 2


def test_a_job_whose_worker_dies_twice_has_failed(sweeper: Sweeper) -> None:
    name = "hvg tiny on reweight 0.1 s0"
    how = failing(name, error="its worker was killed by SIGKILL", died=True)
    ended = sweeper.pretend(sweeper.plan(), how)
    assert ended.failures == (f"{name}: its worker was killed by SIGKILL, 2 times",)
    assert sum(each["called"] == name for each in sweeper.crews[0].given) == 2
    assert ended.n_blocked == 1
    # Told to try again, it is tried twice again.
    sweeper.pretend(sweeper.plan(), how, retry_failed=True)
    assert sum(each["called"] == name for each in sweeper.crews[1].given) == 2


def test_what_was_removed_is_made_again_with_what_it_needs(sweeper: Sweeper) -> None:
    plan = sweeper.plan(keep_shards=False)
    sweeper.pretend(plan)
    model = next(job for job in plan.jobs.in_order if job.kind == "train")
    (sweeper.workspace.models_path / model.key / "run.json").unlink()
    sweeper.pretend(plan)
    # Its counts had gone when they were used.
    assert [each["kind"] for each in sweeper.crews[1].given] == ["shards", "train"]
    assert status(find_sweep(sweeper.workspace)).n_again == 1


def test_what_is_to_be_known_of_the_data_is_told_once(sweeper: Sweeper) -> None:
    told: list[str] = []
    plan = sweeper.plan(tasks=[{"name": "classify"}, {"name": "reconstruct"}])
    sweeper.pretend(plan, tell=told.append)
    assert kinds(sweeper.crews[0].given)["baselines"] == 2
    assert [line.rpartition(": ")[2] for line in told] == ["of the data"]


def test_rows_that_were_removed_are_evaluated_again(sweeper: Sweeper) -> None:
    plan = sweeper.plan()
    folder = sweeper.pretend(plan).folder
    job = next(each for each in plan.jobs.in_order if each.kind == "evaluate")
    folder.rows_path(job.key).unlink()
    sweeper.pretend(plan)
    assert [each["key"] for each in sweeper.crews[1].given] == [job.key]


def test_counts_go_when_their_models_are_trained(sweeper: Sweeper) -> None:
    held: list[int] = []
    shards = sweep_folder(sweeper.workspace, "small").shards_path

    def says(payload: Mapping[str, Any], n: int) -> Outcome | None:
        held.append(len(list(shards.iterdir())) if shards.is_dir() else 0)
        return None

    sweeper.pretend(sweeper.plan(keep_shards=False), says)
    assert max(held) <= 2
    assert list(shards.iterdir()) == []


def test_counts_of_what_is_still_to_be_trained_stay_after_a_kill(sweeper: Sweeper) -> None:
    def dies(payload: Mapping[str, Any], n: int) -> Outcome | None:
        if payload["kind"] == "train":
            raise Killed
        return None

    shards = sweep_folder(sweeper.workspace, "small").shards_path
    with pytest.raises(Killed):
        sweeper.pretend(sweeper.plan(keep_shards=False), dies)
    [path] = shards.iterdir()
    (shards / f".{path.name}.partial").mkdir()
    (shards / "of-another-grid").mkdir()
    with pytest.raises(Killed):
        sweeper.pretend(sweeper.plan(keep_shards=False), dies)
    assert {each.name for each in shards.iterdir()} >= {path.name, f".{path.name}.partial"}
    assert not (shards / "of-another-grid").exists()


def test_a_worker_goes_on_with_the_model_it_has(sweeper: Sweeper) -> None:
    tasks = [{"name": "classify", "label": str(n), "settings": {"n_neighbors": n}} for n in range(1, 5)]
    sweeper.pretend(sweeper.plan(tasks=tasks))
    crew = sweeper.crews[0]
    rooms: dict[str, set[str]] = {}
    for each, room in zip(crew.given, crew.rooms_of, strict=True):
        if each["kind"] == "evaluate":
            rooms.setdefault(each["spec"]["model"], set()).add(room)
    n_shared = sum(len(each) > 1 for each in rooms.values())
    assert n_shared <= 2


def test_a_larger_grid_of_the_same_name_does_only_what_is_new(sweeper: Sweeper) -> None:
    sweeper.pretend(sweeper.plan())
    sweeper.pretend(sweeper.plan(seeds=[0, 1, 2]))
    given = sweeper.crews[1].given
    assert kinds(given) == {"manifest": 2, "shards": 2, "train": 6, "leakage": 2, "evaluate": 6}


def test_results_stand_in_one_table_as_the_grid_calls_them(sweeper: Sweeper) -> None:
    ended = sweeper.pretend(sweeper.plan())
    table = read_sweep(ended.folder)
    assert ended.n_rows == table.height == 13
    assert table["kind"].to_list() == ["baseline"] + ["trained"] * 12
    assert set(table["task"]) == {"classify"}
    assert table.filter(pl.col("kind") == "trained")["strategy"].unique().sort().to_list() == [
        "all",
        "random",
        "reweight",
    ]


def test_labels_tell_places_of_one_task_or_model_apart(sweeper: Sweeper) -> None:
    by_donor = {"name": "classify", "label": "by donor", "settings": {"group_column": "donor_id"}}
    budgets = [{}, {"max_cells": 50, "label": "short"}]
    plan = sweeper.plan(tasks=[{"name": "classify"}, by_donor], budgets=budgets, seeds=[0])
    table = read_sweep(sweeper.pretend(plan).folder)
    assert set(table["dataset"]) == {"held", "held, by donor"}
    assert set(table["model"].drop_nulls()) >= {"pca (none)", "pca (short)", "hvg (none)", "hvg (short)"}


def test_rows_of_another_format_are_refused_before_the_work(sweeper: Sweeper, of_another_format: Any) -> None:
    ended = sweeper.pretend(sweeper.plan())
    path = sorted((ended.folder.path / "rows").iterdir())[0]
    of_another_format(path)
    of_another_format(ended.folder.results_path)
    with pytest.raises(SweepError, match="results of format 9, this curate reads 1"):
        sweeper.pretend(sweeper.plan(seeds=[0, 1, 2]))
    assert len(sweeper.crews) == 1
    with pytest.raises(EvaluationError, match="results of format 9, this curate reads 1"):
        read_sweep(ended.folder)


def test_a_sweep_is_run_by_one_at_a_time(sweeper: Sweeper) -> None:
    folder = sweep_folder(sweeper.workspace, "small")
    with (
        folder.locked(),
        pytest.raises(SweepError, match=r"another run is at work on sweep small \(process \d+\); wait"),
    ):
        sweeper.pretend(sweeper.plan())
    with folder.locked():
        assert folder.is_running
    assert not folder.is_running


def test_a_sweep_is_found_by_its_name_or_as_the_last(sweeper: Sweeper) -> None:
    with pytest.raises(SweepError, match="holds no sweep; run one with"):
        find_sweep(sweeper.workspace)
    sweeper.pretend(sweeper.plan())
    with pytest.raises(SweepError, match="no sweep named 'smal'; did you mean 'small'"):
        find_sweep(sweeper.workspace, "smal")
    assert find_sweep(sweeper.workspace).path.name == "small"
    plan = find_sweep(sweeper.workspace).plan_path
    plan.write_text(plan.read_text().replace('"format": 1', '"format": 3'))
    with pytest.raises(SweepError, match="holds a sweep of format 3, this curate reads 1"):
        status(find_sweep(sweeper.workspace))


@pytest.fixture
def of_another_format() -> Callable[[Path], None]:
    import pyarrow.parquet as pq

    def change(path: Path) -> None:
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({b"curate.results": b"9"}), path)

    return change
