"""The model card says of the training cells what is true of them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from curate.train.artifact.train import train
from curate.train.fit.plan import Budget, FitPlan
from curate.train.shards import Shards

if TYPE_CHECKING:
    from curate.manifests.manifest import Manifest
    from curate.train.artifact import Artifact
    from curate.train.models.model import Model
    from curate.workspace import Workspace


def test_the_labels_counted_are_those_of_training_cells_alone(
    trained: Artifact, fresh_workspace: Workspace
) -> None:
    card = (trained.path / "README.md").read_text()
    shards = Shards.open(fresh_workspace.shards_path / "random-n300-s0" / "v0001")
    n_train = shards.n_cells("train")
    assert f"The {n_train} training cells, by their labels:" in card
    for column in ("cell_type", "assay"):
        texts = shards.obs([column, "split"]).filter(pl.col("split") == "train")[column].cast(pl.String)
        # A cell of several labels counts for each.
        counts = Counter(label for text in texts for label in text.split(" || "))
        table = card.partition(f"| {column} (")[2].partition("\n\n")[0]
        rows = re.findall(r"^\| (.+) \| (\d+) \| [\d.]+% \|$", table, re.MULTILINE)
        assert {label: int(n) for label, n in rows} == counts
        assert len(texts) == n_train < 300
    assert "have seen the training cells above and no others" in card


def test_a_control_is_not_said_to_have_seen_cells(
    toy: type[Model], fresh_workspace: Workspace, fresh_manifest: Manifest
) -> None:
    made = train("toy", fresh_manifest, workspace=fresh_workspace, is_untrained=True)
    card = (made.artifact.path / "README.md").read_text()
    assert "It took no training step" in card
    assert "have seen" not in card


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
        card = (made.artifact.path / "README.md").read_text()
        is_lacking = n_cells == 1
        assert ("No triplet among 1 validation cell: the loss kept is" in card) == is_lacking
        [measured] = re.findall(r"At step 2 it also measured: (.+)\.", card)
        assert measured.startswith("reconstruction ")
        assert ("contrast" not in measured) == is_lacking
    assert [line for line in said if "triplet" in line] == [
        "no triplet among 1 validation cell: the loss kept is reconstruction only"
    ]
