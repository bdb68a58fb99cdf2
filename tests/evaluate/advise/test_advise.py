"""From a task document to an answer, on a small simulated atlas."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from anndata import read_h5ad
from click.testing import CliRunner

from curate.build.task.task import Task
from curate.cli.advise import command
from curate.errors import EvaluationError, LeakageError, SelectionError, TaskError
from curate.evaluate.advise.advise import Advice, region
from curate.evaluate.advise.climb import Climb
from curate.evaluate.advise.held_out import held_out_data
from curate.evaluate.advise.rule import Judgement, Rule
from curate.evaluate.advise.rungs import Rungs
from curate.evaluate.advise.wording import cautions, sentences
from curate.evaluate.results import RESULT_SCHEMA, read_results
from curate.evaluate.saturation.curve import Curve
from curate.evaluate.saturation.fit import Interval
from curate.manifests.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from curate.manifests.manifest import Manifest
    from curate.workspace import Workspace

LADDER = ("--fractions", "0.2,0.5,1", "--seeds", "2", "--most-seeds", "2", "--evaluation-seeds", "1")
MODEL = ("--model", "hvg", "--preset", "tiny", "--set", "n_dims=20", "--yes")


@pytest.fixture
def document(outside: Path) -> Path:
    """A task of classification whose reference is 150 cells of the atlas."""
    path = outside.with_name("cells.toml")
    path.write_text(
        'name = "cells"\nkind = "classification"\n'
        f'[reference]\nh5ad = "{outside}"\n[split]\ntrain_fraction = 0.3\n'
    )
    return path


def run(workspace: Workspace, *arguments: object) -> Result:
    return CliRunner().invoke(command, list(map(str, arguments)), obj=str(workspace.root))


def test_the_plan_says_the_steps_and_trains_nothing(workspace: Workspace, document: Path) -> None:
    before = sorted(workspace.models_path.iterdir())
    result = run(workspace, document, *MODEL, *LADDER, "--explain", "--json")
    assert result.exit_code == 0, result.output
    plan = json.loads(result.stdout)
    assert [step["fraction"] for step in plan["steps"]] == [0.2, 0.5, 1.0]
    # The 150 cells of the reference are left out of the corpus.
    n = plan["steps"][-1]["n_cells"]
    assert n <= workspace.corpus().n_cells - 150
    assert plan["n_cells"] == 2 * sum(step["n_cells"] for step in plan["steps"])
    assert sorted(workspace.models_path.iterdir()) == before


def test_an_answer_names_a_manifest_and_the_same_command_finds_all_again(
    workspace: Workspace, document: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs.parquet"
    first = run(workspace, document, *MODEL, *LADDER, "--json", "-o", out)
    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)
    assert found["n_trained"] == 6
    assert found["verdict"] in ("saturated", "rising", "undecided")
    assert len(found["answer"]) == 2
    # What needs no training was tried on the same cells, and stands in the same table.
    assert {"hvg", "pca", "majority"} <= set(found["baselines"])
    assert {"hvg", "pca", "majority"} <= set(read_results([out])["model"])
    manifest = Registry(workspace.manifests_path).resolve(found["manifest"]["ref"])
    assert manifest.id == found["manifest"]["id"]
    assert read_results([out])["fraction"].drop_nulls().unique().sort().to_list() == [0.2, 0.5, 1.0]
    again = json.loads(run(workspace, document, *MODEL, *LADDER, "--json").stdout)
    assert again["n_trained"] == 0
    assert again["runs"] == found["runs"]


def test_one_class_is_refused_before_anything_is_trained(
    workspace: Workspace, document: Path, outside: Path
) -> None:
    data = read_h5ad(outside)
    data.obs["one"] = "B cell"
    data.write_h5ad(outside)
    document.write_text(document.read_text().replace("[split]", 'label_column = "one"\n[split]'))
    before = sorted(workspace.models_path.iterdir())
    result = run(workspace, document, *MODEL, *LADDER)
    assert isinstance(result.exception, EvaluationError)
    assert "a probe needs two" in str(result.exception)
    assert sorted(workspace.models_path.iterdir()) == before


def test_cells_that_training_would_see_are_refused_before_anything_is_trained(
    workspace: Workspace, document: Path
) -> None:
    document.write_text(document.read_text() + '[exclude]\nreference = "none"\n')
    before = sorted(workspace.models_path.iterdir())
    result = run(workspace, document, *MODEL, "--fractions", "0.9,0.95,1")
    assert isinstance(result.exception, LeakageError)
    assert 'reference = "all" under [exclude]' in str(result.exception)
    assert sorted(workspace.models_path.iterdir()) == before


def test_steps_of_a_seed_contain_each_other_and_no_cell_of_the_reference(
    workspace: Workspace, document: Path, outside: Path
) -> None:
    corpus = workspace.corpus()
    rungs = Rungs.open(
        corpus, Task.open(document, corpus), registry=Registry(workspace.manifests_path), strategy="random",
        fractions=[0.2, 0.5],
    )  # fmt: skip
    assert list(rungs.sizes) == [0.2, 0.5, 1.0]
    small, large = (set(rungs.manifest(step, 1).held_cells.soma_joinid.tolist()) for step in (0, 1))
    assert small < large
    # Building a step built those below it, and no other.
    assert sorted(Registry(workspace.manifests_path).names()) == [
        "advise-cells-random-0.2-s1", "advise-cells-random-0.5-s1", "random-n400-s0"
    ]  # fmt: skip
    everything = set(rungs.manifest(2, 1).held_cells.soma_joinid.tolist())
    assert len(everything) <= corpus.n_cells - 150


def test_two_steps_are_refused(workspace: Workspace, document: Path) -> None:
    corpus = workspace.corpus()
    with pytest.raises(SelectionError, match=r"2 steps of .* cells are too few for a curve"):
        Rungs.open(
            corpus, Task.open(document, corpus), registry=Registry(workspace.manifests_path),
            strategy="random", fractions=[0.5],
        )  # fmt: skip


def test_only_held_out_cells_are_evaluated_on(workspace: Workspace, document: Path) -> None:
    task = Task.open(document, workspace.corpus())
    assert task.reference is not None
    data = held_out_data(task)
    assert data.n_cells == task.reference.n_held_out < 150
    assert data.obs_names.to_list() == [f"cell {row}" for row in task.reference.held_out_rows]


def test_a_task_without_a_held_out_cell_is_refused(workspace: Workspace, document: Path) -> None:
    document.write_text(document.read_text().replace("0.3", "1.0"))
    with pytest.raises(TaskError, match=r"none of the 150 cells of outside\.h5ad is held out"):
        held_out_data(Task.open(document, workspace.corpus()))


def test_a_description_is_nothing_to_evaluate_on(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    path.write_text('name = "b"\nkind = "classification"\n[wanted]\ncell_types = ["B cell"]\n')
    with pytest.raises(TaskError, match="task b has no reference to evaluate on"):
        held_out_data(Task.open(path, workspace.corpus()))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--seeds", "4", "--most-seeds", "3"), "--most-seeds 3 is less than --seeds 4"),
        (("--metric", "auc"), "task classify gives no 'auc'"),
        (("--set", "n_dim=3"), "n_dim"),
        (("--strategy", "random,sketch"), "2 strategies; name one"),
        (("-o", "runs.csv"), "does not end in .parquet"),
        (("--tolerance", "0"), "0"),
        (
            ("--tolerance", "2"),
            "--tolerance 2 is more than any model has in macro_f1",
        ),
    ],
)
def test_wrong_usage_is_said(
    workspace: Workspace, document: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = run(workspace, document, "--model", "hvg", "--preset", "tiny", "--explain", *arguments)
    assert result.exit_code == 2
    assert said in result.output


def judged(verdict: Any, probability: float, enough: float | None = None) -> Judgement:
    gain = Interval(0.02, -0.01, 0.05)
    chance = 0.021 if enough else None
    return Judgement(verdict, probability, gain, enough, chance, gain if enough else None, 0.013)


def climbed(judgement: Judgement | None, steps: tuple[int, ...] = (0, 1, 2)) -> Climb:
    sizes = (80.0, 200.0, 400.0, 4_000.0)
    n = np.tile([sizes[step] for step in steps], 2)
    curve = Curve.of(n, np.full(n.size, 0.8125), np.repeat([0, 1], len(steps)))
    return Climb(sizes, curve, steps, () if judgement is None else ((steps[-1], judgement),), Rule(n_seeds=2))


def advice(climb: Climb, manifest: Manifest, proxy: Climb | None = None, *, n_improving: int = 0) -> Advice:
    results = pl.DataFrame({"metric": ["macro_f1"], "higher_is_better": [True]})
    full = pl.DataFrame(schema=RESULT_SCHEMA)
    return Advice(
        task="t",
        model="scvi",
        proxy="pca" if proxy else None,
        strategy="random",
        metric="macro_f1",
        rule=climb.rule,
        climb=climb,
        proxy_climb=proxy,
        manifest=manifest,
        results=pl.concat([full, results], how="diagonal"),
        baselines={"majority": 0.1},
        n_trained=6,
        n_improving=n_improving,
        label=None,
    )


def test_a_saturated_answer_by_hand(manifest: Manifest) -> None:
    use, saved = sentences(advice(climbed(judged("saturated", 0.004, 400.0)), manifest))
    assert use == (
        "Use random-n400-s0@v1 (400 cells, 10 % of the corpus): scvi has 0.812 in macro-F1 there (mean of 2 "
        "seeds), and the probability that all 4,000 cells bring more than 0.01 over it is 2.1 % (expected "
        "+0.020, 95 % interval -0.010 to +0.050)."
    )
    assert saved == (
        "That took 6 models on 1,360 cells in all, 14.5 % of the 9,360 of the whole ladder of 4 steps with 2 "
        "seeds: 85.5 % are saved."
    )


@pytest.mark.parametrize(
    ("verdict", "steps", "begins"),
    [
        ("rising", (0, 1, 2), "More cells pay: all 4,000 cells bring more than 0.01 over"),
        ("undecided", (0, 1, 2), "Undecided: the probability that all 4,000 cells bring more than 0.01 over"),
        ("rising", (0, 1, 2, 3), "Use the whole corpus,"),
        ("undecided", (0, 1, 2, 3), "Undecided: whether all 4,000 cells bring more than 0.01 over 400 cells"),
    ],
)
def test_no_other_answer_says_that_a_subset_is_enough(
    manifest: Manifest, verdict: str, steps: tuple[int, ...], begins: str
) -> None:
    use, _ = sentences(advice(climbed(judged(verdict, 0.4), steps), manifest))
    assert use.startswith(begins)
    assert "Use random" not in use
    if verdict == "undecided":
        assert "the standard deviation of a run being 0.013" in use


def test_two_sizes_are_undecided(manifest: Manifest) -> None:
    use, _ = sentences(advice(climbed(None, (1, 2)), manifest))
    assert use.startswith("Undecided: 2 sizes cannot show a curve")


def test_the_whole_ladder_saves_nothing(manifest: Manifest) -> None:
    _, saved = sentences(advice(climbed(judged("rising", 0.99), (0, 1, 2, 3)), manifest))
    assert saved.endswith("all of the 9,360 of the whole ladder of 4 steps with 2 seeds: nothing is saved.")


@pytest.mark.parametrize(("n_improving", "is_said"), [(3, False), (4, True)])
def test_models_that_were_not_done_stand_against_the_answer(
    manifest: Manifest, n_improving: int, is_said: bool
) -> None:
    said = cautions(advice(climbed(judged("rising", 0.99)), manifest, n_improving=n_improving))
    assert len(said) == is_said
    assert all(each.startswith("4 of 6 models were still improving when their epochs ended") for each in said)


def test_a_baseline_that_is_better_stands_against_the_answer(manifest: Manifest) -> None:
    found = replace(advice(climbed(judged("rising", 0.99)), manifest), baselines={"pca": 0.9, "hvg": 0.85})
    assert cautions(found) == ["pca, which needs no training, has 0.900 in macro-F1 on the same cells"]
    lower = found.results.with_columns(pl.lit(False).alias("higher_is_better"))
    # Then scores are turned, and -0.8125 is worse than 0.9.
    assert cautions(replace(found, results=lower, baselines={"pca": 0.9})) == []


def test_what_the_proxy_took_is_said(manifest: Manifest) -> None:
    climb = climbed(judged("saturated", 0.004, 400.0))
    _, saved = sentences(advice(climb, manifest, climb))
    assert saved.endswith("; before that, 6 models of pca on 1,360 cells found the region.")


def test_the_model_skips_what_lies_far_below_the_point_of_its_proxy() -> None:
    sizes = tuple(float(10**at) for at in range(1, 9))
    proxy = climbed(judged("saturated", 0.01, 1e6))
    proxy = Climb(sizes, proxy.curve, tuple(range(7)), proxy.judged, proxy.rule)
    # 1e6 is step 5: the first, and from 3 on.
    assert region(list(range(8)), proxy) == [0, 3, 4, 5, 6, 7]
    undecided = Climb(sizes, proxy.curve, tuple(range(8)), ((7, judged("undecided", 0.3)),), proxy.rule)
    assert region(list(range(8)), undecided) == [0, 5, 6, 7]
