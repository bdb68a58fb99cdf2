"""manifest.json: its schema, its digest, and what a reader refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import pytest
from pydantic import ValidationError

from curate.errors import ManifestError
from curate.manifests.document import SelectionRecord, SpikeInRecord, header_digest, json_schema
from curate.manifests.manifest import Manifest
from curate.manifests.reading import parse_document

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.manifests.conftest import Write

SCHEMA_PATH = Path(__file__).parents[2] / "manifests" / "manifest-1.schema.json"


def edited(manifest: Manifest, edit: Callable[[dict[str, Any]], object], *, seal: bool = True) -> bytes:
    """Return manifest.json with a change, and with the digest that belongs to it unless `seal` is false."""
    content = json.loads(manifest.document.to_bytes())
    edit(content)
    if seal:
        content["digest"] = header_digest(content)
    return json.dumps(content).encode()


def test_the_published_schema_is_that_of_the_model() -> None:
    # To write it anew: SCHEMA_PATH.write_text(json.dumps(json_schema(), indent=2) + "\n")
    assert json.loads(SCHEMA_PATH.read_text()) == json_schema()


def test_a_written_manifest_satisfies_the_schema(write: Write) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA_PATH.read_text()))
    content = json.loads(Path(write().folder, "manifest.json").read_bytes())
    validator.validate(content)
    with pytest.raises(jsonschema.ValidationError, match="'extra' was unexpected"):
        validator.validate(content | {"extra": 1})
    with pytest.raises(jsonschema.ValidationError, match="'corpus' is a required property"):
        validator.validate({key: value for key, value in content.items() if key != "corpus"})


def test_a_document_is_read_as_it_was_written(write: Write) -> None:
    document = write().document
    assert parse_document(document.to_bytes(), where="manifest.json") == document


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda content: content.update(format=2),
            r"format 2 is later than this curate reads \(1\); upgrade",
        ),
        (lambda content: content.update(format="1"), "format '1' is not a manifest format"),
        (lambda content: content.pop("format"), "format None is not a manifest format"),
        (lambda content: content.update(nmae="x"), "unknown key 'nmae'; did you mean 'name'"),
        (
            lambda content: content["selection"].update(sed=1),
            "unknown key 'selection.sed'; did you mean 'seed'",
        ),
        (
            lambda content: content["splits"].update(ratio={}),
            "unknown key 'splits.ratio'; did you mean 'ratios'",
        ),
        (lambda content: content.pop("corpus"), "corpus: Field required"),
        (lambda content: content.update(n_cells=-1), "n_cells: Input should be greater than or equal to 0"),
        (lambda content: content.update(n_cells="86"), "n_cells: Input should be a valid integer"),
        (lambda content: content.update(id="abc"), "id: String should match pattern"),
        (lambda content: content["splits"]["ratios"].update(train=1.5), "ratios.train: Input should be less"),
    ],
)
def test_a_document_of_another_form_is_refused_with_a_reason(
    write: Write, edit: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        parse_document(edited(write(), edit), where="manifest.json")


def test_an_unknown_key_inside_a_list_is_named_with_its_place(write: Write) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["exclusions"] = [{"reason": "overlap", "n_cells": 3, "parameters": {}, "reasn": ""}]

    with pytest.raises(ManifestError, match=r"unknown key 'exclusions\.0\.reasn'; did you mean 'reason'"):
        parse_document(edited(write(), edit), where="manifest.json")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not JSON"),
        (b'{"format": 1', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1, 2]", "not a JSON object"),
    ],
)
def test_bytes_that_are_no_document_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        parse_document(data, where="manifest.json")


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content.update(name="another"),
        lambda content: content.update(created="2020-01-01T00:00:00Z"),
        lambda content: content.update(n_donors=13),
        lambda content: content["software"].update(curate="9.9"),
        lambda content: content.pop("exclusions"),
    ],
)
def test_a_document_that_was_changed_after_it_was_written_is_refused(
    write: Write, edit: Callable[[dict[str, Any]], object]
) -> None:
    with pytest.raises(ManifestError, match="was changed after it was written"):
        parse_document(edited(write(), edit, seal=False), where="manifest.json")


def test_a_missing_document_is_said(write: Write) -> None:
    manifest = write()
    Path(manifest.folder, "manifest.json").unlink()
    with pytest.raises(ManifestError, match=r"has no manifest\.json; restore it from a copy"):
        Manifest.open(manifest.folder)


def test_parameters_become_what_json_knows() -> None:
    record = SelectionRecord(
        strategy="sketch",
        parameters={"k": np.int64(7), "alpha": np.float64(0.5), "by": ("a", "b"), "deep": {"n": np.int32(1)}},
    )
    assert record.parameters == {"k": 7, "alpha": 0.5, "by": ["a", "b"], "deep": {"n": 1}}
    assert type(record.parameters["k"]) is int


def test_a_parameter_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValidationError, match="Out of range float values are not JSON compliant"):
        SelectionRecord(strategy="sketch", parameters={"alpha": float("nan")})


def test_a_fraction_above_one_is_refused() -> None:
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        SpikeInRecord(source="screen", id="0" * 64, fraction=1.1)
