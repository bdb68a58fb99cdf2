"""Trained models on disk: found, verified, listed, damaged."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from curate.documents import canonical_digest, file_digest
from curate.errors import ModelError
from curate.train.artifact import Artifact, artifacts, find_model
from curate.train.artifact.document import Asked, RunDocument
from curate.train.models.files import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.workspace import Workspace


def test_a_model_is_found_by_name_path_and_id(trained: Artifact, fresh_workspace: Workspace) -> None:
    for ref in (trained.name, trained.id, trained.id[:6], str(trained.path), trained.path / "run.json"):
        assert find_model(ref, fresh_workspace).path == trained.path


def test_the_nearest_name_is_offered(trained: Artifact, fresh_workspace: Workspace) -> None:
    with pytest.raises(ModelError, match=rf"no trained model named 'toy-random-n300'.*{trained.name}"):
        find_model("toy-random-n300", fresh_workspace)


def test_without_any_model_it_is_said_how_to_train_one(fresh_workspace: Workspace) -> None:
    with pytest.raises(ModelError, match=r"no trained model named 'x' .*; train one with `curate train`"):
        find_model("x", fresh_workspace)


def test_a_folder_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no trained model \(run.json\)"):
        find_model(tmp_path)


@pytest.mark.parametrize("ref", ["..", ".partial", "nothing/here"])
def test_a_path_that_leads_nowhere_is_refused(
    trained: Artifact, fresh_workspace: Workspace, ref: str
) -> None:
    with pytest.raises(ModelError, match="holds no trained model"):
        find_model(ref, fresh_workspace)


@pytest.mark.parametrize("name", ["weights.safetensors", "README.md", "metrics.parquet", "config.json"])
def test_verify_names_the_file_that_changed(trained: Artifact, name: str) -> None:
    path = trained.path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=rf"{re.escape(name)} \({len(content):,} bytes\) has changed"):
        trained.verify()
    path.unlink()
    with pytest.raises(ModelError, match=rf"{re.escape(name)} is missing"):
        trained.verify()


def test_verify_recomputes_the_id(trained: Artifact) -> None:
    path = trained.path / "run.json"
    content = json.loads(path.read_text())
    content["asked"]["seed"] = 7
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=r"run.json is damaged: its id is .*, recomputed as"):
        Artifact.open(trained.path).verify()


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content["cost"].update(seconds=0.5),
        lambda content: content["trained_on"]["n_cells"].update(train=1_000_000),
        lambda content: content.update(best_loss=float("nan")),
        lambda content: content.update(digest="0" * 64),
    ],
    ids=["cost", "cells", "a loss that is no number", "digest"],
)
def test_verify_finds_whatever_was_changed_in_the_run(
    trained: Artifact, edit: Callable[[dict[str, Any]], None]
) -> None:
    path = trained.path / "run.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=r"run.json has changed since it was written"):
        Artifact.open(trained.path).verify()


def test_verify_says_that_a_run_without_a_digest_cannot_be_checked(trained: Artifact) -> None:
    edited(trained, digest="")
    with pytest.raises(ModelError, match=r"run.json holds no digest of itself"):
        Artifact.open(trained.path).verify()


def test_what_is_no_part_of_a_model_is_named(trained: Artifact) -> None:
    assert trained.others == []
    (trained.path / "notes.txt").touch()
    (trained.path / "sub").mkdir()
    trained.verify()
    assert trained.others == ["notes.txt", "sub"]


def config_edited(artifact: Artifact, **changed: Any) -> None:
    path = artifact.path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed, indent=2))


@pytest.mark.parametrize(
    "settings", [{"n_dims": 5, "rate": 0.25}, {"n_dims": 6, "rate": 0.5}], ids=["a rate", "a shape"]
)
def test_a_config_that_was_edited_is_named_before_anything_is_made_of_it(
    trained: Artifact, tmp_path: Path, settings: dict[str, Any]
) -> None:
    config_edited(trained, settings=settings)
    with pytest.raises(ModelError, match=r"config.json \([\d,]+ bytes\) has changed .* that run.json rec"):
        trained.load()
    bare = shutil.copytree(trained.path, tmp_path / "bare", ignore=shutil.ignore_patterns("run.json"))
    with pytest.raises(ModelError, match=r"config.json has changed since it was written: its digest"):
        load(bare)


def edited(artifact: Artifact, **changed: Any) -> None:
    path = artifact.path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def test_a_format_that_is_not_known_is_refused(trained: Artifact) -> None:
    edited(trained, format=2)
    with pytest.raises(ModelError, match="holds a trained model of format 2, this curate reads 1"):
        Artifact.open(trained.path)


def test_a_key_that_is_not_known_is_refused(trained: Artifact) -> None:
    edited(trained, code="import os")
    with pytest.raises(ModelError, match=r"run.json is damaged at code: Extra inputs"):
        Artifact.open(trained.path)


def test_truncated_weights_are_refused_in_one_line(trained: Artifact) -> None:
    path = trained.path / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"weights.safetensors \([\d,]+ bytes\) is not the file") as caught:
        trained.load()
    assert "\n" not in str(caught.value)


def test_weights_cut_short_before_their_checksum_was_taken_are_refused_too(trained: Artifact) -> None:
    path, config = trained.path / "weights.safetensors", trained.path / "config.json"
    path.write_bytes(path.read_bytes()[:-100])
    content = json.loads(config.read_text())
    content["files"][path.name] = file_digest(path)
    write_sealed(config, content)
    with pytest.raises(ModelError, match=r"weights.safetensors does not fit the model"):
        load(trained.path)


def test_genes_of_another_model_are_refused(trained: Artifact) -> None:
    path, config = trained.path / "genes.parquet", trained.path / "config.json"
    pl.read_parquet(path).reverse().write_parquet(path)
    content = json.loads(config.read_text())
    content["files"][path.name] = file_digest(path)
    write_sealed(config, content)
    with pytest.raises(ModelError, match=r"genes.parquet does not hold the genes of the model"):
        load(trained.path)


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    held = {key: value for key, value in content.items() if key != "digest"}
    path.write_text(json.dumps(held | {"digest": canonical_digest(held)}))


class Payload:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["weights.pt", "model.pkl", "weights.safetensors"])
def test_a_pickle_in_the_folder_is_never_opened(
    trained: Artifact, fresh_workspace: Workspace, tmp_path: Path, name: str
) -> None:
    trap = tmp_path / "sprung"
    pickle.loads(pickle.dumps(Payload(tmp_path / "works")))
    assert (tmp_path / "works").exists()
    (trained.path / name).write_bytes(pickle.dumps(Payload(trap)))
    if name == "weights.safetensors":
        with pytest.raises(ModelError, match="is not the file that was written"):
            trained.load()
    else:
        find_model(trained.name, fresh_workspace).load()
    assert not trap.exists()


def test_a_list_tells_of_models_that_cannot_be_read(trained: Artifact, fresh_workspace: Workspace) -> None:
    copy = fresh_workspace.models_path / "copy"
    shutil.copytree(trained.path, copy)
    (copy / "run.json").write_text("{}")
    broken, whole = artifacts(fresh_workspace.models_path)
    assert isinstance(whole, Artifact)
    assert whole.id == trained.id
    assert "copy holds a trained model of format None" in str(broken)


def test_a_copied_folder_opens_anywhere(trained: Artifact, tmp_path: Path) -> None:
    copy = Artifact.open(shutil.copytree(trained.path, tmp_path / "elsewhere"))
    copy.verify()
    assert copy.id == trained.id


def test_the_id_is_of_what_decides_and_stays_what_it_is() -> None:
    asked = Asked.model_validate(
        {
            "model": "pca",
            "settings": {"n_dims": 50},
            "manifest": "a" * 64,
            "genes": "b" * 64,
            "shards_seed": 0,
            "seed": 0,
            "task": None,
            "is_untrained": False,
            "is_weighted": False,
            "budget": {},
            "precision": "32",
            "devices": 1,
            "validation_steps": None,
            "validation_cells": 20_000,
        }
    )
    assert asked.id == asked.model_copy().id
    assert asked.id[:12] == "aadfe831cdc1"
    taken = asked.model_copy(update={"checkpoint_step": 500})
    assert taken.id != asked.id
    assert taken.whole == asked
    assert "files" not in RunDocument.model_fields["asked"].annotation.model_fields  # type: ignore[union-attr]
