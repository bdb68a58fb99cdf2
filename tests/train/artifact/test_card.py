"""The model card says of the training cells what is true of them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from curate.cli.train_lines import lines
from curate.train.artifact.card import card
from curate.train.artifact.train import train
from curate.train.fit.log import SCHEMA
from curate.train.fit.plan import Budget, FitPlan
from curate.train.shards import Shards

if TYPE_CHECKING:
    from curate.manifests.manifest import Manifest
    from curate.train.artifact import Artifact
    from curate.train.models.model import Model
    from curate.workspace import Workspace

METRICS = pl.DataFrame(schema=SCHEMA)


def test_the_labels_counted_are_those_of_training_cells_alone(
    trained: Artifact, fresh_workspace: Workspace
) -> None:
    text = (trained.path / "README.md").read_text()
    shards = Shards.open(fresh_workspace.shards_path / "random-n300-s0" / "v0001")
    n_train = shards.n_cells("train")
    assert f"The {n_train} training cells, by their labels:" in text
    for column in ("cell_type", "assay"):
        cells = shards.obs([column, "split"]).filter(pl.col("split") == "train")[column].cast(pl.String)
        # A cell of several labels counts for each.
        counts = Counter(label for held in cells for label in held.split(" || "))
        table = text.partition(f"| {column} (")[2].partition("\n\n")[0]
        rows = re.findall(r"^\| (.+) \| (\d+) \| [\d.]+% \|$", table, re.MULTILINE)
        assert {label: int(n) for label, n in rows} == counts
        assert len(cells) == n_train < 300
    assert "have seen the training cells above and no others" in text


def test_a_control_is_not_said_to_have_seen_cells(
    toy: type[Model], fresh_workspace: Workspace, fresh_manifest: Manifest
) -> None:
    made = train("toy", fresh_manifest, workspace=fresh_workspace, is_untrained=True)
    text = made.artifact.text()
    assert "It took no training step" in text
    assert "have seen" not in text


def test_labels_of_the_corpus_that_training_cells_lack_are_named(
    trained: Artifact, fresh_manifest: Manifest
) -> None:
    obs = pl.DataFrame({"cell_type": ["a", "a || b"], "donor_id": ["d", "d"], "dataset_id": ["x", "x"]})
    manifest = fresh_manifest.document.model_copy(update={"composition": {"cell_type": {"a": 2}}})
    names = ["a", "z", *(f"l{j:02}" for j in range(12)), "b"]
    types = pl.DataFrame({"value": names, "n_cells": range(15, 0, -1)})

    def made(types: pl.DataFrame | None) -> str:
        return card("mine", trained.header, manifest, trained.load().__class__, METRICS, obs=obs, types=types)

    lacking = "z, l00, l01, l02, l03, l04, l05, l06, l07, l08 and 3 more."
    assert f"Training cells have 2 of the 15 labels of cell_type in the corpus; they lack {lacking}" in made(
        types
    )
    assert "Training cells have 2 of the 2 labels of cell_type in the corpus.\n" in made(
        types.filter(pl.col("value").is_in(["a", "b"]))
    )
    assert "in the corpus" not in made(None).partition("## Limits")[2]


def test_the_corpus_is_counted_when_a_model_is_made(trained: Artifact, fresh_manifest: Manifest) -> None:
    n = len(fresh_manifest.corpus().value_counts("cell_type"))
    assert re.search(rf"Training cells have \d+ of the {n} labels of cell_type in the corpus", trained.text())


def test_the_card_of_a_model_without_steps_speaks_of_none(
    fresh_workspace: Workspace, fresh_manifest: Manifest
) -> None:
    made = train("pca", fresh_manifest, workspace=fresh_workspace, preset="tiny").artifact
    text = made.text()
    for word in ("epoch", "patience", "alidation loss", "validation reads", "parameters | 0"):
        assert word not in text
    assert re.search(r"\| stores \| [\d,]+ numbers, found in passes over cells", text)
    assert re.search(r"preset tiny, [\d,]+ stored numbers, ", lines(made)["of"])
    control = train("pca", fresh_manifest, workspace=fresh_workspace, preset="tiny", is_untrained=True)
    assert "It knows of its training cells: which genes vary, and their means" in control.artifact.text()
    said = lines(control.artifact)
    assert said["made for"].startswith("random-n300-s0@v1, ")
    assert "trained on" not in said


def test_the_size_of_a_batch_of_few_cells_is_told(
    fresh_workspace: Workspace, fresh_manifest: Manifest
) -> None:
    plan = FitPlan(Path(), budget=Budget(max_steps=1), accelerator="cpu")
    made = train(
        "masked",
        fresh_manifest,
        workspace=fresh_workspace,
        preset="tiny",
        plan=plan,
        changes={"batch_size": 5000},
    ).artifact
    n = made.header.trained_on.n_cells["train"]
    assert (
        f"| cells of a step | {n}: the training cells are fewer than the 5,000 of batch_size |" in made.text()
    )
    assert lines(made)["took"].startswith("1 step, ")


def test_the_first_and_the_last_loss_are_told(trained: Artifact) -> None:
    path = trained.path / "metrics.parquet"
    table = trained.metrics()
    table.with_columns(
        pl.when((pl.col("split") == "train") & (pl.col("step") == 2))
        .then(2.75)
        .otherwise("value")
        .alias("value")
    ).write_parquet(path)
    assert lines(trained)["loss"] == "train 2 → 2.75, val 2.5 → 1.75, weights of step 2, the best: val 1.75"


def test_the_parts_of_the_validation_loss_are_told_and_which_no_cell_had(
    fresh_workspace: Workspace, fresh_manifest: Manifest
) -> None:
    said: list[str] = []
    for n_cells in (1, 20):
        plan = FitPlan(Path(), accelerator="cpu", budget=Budget(max_steps=2), validation_cells=n_cells)
        made = train(
            "contrastive",
            fresh_manifest,
            workspace=fresh_workspace,
            preset="tiny",
            plan=plan,
            say=said.append,
        )
        text = (made.artifact.path / "README.md").read_text()
        is_lacking = n_cells == 1
        assert ("No triplet among 1 validation cell: the loss kept is" in text) == is_lacking
        [measured] = re.findall(r"At step 2 it also measured: (.+)\.", text)
        assert measured.startswith("reconstruction ")
        assert ("contrast" not in measured) == is_lacking
    assert [line for line in said if "triplet" in line] == [
        "no triplet among 1 validation cell: the loss kept is reconstruction only"
    ]
