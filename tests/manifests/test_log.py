"""log: what changed from version to version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from curate.errors import ManifestError
from curate.manifests.document import SelectionRecord
from curate.manifests.log import log

if TYPE_CHECKING:
    from curate.manifests.registry import Registry
    from tests.manifests.conftest import Write


def test_versions_are_listed_with_what_changed(write: Write, registry: Registry) -> None:
    write("a", [1, 2, 3])
    write("a", [1, 2, 4])
    write("a", [1, 2], selection=SelectionRecord(strategy="random", seed=7, fraction=0.1))
    registry.tag("a@v2", "paper")
    versions = log(registry, "a")
    assert [(version.version, version.n_cells, version.tags) for version in versions] == [
        (1, 3, ()),
        (2, 3, ("paper",)),
        (3, 2, ()),
    ]
    changed = [{change.name: (change.a, change.b) for change in version.changed} for version in versions]
    assert changed == [{}, {}, {"selection.seed": (0, 7), "selection.n_cells": (3, 2)}]
    assert versions[0].to_json()["id"] == registry.open("a", 1).id


def test_a_damaged_version_is_listed_with_its_problem(write: Write, registry: Registry) -> None:
    Path(write("a", [1]).folder, "manifest.json").unlink()
    write("a", [2])
    first, second = log(registry, "a")
    assert "has no manifest.json" in str(first.problem)
    assert (second.problem, second.changed) == (None, ())


def test_the_log_of_an_unknown_name_names_the_nearest(write: Write, registry: Registry) -> None:
    write("sketch")
    with pytest.raises(ManifestError, match="no manifest named 'sketsch'; did you mean 'sketch'"):
        log(registry, "sketsch")
