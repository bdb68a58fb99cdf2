"""Cells that training saw are not evaluated on unnoticed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anndata
import numpy as np
import polars as pl
import pytest

from curate.errors import LeakageError
from curate.evaluate.evaluate import evaluate
from curate.evaluate.leakage import Leaked, guard, leaked
from curate.evaluate.open import open_data
from curate.evaluate.subject import trained
from curate.evaluate.tasks.classify import ClassifySettings

if TYPE_CHECKING:
    from pathlib import Path

    from curate.evaluate.data import EvaluationData
    from curate.manifests.manifest import Manifest
    from curate.train.artifact import Artifact
    from curate.workspace import Workspace

SETTINGS = ClassifySettings(probes=("centroid",), label_column="tissue")


def test_other_cells_pass(outside: Path, manifest: Manifest) -> None:
    data = open_data(str(outside))
    found, said = guard(data, [manifest])
    assert (found.n_cells, said) == (data.n_cells, "none")


def test_training_cells_are_found_in_a_file_whatever_they_are_called(
    half_seen: Path, manifest: Manifest
) -> None:
    found = leaked(open_data(str(half_seen)), manifest)
    assert found.n_seen == 40
    assert int(found.cells.sum()) == 40


def test_they_are_refused_with_what_to_do(half_seen: Path, manifest: Manifest) -> None:
    with pytest.raises(
        LeakageError, match=r"40 cells of half-seen are training or .* --drop-shared"
    ) as caught:
        guard(open_data(str(half_seen)), [manifest])
    assert "\n" not in str(caught.value)


def test_allowed_they_mark_every_result(half_seen: Path, workspace: Workspace, artifact: Artifact) -> None:
    subject = trained(artifact, workspace=workspace)
    table = evaluate("classify", [subject], open_data(str(half_seen)), SETTINGS, allow_leakage=True)
    of_model = table.filter(pl.col("kind") == "trained")
    assert of_model["leakage"].unique().to_list() == ["allowed: 40 cells of random-n400-s0@v1"]
    assert table.filter(pl.col("kind") == "baseline")["leakage"].unique().to_list() == ["none"]


def test_dropped_the_others_are_evaluated(half_seen: Path, manifest: Manifest) -> None:
    data = open_data(str(half_seen))
    gone = leaked(data, manifest).cells
    found, said = guard(data, [manifest], drop=True)
    assert said == "dropped: 40 cells"
    assert found.obs_names.to_list() == data.obs_names.filter(pl.Series(~gone)).to_list()
    assert data.notices == ["40 cells of half-seen that training saw are left out"]


def test_where_copies_may_be_left_nothing_is_dropped(half_seen: Path, manifest: Manifest) -> None:
    held = anndata.read_h5ad(half_seen)
    copies = {str(number): held for number in range(9)}
    anndata.concat(copies, index_unique="-", merge="same").write_h5ad(half_seen)
    data = open_data(str(half_seen))
    assert not leaked(data, manifest).is_all
    with pytest.raises(LeakageError, match=r"8 copies or more of a training cell .* leave its copies out"):
        guard(data, [manifest], drop=True)


def test_what_could_not_be_told_is_said_in_every_result(outside: Path, manifest: Manifest) -> None:
    held = anndata.read_h5ad(outside)
    # Of a few genes one cell is as another.
    held[:, :40].copy().write_h5ad(outside)
    data = replace(open_data(str(outside)), min_overlap=0.01)
    n_untold = leaked(data, manifest).n_untold
    assert n_untold > 0
    said = f"{n_untold} of {data.n_cells} cells could not be told from training cells"
    assert guard(data, [manifest])[1] == said
    assert len(data.notices) == 1


def test_of_several_models_the_most_that_could_not_be_told_is_said(outside: Path, manifest: Manifest) -> None:
    data = open_data(str(outside))
    untold = iter((5, 2))

    def look(data: EvaluationData, manifest: Manifest) -> Leaked:
        return Leaked(np.zeros(data.n_cells, np.bool_), 0, n_untold=next(untold), n_compared=9)

    said = guard(data, [manifest, manifest], look=look)[1]
    assert said == "5 of 9 cells could not be told from training cells"


def test_a_manifest_s_own_test_cells_pass_and_its_training_cells_do_not(
    workspace: Workspace, manifest: Manifest
) -> None:
    test = open_data(f"manifest:{manifest.name}", workspace=workspace)
    assert guard(test, [manifest])[1] == "none"
    seen = open_data(f"manifest:{manifest.name}:train", workspace=workspace)
    assert leaked(seen, manifest).n_seen == seen.n_cells


def test_cells_of_a_query_are_known_by_joinid_and_their_copies_by_counts(
    workspace: Workspace, manifest: Manifest
) -> None:
    data = open_data("census:soma_joinid >= 0", workspace=workspace)
    held = manifest.held_cells
    found = leaked(data, manifest)
    assert data.identity is not None
    expected = np.isin(data.identity["soma_joinid"].to_numpy(), held.soma_joinid[held.split < 2])
    np.testing.assert_array_equal(found.cells & data.obs["is_primary_data"].to_numpy(), expected)
    # The atlas holds some cells twice, once not primary.
    copies = open_data("census:is_primary_data == False", workspace=workspace)
    assert int((found.cells & ~expected).sum()) == leaked(copies, manifest).n_seen > 0


def test_cells_of_another_census_are_compared_with_nothing(workspace: Workspace, manifest: Manifest) -> None:
    data = replace(open_data("census:soma_joinid < 50", workspace=workspace), census="another")
    with pytest.raises(
        LeakageError, match=r"could not be compared .* it is of another Census than random-n400"
    ):
        guard(data, [manifest])
    assert guard(data, [manifest], allow=True)[1] == "not compared with random-n400-s0@v1"


def test_of_some_cells_of_a_store_only_these_count(workspace: Workspace, manifest: Manifest) -> None:
    held = manifest.held_cells
    store = workspace.settings.census.uri
    assert store is not None
    corpus = workspace.corpus()

    def named(joinids: np.ndarray) -> list[str]:
        rows = np.searchsorted(corpus.joinids(), joinids)
        return (
            corpus.columns(["observation_joinid"], rows=rows)["observation_joinid"].cast(pl.String).to_list()
        )

    unseen, seen = (
        named(held.soma_joinid[held.split == 2][:30]),
        named(held.soma_joinid[held.split == 0][:20]),
    )
    clean = open_data(str(store), where=f"observation_joinid in {unseen}")
    assert leaked(clean, manifest).n_seen == 0
    both = open_data(str(store), where=f"observation_joinid in {unseen + seen}")
    kept, said = guard(both, [manifest], drop=True)
    assert set(kept.obs["observation_joinid"].cast(pl.String)) == set(unseen)
    assert said.startswith("dropped: 20 cells")


def test_without_the_corpus_nothing_is_taken_for_granted(
    outside: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(manifest), "find_corpus", lambda self: None)
    data = open_data(str(outside))
    with pytest.raises(LeakageError, match=r"could not be compared .* is not at hand; --allow-leakage"):
        guard(data, [manifest])
    assert guard(data, [manifest], allow=True)[1] == "not compared with random-n400-s0@v1"
