"""References: every way to name a manifest, and what is said when nothing has the name."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import fsspec
import pytest

from curate.errors import ManifestError, WorkspaceError, WriteError
from curate.manifests.export import export
from curate.manifests.manifest import Manifest
from curate.manifests.registry import Entry, Registry
from tests.manifests.conftest import snapshot

if TYPE_CHECKING:
    from curate.workspace import Workspace
    from tests.manifests.conftest import Write


@pytest.fixture
def three(write: Write) -> list[Manifest]:
    """sketch-0.01-s0 in two versions, random-0.01-s0 in one."""
    return [
        write("sketch-0.01-s0", [1, 2, 3]),
        write("sketch-0.01-s0", [4, 5, 6]),
        write("random-0.01-s0", [7, 8, 9]),
    ]


def test_a_name_is_its_newest_version(three: list[Manifest], registry: Registry) -> None:
    assert registry.resolve("sketch-0.01-s0") == three[1]


@pytest.mark.parametrize("ref", ["sketch-0.01-s0@v1", "sketch-0.01-s0@v0001"])
def test_a_version_is_named_by_its_number(three: list[Manifest], registry: Registry, ref: str) -> None:
    assert registry.resolve(ref) == three[0]


def test_versions_are_ordered_by_number_past_9999(write: Write, registry: Registry) -> None:
    first = write()
    folder = Path(first.folder)
    folder.rename(folder.parent / "v9999")
    assert write(rows=[1, 2]).version == 10_000
    assert registry.resolve(first.name).version == 10_000


def test_a_tag_names_a_version_until_it_is_moved(three: list[Manifest], registry: Registry) -> None:
    registry.tag("sketch-0.01-s0@v1", "paper")
    assert registry.resolve("sketch-0.01-s0@paper") == three[0]
    assert registry.tag("sketch-0.01-s0@v1", "paper") == three[0]
    with pytest.raises(ManifestError, match=r"tag 'paper' stands for sketch-0\.01-s0@v1; --move takes it to"):
        registry.tag("sketch-0.01-s0", "paper")
    registry.tag("sketch-0.01-s0", "paper", move=True)
    assert registry.resolve("sketch-0.01-s0@paper") == three[1]
    assert registry.tags("sketch-0.01-s0") == {"paper": 2}
    assert registry.tags("random-0.01-s0") == {}


def test_a_tag_that_is_removed_is_gone(three: list[Manifest], registry: Registry) -> None:
    registry.tag("sketch-0.01-s0", "paper")
    registry.untag("sketch-0.01-s0", "paper")
    with pytest.raises(ManifestError, match="has no tag 'paper'"):
        registry.resolve("sketch-0.01-s0@paper")
    with pytest.raises(ManifestError, match="has no tag 'paper'"):
        registry.untag("sketch-0.01-s0", "paper")


def test_tagging_changes_no_version(three: list[Manifest], registry: Registry) -> None:
    before = snapshot(registry.path)
    registry.tag("sketch-0.01-s0", "paper")
    after = snapshot(registry.path)
    assert after.keys() - before.keys() == {"sketch-0.01-s0/tags.json"}
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("tag", ["v3", "3", "", "a/b", "a b", "a@b"])
def test_a_tag_that_could_be_something_else_is_refused(
    three: list[Manifest], registry: Registry, tag: str
) -> None:
    with pytest.raises(ManifestError, match="cannot be a tag"):
        registry.tag("sketch-0.01-s0", tag)


def test_tags_set_at_the_same_time_are_all_kept(three: list[Manifest], registry: Registry) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: registry.tag("sketch-0.01-s0", f"tag-{i}"), range(16)))
    assert registry.tags("sketch-0.01-s0") == {f"tag-{i}": 2 for i in range(16)}


def test_a_tag_that_cannot_be_written_leaves_the_old_ones(
    three: list[Manifest], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.tag("sketch-0.01-s0", "paper")

    def fail(path: Path, text: str) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(WriteError, match="No space left on device; nothing was changed"):
        registry.tag("sketch-0.01-s0", "draft")
    assert registry.tags("sketch-0.01-s0") == {"paper": 2}


def test_damaged_tags_are_said(three: list[Manifest], registry: Registry) -> None:
    (registry.path / "sketch-0.01-s0" / "tags.json").write_text('{"tags": ')
    with pytest.raises(ManifestError, match=r"tags\.json is damaged; remove it"):
        registry.resolve("sketch-0.01-s0@paper")
    assert registry.resolve("sketch-0.01-s0") == three[1]


@pytest.mark.parametrize("n_digits", [6, 12, 64])
def test_the_first_digits_of_an_id_name_a_manifest(
    three: list[Manifest], registry: Registry, n_digits: int
) -> None:
    assert registry.resolve(three[0].id[:n_digits]) == three[0]
    assert registry.resolve(three[0].id[:n_digits].upper()) == three[0]


def test_fewer_than_six_digits_are_a_name(three: list[Manifest], registry: Registry) -> None:
    with pytest.raises(ManifestError, match="no manifest named"):
        registry.resolve(three[0].id[:5])


def test_digits_that_begin_several_ids_name_the_candidates(
    three: list[Manifest], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [manifest.document for manifest in three]
    alike = [
        Entry(document.name, document.version, document.model_copy(update={"id": "abcdef" + document.id[6:]}))
        for document in documents
    ]
    monkeypatch.setattr(Registry, "entries", lambda registry, name=None: alike)
    message = r"3 ids begin with abcdef: sketch-0\.01-s0@v1 \(abcdef\w{6}\), .*random-0.* give more digits"
    with pytest.raises(ManifestError, match=message):
        registry.resolve("abcdef")


def test_the_same_content_under_two_names_is_not_ambiguous(write: Write, registry: Registry) -> None:
    first, second = write("b-name"), write("a-name")
    assert registry.resolve(first.id[:8]) == second


def test_digits_that_begin_no_id_are_said(three: list[Manifest], registry: Registry) -> None:
    unused = next(f"{i:06x}" for i in range(100) if not any(m.id.startswith(f"{i:06x}") for m in three))
    with pytest.raises(ManifestError, match=f"no manifest has an id that begins with {unused}"):
        registry.resolve(unused)


def test_a_name_that_looks_like_an_id_is_a_name(write: Write, registry: Registry) -> None:
    manifest = write("abcdef")
    assert registry.resolve("abcdef") == manifest


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("sketch-0.01-s1", "no manifest named 'sketch-0.01-s1'; did you mean 'sketch-0.01-s0'"),
        ("nothing", "no manifest named 'nothing'; the nearest are 'sketch-0.01-s0' and 'random-0.01-s0'"),
        ("sketch-0.01-s0@v3", "sketch-0.01-s0 has no v3; it has v1, v2"),
        ("sketch-0.01-s0@draft", "sketch-0.01-s0 has no tag 'draft'; there are: none"),
        ("sketch-0.01-s0@", "sketch-0.01-s0 has no tag ''"),
    ],
)
def test_a_reference_to_nothing_names_the_nearest(
    three: list[Manifest], registry: Registry, ref: str, message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        registry.resolve(ref)


def test_an_empty_registry_says_how_to_fill_it(registry: Registry) -> None:
    assert registry.names() == []
    assert registry.entries() == []
    with pytest.raises(ManifestError, match="holds none yet; make one with `curate build`"):
        registry.resolve("anything")


def test_a_damaged_version_does_not_hide_the_others(three: list[Manifest], registry: Registry) -> None:
    Path(three[0].folder, "manifest.json").write_text("{}")
    damaged = [entry for entry in registry.entries() if entry.document is None]
    assert [(entry.name, entry.version) for entry in damaged] == [("sketch-0.01-s0", 1)]
    assert "format None is not a manifest format" in str(damaged[0].problem)
    assert registry.resolve(three[2].id[:10]) == three[2]


def test_what_an_interrupted_writer_left_behind_is_not_a_version(
    three: list[Manifest], registry: Registry
) -> None:
    (registry.path / "sketch-0.01-s0" / ".v0003.1234abcd.partial").mkdir()
    (registry.path / ".hidden").mkdir()
    assert registry.versions("sketch-0.01-s0") == [1, 2]
    assert registry.names() == ["random-0.01-s0", "sketch-0.01-s0"]


def test_load_takes_a_name_a_path_or_a_url(
    three: list[Manifest], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.root)
    expected = three[0].document
    for ref in ("sketch-0.01-s0@v1", three[0].id[:9], three[0].folder, "./manifests/sketch-0.01-s0/v0001"):
        assert Manifest.load(ref).document == expected
    assert Manifest.load(f"{three[0].folder}/manifest.json").document == expected
    assert Manifest.load(Path("manifests", "sketch-0.01-s0", "v0001")).folder == three[0].folder
    memory = fsspec.filesystem("memory")
    for name in ("manifest.json", "cells.parquet"):
        memory.pipe_file(f"/somewhere/{name}", Path(three[0].folder, name).read_bytes())
    remote = Manifest.load("memory://somewhere")
    assert remote.document == expected
    assert remote.cells().equals(three[0].cells())
    assert remote.corpus().id == expected.corpus.id


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("./nowhere", r"no manifest at \./nowhere: there is no such folder"),
        ("./manifests", r"\./manifests has no manifest\.json; name the folder of a version"),
        ("./manifests/sketch-0.01-s0", r"name one of its versions: v0001, v0002"),
        ("./curate.toml", r"has no manifest\.json; name the folder of a version"),
        ("https://127.0.0.1:1/x", r"https://127\.0\.0\.1:1/x cannot be reached: .*127\.0\.0\.1:1"),
        ("memory://nowhere", r"memory://nowhere has no manifest\.json"),
        ("nosuch://host/path", r"could not read manifest\.json of nosuch://host/path: Protocol not known"),
    ],
)
def test_a_place_without_a_manifest_is_said(
    three: list[Manifest], workspace: Workspace, monkeypatch: pytest.MonkeyPatch, ref: str, message: str
) -> None:
    monkeypatch.chdir(workspace.root)
    with pytest.raises(ManifestError, match=message):
        Manifest.load(ref)


class Backend(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """Fails as backends do that have errors of their own, as that of S3 without credentials."""

    protocol = "failing"
    error: Exception

    def _open(self, path: str, *arguments: object, **options: object) -> None:
        raise self.error

    exists = makedirs = _open


class NoCredentialsError(Exception):
    """As that of botocore: an Exception and nothing else."""


def missing(cause: Exception) -> FileNotFoundError:
    error = FileNotFoundError("failing://bucket/x")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            NoCredentialsError("Unable to\nlocate credentials"),
            "cannot be reached: Unable to locate credentials; check",
        ),
        (NoCredentialsError(), "cannot be reached: NoCredentialsError; check"),
        (PermissionError("Forbidden"), "cannot be reached: Forbidden; check"),
        (missing(ConnectionRefusedError("refused")), "cannot be reached: refused; check"),
        (missing(FileNotFoundError("404")), r"has no manifest\.json"),
        (FileNotFoundError("404"), r"has no manifest\.json"),
    ],
)
def test_whatever_a_backend_raises_is_one_line(
    monkeypatch: pytest.MonkeyPatch, write: Write, error: Exception, message: str
) -> None:
    fsspec.register_implementation("failing", Backend, clobber=True)
    monkeypatch.setattr(Backend, "error", error, raising=False)
    with pytest.raises(ManifestError, match=f"^failing://bucket/x {message}") as raised:
        Manifest.load("failing://bucket/x")
    assert "\n" not in str(raised.value)
    if "reached" in message:
        with pytest.raises(WriteError, match=r"^failing://bucket/x cannot be reached"):
            export(write(), "failing://bucket/x")


def test_a_name_needs_a_workspace_and_a_path_does_not(
    three: list[Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CURATE_HOME", raising=False)
    with pytest.raises(WorkspaceError, match=r"no curate\.toml"):
        Manifest.load("sketch-0.01-s0")
    assert Manifest.load(three[0].folder).workspace is None
