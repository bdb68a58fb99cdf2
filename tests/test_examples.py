"""The examples are what the documentation says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.evaluate.sweep.expand import expand
from curate.evaluate.sweep.grid import Grid
from curate.recipe import Recipe
from curate.simulate.samples import DATASETS, SIMULATED
from curate.task import TaskDocument

STUDY = Path(__file__).parent.parent / "examples" / "study"


@pytest.mark.parametrize(
    ("name", "n_settings", "n_models"), [("quick", 6, 90), ("full", 22, 550), ("real", 6, 90)]
)
def test_the_study_in_small_has_the_size_it_is_said_to_have(
    name: str, n_settings: int, n_models: int
) -> None:
    design = expand(Grid.load(STUDY / f"{name}.toml"))
    assert (len(design.settings), len(design.trained)) == (n_settings, n_models)
    tasks = {"classify"} if name == "real" else {"classify", "integrate", "perturb"}
    assert {each.task.name for each in design.evaluations} == tasks


def test_the_data_set_that_is_held_out_is_the_one_of_infection() -> None:
    import uuid

    label = f"{SIMULATED}: 200000 cells, 1500 genes, seed 0"
    held_out = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{label}: {DATASETS[1].title}"))
    recipe = Recipe.load(str(STUDY / "recipe.toml"))
    assert recipe.cells.filter is not None
    assert f"dataset_id != '{held_out}'" in recipe.cells.filter
    assert TaskDocument.load(STUDY / "task.toml").reference.where == f"dataset_id == '{held_out}'"  # type: ignore[union-attr]
    for name in ("quick", "full"):
        assert held_out in Grid.load(STUDY / f"{name}.toml").datasets["infection"].data


def test_a_data_set_of_few_genes_is_read_with_less_overlap() -> None:
    datasets = Grid.load(STUDY / "real.toml").datasets
    assert datasets["pbmc14k"].options == {"min_overlap": 0.4}
    assert datasets["pbmc4k"].options == {}
