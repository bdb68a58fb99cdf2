"""References that stand for several manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from curate.errors import ManifestError
from curate.manifests.references import resolve_all

if TYPE_CHECKING:
    from curate.workspace import Workspace
    from tests.manifests.conftest import Write


@pytest.fixture
def five(write: Write) -> None:
    """random-0.01-s0 in two versions, random-0.1-s0, randomised, sketch-0.01-s0."""
    for at, name in enumerate(
        ["random-0.01-s0", "random-0.01-s0", "random-0.1-s0", "randomised", "sketch-0.01-s0"]
    ):
        write(name, [at, at + 10])


def resolved(workspace: Workspace, *refs: str) -> list[str]:
    return [manifest.ref for manifest in resolve_all(refs, workspace=workspace)]


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize(
    ("refs", "expected"),
    [
        (["random-*"], ["random-0.01-s0@v2", "random-0.1-s0@v1"]),
        (["*-0.01-s?"], ["random-0.01-s0@v2", "sketch-0.01-s0@v1"]),
        (["random"], ["random-0.01-s0@v2", "random-0.1-s0@v1"]),
        (["random-0.01"], ["random-0.01-s0@v2"]),
        (["randomised"], ["randomised@v1"]),
        (["sketch-0.01-s0", "random-0.01-s0@v1"], ["sketch-0.01-s0@v1", "random-0.01-s0@v1"]),
    ],
)
def test_patterns_and_beginnings_stand_for_the_newest_of_each_name(
    workspace: Workspace, refs: list[str], expected: list[str]
) -> None:
    assert resolved(workspace, *refs) == expected


@pytest.mark.usefixtures("five")
def test_each_manifest_comes_once_where_it_is_named_first(workspace: Workspace) -> None:
    assert resolved(workspace, "sketch", "*-0.01-*", "random-0.01-s0@v2") == [
        "sketch-0.01-s0@v1",
        "random-0.01-s0@v2",
    ]


def test_paths_and_ids_are_taken_as_they_are(write: Write, workspace: Workspace) -> None:
    a, b = write("a", [1]), write("b", [2])
    assert resolved(workspace, a.folder, b.id[:8]) == ["a@v1", "b@v1"]


@pytest.mark.usefixtures("five")
def test_a_pattern_without_a_match_says_what_there_is(workspace: Workspace) -> None:
    with pytest.raises(ManifestError, match=r"has a name like 'blocks-\*'; it holds random-0.01-s0, .*"):
        resolved(workspace, "blocks-*")
    with pytest.raises(
        ManifestError, match=r"no manifest named 'sketsh-0\.01'; did you mean 'sketch-0\.01-s0'"
    ):
        resolved(workspace, "sketsh-0.01")


def test_a_pattern_in_an_empty_registry_says_so(workspace: Workspace) -> None:
    with pytest.raises(ManifestError, match="it is empty"):
        resolved(workspace, "*")
