"""Plans: what is looked up, counted and estimated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from curate.errors import SweepError
from curate.evaluate.sweep.plan import make_plan
from curate.rates import keep_rate

if TYPE_CHECKING:
    from tests.evaluate.sweep.conftest import Sweeper


def test_all_that_is_wrong_is_told_at_once(sweeper: Sweeper) -> None:
    with pytest.raises(SweepError) as error:
        sweeper.plan(
            fractions=[0.0001, 1.0],
            strategies=[
                {"name": "randm"},
                {"name": "sketch", "parameters": {"boxes": 3}},
                {"name": "target"},
            ],
            models=[{"name": "pca", "settings": {"n_dim": 5}}, {"name": "scvy"}],
            tasks=[{"name": "classify", "settings": {"probe": "knn"}}, {"name": "clasify", "label": "b"}],
        )
    message = str(error.value)
    assert message.startswith("grid small: 8 faults: (1) ")
    for part in (
        "fraction 0.0001 of ",
        "selects 0 cells",
        "no strategy named 'randm'",
        "no parameter 'boxes'",
        "strategy target chooses for a task",
        "no setting 'n_dim'; did you mean 'n_dims'",
        "no model named 'scvy'; did you mean 'scvi'",
        "unknown key 'probe'; did you mean 'probes'",
        "no task named 'clasify'; did you mean 'classify'",
    ):
        assert part in message, part


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"data": "held", "settings": {"label_colum": "x"}}, "data set held: no task of it has a setting"),
        ({"data": "manifest:x"}, "exclude_overlap compares files and stores"),
    ],
)
def test_a_data_set_that_does_not_fit_is_a_fault(
    sweeper: Sweeper, dataset: dict[str, Any], message: str
) -> None:
    with pytest.raises(SweepError, match=message):
        sweeper.plan(datasets={"held": dataset}, exclude_overlap=True)


def test_what_is_absent_is_planned_without_and_not_run(sweeper: Sweeper) -> None:
    plan = sweeper.plan(
        datasets={"held": {"data": "held"}, "gone": {"data": "gone.h5ad"}},
        embedding="other",
        strategies=[{"name": "sketch"}, {"name": "random", "spike_ins": {"screen": 0.1}}],
    )
    absent = " ".join(plan.document.absent)
    assert "data set gone: there is no " in absent
    assert "no embedding 'other', which strategy sketch needs" in absent
    assert "screen" in absent
    with pytest.raises(SweepError, match=r"grid small cannot run yet: 3 things missing: \(1\)"):
        sweeper.pretend(plan)
    assert not (sweeper.root / "sweeps").exists()


def test_a_plan_needs_neither_workspace_nor_corpus(sweeper: Sweeper) -> None:
    plan = make_plan(sweeper.grid(n_cells=1_000_000, corpus="tissues"), None)
    assert plan.document.numbers.n_corpus_cells == 1_000_000
    assert plan.document.numbers.cells_chosen == 4 * 100_000 + 1_000_000
    assert any("no workspace" in line for line in plan.document.absent)
    with pytest.raises(SweepError, match="to plan without a corpus, give n_cells in the grid"):
        make_plan(sweeper.grid(corpus="tissues"), sweeper.workspace)


def test_cells_hours_and_cost_follow_from_rates(sweeper: Sweeper) -> None:
    rates = {"train pca tiny": 100.0, "train hvg tiny": 50.0, "shards": 10.0}
    rates |= {"evaluate classify": 0.5, "baselines classify": 0.25, "leakage": 1.0, "build random": 1e9}
    grid = sweeper.grid(n_cells=1000, corpus="none", rates=rates, price_per_hour=36.0)
    numbers = make_plan(grid, None).document.numbers
    # Four subsets of 100 cells, 80 of them for training, and all 1,000 with two seeds.
    n_cells, n_trained = 4 * 100 + 1000, 4 * 80 + 2 * 800
    assert numbers.cells_chosen == n_cells
    assert numbers.cells_trained == 2 * n_trained
    assert numbers.hours["counts"] == pytest.approx(n_cells / 10 / 3600)
    assert numbers.hours["training"] == pytest.approx((n_trained / 100 + n_trained / 50) / 3600)
    assert numbers.hours["evaluation"] == pytest.approx((12 / 0.5 + 1 / 0.25) / 3600)
    assert numbers.hours["leakage"] == pytest.approx(n_cells / 3600)
    assert numbers.unknown == {}
    assert numbers.cost == pytest.approx(36 * numbers.total_hours)
    assert make_plan(grid, None, price_per_hour=1).document.numbers.cost == pytest.approx(numbers.total_hours)


def test_rates_of_the_workspace_are_used_and_what_is_unknown_is_named(sweeper: Sweeper) -> None:
    keep_rate(sweeper.root, "train pca tiny", 1000, 10, unit="cells")
    keep_rate(sweeper.root, "evaluate classify", 10, 5, unit="evaluations")
    numbers = sweeper.plan().document.numbers
    assert numbers.unknown == {"train hvg tiny": 6, "baselines classify": 1}
    assert numbers.hours["evaluation"] == pytest.approx(12 * 0.5 / 3600)


def test_epochs_budgets_and_minutes_limit_what_a_network_sees(sweeper: Sweeper) -> None:
    models = [{"name": "scvi", "settings": {"max_epochs": 3, "batch_size": 10}}, {"name": "pca"}]
    budgets = [{}, {"max_steps": 7}, {"max_cells": 50}, {"max_minutes": 2}]
    grid = sweeper.grid(
        n_cells=1000,
        corpus="none",
        models=models,
        budgets=budgets,
        fractions=[0.1],
        seeds=[0],
        strategies=[{"name": "random"}],
    )
    plan = make_plan(grid, None)
    amounts = {job.called: (job.amount, job.limit_s) for job in plan.jobs.in_order if job.kind == "train"}
    assert amounts == {
        "scvi tiny on random 0.1 s0": (240, None),
        "scvi tiny max_steps 7 on random 0.1 s0": (70, None),
        "scvi tiny max_cells 50 on random 0.1 s0": (50, None),
        "scvi tiny max_minutes 2 on random 0.1 s0": (None, 120),
        # Steps and minutes say nothing about a model that takes none: one fit for three places of the grid.
        "pca tiny on random 0.1 s0": (80, None),
        "pca tiny max_cells 50 on random 0.1 s0": (50, None),
    }
    numbers = plan.document.numbers
    assert (numbers.n_models, numbers.n_fits) == (8, 6)
    assert numbers.hours["training"] == pytest.approx(120 / 3600)
    assert len({row.job for row in plan.document.rows}) == 7
    assert len(plan.document.rows) == 9


def test_a_spiked_subset_needs_its_base_which_is_shared(sweeper: Sweeper) -> None:
    spiked = [{"name": "random", "spike_ins": {"screen": share}} for share in (0.1, 0.5)]
    plan = make_plan(
        sweeper.grid(n_cells=1000, corpus="none", strategies=[{"name": "random"}, *spiked], fractions=[0.1]),
        None,
    )
    jobs = {job.key: job for job in plan.jobs.in_order if job.kind == "manifest"}
    assert len(jobs) == 6
    bases = {need for job in jobs.values() for need in job.needs}
    assert sorted(jobs[key].called for key in bases) == ["random 0.1 s0", "random 0.1 s1"]


def test_another_content_of_a_file_is_another_evaluation(sweeper: Sweeper) -> None:
    before = {job.key for job in sweeper.plan().jobs.in_order}
    assert before == {job.key for job in sweeper.plan().jobs.in_order}
    (sweeper.root / "held" / "note").write_text("changed")
    after = sweeper.plan().jobs.in_order
    assert {job.kind for job in after if job.key not in before} == {"baselines", "leakage", "evaluate"}
