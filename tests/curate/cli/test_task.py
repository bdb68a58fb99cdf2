"""`curate task`, and `curate build --task`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from click.testing import CliRunner

from curate.build.task.halves import split_halves
from curate.cli import curate
from curate.errors import CurateError, TaskError
from curate.task import SplitRule, TaskDocument, json_schema

if TYPE_CHECKING:
    from click.testing import Result

LABELS = {"T cell": "CL:0000084", "B cell": "CL:0000236", "my cells": None, "mast cell": "CL:0000097"}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(curate, [str(argument) for argument in arguments])


@pytest.fixture
def reference(tmp_path: Path, atlas_workspace: Path) -> Path:
    """80 cells of the genes of the atlas; those called mast cells are all in the held-out half."""
    import anndata as ad
    import pandas as pd

    names = [f"cell-{i}" for i in range(80)]
    train = split_halves(SplitRule(), pl.Series(names), None).train
    labels = np.array(["T cell", "B cell", "my cells"])[np.arange(80) % 3]
    labels[~train] = "mast cell"
    genes = pl.read_parquet(atlas_workspace / "corpora/demo/genes.parquet")["feature_id"].to_list()
    counts = np.random.default_rng(0).poisson(1.0, (80, len(genes))).astype(np.float32)
    obs = pd.DataFrame({"cell_type": labels, "donor_id": "someone"}, index=names)
    path = tmp_path / "reference.h5ad"
    ad.AnnData(sp.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=genes)).write_h5ad(path)
    return path


@pytest.fixture
def task(tmp_path: Path) -> Path:
    path = tmp_path / "b-cells.toml"
    path.write_text(
        'name = "b-cells"\nkind = "classification"\n[wanted]\ncell_types = ["B cell", "hepatocyte"]\n'
        'tissues = ["blood", "moon"]\n[exclude]\nwhere = "nnz < 10"\n'
    )
    return path


def test_init_writes_a_document_with_the_labels_of_the_training_half(tmp_path: Path, reference: Path) -> None:
    path = tmp_path / "tasks" / "mine.toml"
    path.parent.mkdir()
    result = run("task", "init", path, "--reference", reference)
    assert result.exit_code == 0, result.output
    text = path.read_text()
    document = TaskDocument.load(path)
    assert document.reference is not None
    assert Path(document.beside(str(document.reference.h5ad))).resolve() == reference.resolve()
    assert document.reference.terms == {"T cell": "CL:0000084", "B cell": "CL:0000236"}
    assert '# "my cells" = "CL:…"' in text
    assert "mast" not in text
    jsonschema.Draft202012Validator(json_schema()).validate(tomllib.loads(text))
    with pytest.raises(TaskError, match="is there already"):
        curate.main(["task", "init", str(path)], standalone_mode=False)


@pytest.mark.parametrize("kind", ["classification", "integration", "perturbation"])
def test_init_writes_a_document_of_every_kind_that_loads(tmp_path: Path, reference: Path, kind: str) -> None:
    for name, options in (("described", []), ("referred", ["--reference", reference])):
        path = tmp_path / f"{name}.toml"
        result = run("task", "init", path, "--kind", kind, *options)
        assert result.exit_code == 0, result.output
        assert TaskDocument.load(path).kind == kind
        assert TaskDocument.load(path).name == name


def test_init_names_the_nearest_column(tmp_path: Path, reference: Path) -> None:
    arguments = ["task", "init", str(tmp_path / "a.toml"), "--reference", str(reference)]
    with pytest.raises(TaskError, match=r"no obs column 'donor' \(--split-by\); did you mean 'donor_id'"):
        curate.main([*arguments, "--split-by", "donor"], standalone_mode=False)
    assert not (tmp_path / "a.toml").exists()


def test_show_tells_what_matches_and_what_is_absent(atlas_workspace: Path, task: Path) -> None:
    result = run("-C", atlas_workspace, "task", "show", task, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    counts = {each["label"]: (each["n_exact"], each["n_by_descent"]) for each in report["types"]}
    assert counts["hepatocyte"] == (0, 0)
    assert counts["B cell"][0] == 0
    assert counts["B cell"][1] > report["n_matching"] > 0
    assert report["absent"] == ["hepatocyte (CL:0000182)", "tissue 'moon'"]
    assert report["excluded"].keys() == {"task where"}
    shown = run("-C", atlas_workspace, "task", "show", task).stdout
    assert "hepatocyte (CL:0000182), tissue 'moon'" in shown
    assert f"{report['n_matching']:,} cells" in shown


def test_show_brings_the_reference_into_the_space_of_an_embedding(
    atlas_workspace: Path, reference: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nkind = "classification"\n[reference]\nh5ad = "reference.h5ad"\n')
    result = run("-C", atlas_workspace, "task", "show", path, "--embedding", "pca", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["n_vectors"] == report["reference"]["n_train"]
    assert report["reference"]["n_train"] + report["reference"]["n_held_out"] == 80
    assert (report["genes"]["n_in_model"], report["genes"]["n_model"]) == (100, 100)
    assert {label: each["term_id"] for label, each in report["labels"].items()} == {
        label: term for label, term in LABELS.items() if label != "mast cell"
    }
    assert "unknown to the Cell Ontology" in result.stderr
    shown = run("-C", atlas_workspace, "task", "show", path, "--embedding", "pca")
    assert "cells of the training half in pca" in shown.stdout


def test_the_schema_is_printed() -> None:
    assert json.loads(run("task", "schema").stdout) == json_schema()


def test_build_takes_the_exclusions_of_a_task(fresh_workspace: Path, task: Path) -> None:
    arguments = ["-C", fresh_workspace, "build", "--strategy", "random", "--fraction", "0.1", "--task", task]
    explained = run(*arguments, "--explain", "--json")
    assert explained.exit_code == 0, explained.output
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    shown = run("-C", fresh_workspace, "manifests", "show", "random-0.1-s0")
    assert "b-cells, classification, decides by its exclusions only" in shown.stdout
    assert "task where where=nnz < 10" in shown.stdout
    verified = run("-C", fresh_workspace, "manifests", "verify", "random-0.1-s0")
    assert verified.exit_code == 0, verified.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell_types": ["B cel"]}, r"wanted.cell_types: 'B cel' is no term .* did you mean 'B cell'"),
        ({"tissues": ["moon"]}, r"none of the [\d,]+ cells to choose from of corpus demo matches"),
    ],
)
def test_what_cannot_be_resolved_is_one_line(
    atlas_workspace: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    wanted = {"cell_types": ["B cell"]} | change
    lines = "".join(f"{key} = {json.dumps(values)}\n" for key, values in wanted.items())
    path = tmp_path / "mine.toml"
    path.write_text(f'name = "mine"\nkind = "classification"\n[wanted]\n{lines}')
    with pytest.raises(CurateError, match=message) as raised:
        curate.main(["-C", str(atlas_workspace), "task", "show", str(path)], standalone_mode=False)
    assert "\n" not in str(raised.value)
