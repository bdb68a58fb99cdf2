"""Task documents: what one may say, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

import curate.task
from curate.errors import TaskError
from curate.task import KINDS, TaskDocument, json_schema

SCHEMA_PATH = Path(curate.task.__file__).parent / "task-1.schema.json"
REFERENCE = '[reference]\nh5ad = "a.h5ad"\n'


def write(folder: Path, text: str, *, kind: str = "classification") -> Path:
    path = folder / "mine.toml"
    path.write_text(f'name = "mine"\nkind = "{kind}"\n{text}')
    return path


def test_a_reference_is_all_that_a_task_must_describe(tmp_path: Path) -> None:
    task = TaskDocument.load(write(tmp_path, REFERENCE))
    assert task.reference is not None
    assert task.beside("a.h5ad") == str(tmp_path / "a.h5ad")
    assert task.beside("s3://bucket/a") == "s3://bucket/a"
    assert task.split.described() == {"by": "cell", "train_fraction": 0.5, "seed": 0}
    assert (task.exclude.reference, task.exclude.by) == ("all", ("joinid", "exact", "near"))
    assert task.wanted.descendants


def test_a_split_by_values_is_described_by_them(tmp_path: Path) -> None:
    rule = '[split]\nby = "batch"\ntrain = ["p1", "p2"]\n'
    split = TaskDocument.load(write(tmp_path, REFERENCE + rule)).split
    assert split.described() == {"by": "batch", "train": ["p1", "p2"], "held_out": "all others"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"it describes nothing: name a reference \(h5ad or census\), or cell_types, tissues"),
        ("[wanted]\ndescendants = false\n", "it describes nothing"),
        ('[wanted]\ncell_type = ["T cell"]', r"unknown key 'wanted\.cell_type'; did you mean 'cell_types'"),
        (REFERENCE + 'labels = "x"', r"unknown key 'reference\.labels'; did you mean 'label_column'|unknown"),
        ("[refrence]\n", "unknown key 'refrence'; did you mean 'reference'"),
        ("[reference]\n", "reference: name one of h5ad and census"),
        ('[reference]\nh5ad = "a"\ncensus = {uri = "b"}', "reference: name one of h5ad and census"),
        ('[reference]\ncensus = {uri = "b"}', "a census goes with `where`"),
        ('[reference]\ncensus = {}\nwhere = "nnz > 3"', "census names a release or a uri"),
        (
            '[reference]\ncensus = {uri = "b"}\nwhere = "nnz > 3"\nembedding_key = "X_pca"',
            "embedding_key goes with h5ad",
        ),
        (REFERENCE + 'where = "nnz >"', r"reference\.where: filter 'nnz >' does not parse"),
        (REFERENCE + '[exclude]\nwhere = "nnz >"', r"exclude\.where: filter 'nnz >' does not parse"),
        (
            REFERENCE + '[exclude]\nreference = "some"',
            r"exclude\.reference: Input should be 'all'",
        ),
        (REFERENCE + "[split]\ntrain_fraction = 1.5", r"split\.train_fraction: .* less than or equal to 1"),
        (REFERENCE + '[split]\ntrain = ["a"]', "split: train lists values of an obs column; name the column"),
        (
            REFERENCE + '[split]\nby = "b"\ntrain = ["a"]\nseed = 1',
            "split: name train, or train_fraction and seed, not both",
        ),
        (REFERENCE + '[split]\nby = "b"\nheld_out = ["a"]', "split: held_out goes with train"),
        (
            REFERENCE + '[split]\nby = "b"\ntrain = ["a"]\nheld_out = ["a"]',
            "split: 'a' is in train and in held_out",
        ),
        ('[wanted]\ncell_types = ["T cell"]\n[split]\nseed = 3', "split goes with reference"),
    ],
)
def test_a_document_that_says_nothing_or_the_wrong_thing_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        TaskDocument.load(write(tmp_path, text))


def test_a_kind_that_is_none_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="kind: Input should be 'classification', 'integration' or 'pert"):
        TaskDocument.load(write(tmp_path, REFERENCE, kind="clasification"))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("integration", r"a task of integration needs batch_column under \[reference\]"),
        ("perturbation", r"a task of perturbation needs perturbation_column under \[reference\]"),
    ],
)
def test_a_kind_asks_for_the_columns_it_is_about(tmp_path: Path, kind: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        TaskDocument.load(write(tmp_path, REFERENCE, kind=kind))


def test_a_task_of_perturbation_needs_its_controls(tmp_path: Path) -> None:
    text = REFERENCE + 'perturbation_column = "gene"\n'
    with pytest.raises(TaskError, match="needs control"):
        TaskDocument.load(write(tmp_path, text, kind="perturbation"))
    assert TaskDocument.load(write(tmp_path, text + 'control = ["ntc"]', kind="perturbation")).kind in KINDS


def test_a_file_that_is_missing_or_no_toml_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"no task '.*absent\.toml': No such file or directory; name a TOML"):
        TaskDocument.load(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(TaskError, match="is not TOML"):
        TaskDocument.load(tmp_path / "bad.toml")


def test_the_published_schema_is_that_of_the_model() -> None:
    # To write it anew: SCHEMA_PATH.write_text(json.dumps(json_schema(), indent=2) + "\n")
    assert json.loads(SCHEMA_PATH.read_text()) == json_schema()


def test_the_schema_takes_what_the_model_takes() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA_PATH.read_text()))
    document = {"name": "mine", "kind": "classification", "wanted": {"cell_types": ["T cell"]}}
    validator.validate(document)
    with pytest.raises(jsonschema.ValidationError, match="'extra' was unexpected"):
        validator.validate(document | {"extra": 1})
    with pytest.raises(jsonschema.ValidationError, match="is not one of"):
        validator.validate(document | {"kind": "regression"})
