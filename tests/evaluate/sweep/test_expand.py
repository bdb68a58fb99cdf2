"""What a grid is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curate.errors import SweepError
from curate.evaluate.sweep.expand import Design, expand
from curate.evaluate.sweep.grid import ALL, Grid
from tests.evaluate.sweep.conftest import SMALL


def design(**changes: Any) -> Design:
    return expand(Grid.parse({**SMALL, **changes}, called="small.toml", folder=Path()))


def test_a_fraction_of_one_is_one_subset_on_which_every_seed_is_trained() -> None:
    found = design()
    assert found.settings == [("random", 0.1), ("reweight", 0.1), (ALL, 1.0)]
    assert [each.key for each in found.subsets if each.fraction == 1] == [(ALL, 1.0, 0)]
    on_all = [(run.model.called, run.seed) for run in found.runs if run.subset.strategy == ALL]
    assert on_all == [("pca", 0), ("hvg", 0), ("pca", 1), ("hvg", 1)]
    assert len(found.runs) == 3 * 2 * 2 == len(found.evaluations)


def test_small_subsets_come_first() -> None:
    found = design(fractions=[1.0, 0.5, 0.1])
    assert [each.fraction for each in found.subsets] == sorted(each.fraction for each in found.subsets)


def test_spike_ins_are_subsets_of_their_own_also_of_the_whole() -> None:
    spiked = {"name": "random", "spike_ins": {"screen": 0.5}, "fractions": [0.1, 1.0]}
    found = design(strategies=[{"name": "random"}, spiked])
    assert ("random+screen=0.5", 1.0) in found.settings
    assert len(found.settings) == 4
    # Other cells of the screen are drawn with each seed.
    assert sum(each.setting == ("random+screen=0.5", 1.0) for each in found.subsets) == 2


def test_budgets_presets_tasks_and_data_sets_multiply() -> None:
    found = design(
        presets=["tiny", "study"],
        budgets=[{"max_cells": 100}, {"max_cells": 1000}],
        tasks=[{"name": "classify"}, {"name": "classify", "label": "again", "datasets": ["held"]}],
        datasets={"held": {"data": "held"}, "other": {"data": "other"}},
        evaluation_seeds=[0, 1, 2],
    )
    assert len(found.runs) == 3 * 2 * 2 * 2 * 2
    assert len(found.baselines) == (2 + 1) * 3
    assert len(found.evaluations) == len(found.runs) * len(found.baselines)


def test_budgets_of_a_model_hold_for_it_instead() -> None:
    short = {"name": "scvi", "budgets": [{"max_cells": 10}, {"max_cells": 20}]}
    found = design(models=[{"name": "pca"}, short], budgets=[{"max_cells": 100}], seeds=[0])
    seen = {(run.model.called, run.budget.max_cells) for run in found.runs}
    assert seen == {("pca", 100), ("scvi", 10), ("scvi", 20)}
    assert len(found.runs) == 3 * 3


def test_each_model_and_seed_has_one_control_on_its_smallest_subset() -> None:
    found = design(controls=True)
    controls = [run for run in found.runs if run.is_untrained]
    assert [(run.model.called, run.seed, run.subset.key) for run in controls] == [
        (model, seed, ("random", 0.1, seed)) for seed in (0, 1) for model in ("pca", "hvg")
    ]
    assert len(found.trained) == 12
    assert sum(each.run in controls for each in found.evaluations) == 4


def test_what_is_excluded_is_left_out() -> None:
    found = design(exclude=[{"model": "hvg", "fraction": 1.0}, {"strategy": "reweight", "task": "classify"}])
    assert len(found.runs) == 12 - 2
    assert len(found.evaluations) == 12 - 2 - 4
    assert found.n_left_out == 2 + 4


def test_a_subset_without_a_model_is_not_chosen() -> None:
    found = design(exclude=[{"strategy": "reweight"}])
    assert "reweight" not in {each.strategy for each in found.subsets}


@pytest.mark.parametrize(
    ("exclude", "message"),
    [
        ([{"model": "scvi"}], r"exclude.0 \(model = 'scvi'\) leaves nothing out"),
        ([{"seed": 0}, {"seed": 1}], "grid small leaves every combination out"),
    ],
)
def test_what_excludes_nothing_or_all_is_refused(exclude: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(SweepError, match=message):
        design(exclude=exclude)
