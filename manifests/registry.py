"""A registry: the folder of manifests, their versions and their tags.

::

    <registry>/<name>/v0001/manifest.json, cells.parquet     never changed once written
    <registry>/<name>/tags.json                              tag → version; the only thing that changes
    <registry>/ladders/<name>/v0001/ladder.json              which manifests belong together (`ladders`)
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from curate.documents import Document
from curate.errors import ManifestError, WriteError
from curate.manifests.document import NAME_PATTERN, TAG_PATTERN, ManifestDocument
from curate.manifests.manifest import Manifest
from curate.manifests.reading import read_document
from curate.nearest import nearest, nearest_few

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from curate.workspace import Workspace

TAGS_FILE = "tags.json"
LADDERS_FOLDER = "ladders"
"""Holds the ladders; no manifest has this name."""
SHORTEST_PREFIX = 6

_VERSION_FOLDER = re.compile(r"v(\d{4,})")
_VERSION = re.compile(r"v(\d+)")
_PREFIX = re.compile(rf"[0-9a-f]{{{SHORTEST_PREFIX},64}}")


class TagsDocument(Document):
    """The content of tags.json."""

    format: Literal[1] = 1
    tags: dict[str, int]


@dataclass(frozen=True)
class Entry:
    """A version in a registry; `document` is None when it cannot be read, and `problem` says why."""

    name: str
    version: int
    document: ManifestDocument | None
    problem: str | None = None


@dataclass(frozen=True)
class Registry:
    """The manifests in a folder. The folder need not exist.

    Attributes
    ----------
    workspace
        Where the corpora of its manifests are looked for.
    """

    path: Path
    workspace: Workspace | None = field(default=None, compare=False, repr=False)

    def names(self) -> list[str]:
        """Return the names that have a version, sorted."""
        if not self.path.is_dir():
            return []
        return sorted(folder.name for folder in self.path.iterdir() if self.versions(folder.name))

    def versions(self, name: str) -> list[int]:
        """Return the versions of a name, ascending; none when there is no such name."""
        folder = self.path / name
        if not re.fullmatch(NAME_PATTERN, name) or not folder.is_dir():
            return []
        matches = (_VERSION_FOLDER.fullmatch(child.name) for child in folder.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def next_version(self, name: str) -> int:
        """Return the number that the next version of a name gets."""
        return max(self.versions(name), default=0) + 1

    def version_path(self, name: str, version: int) -> Path:
        """Return the folder of a version."""
        return self.path / name / f"v{version:04}"

    def check_name(self, name: str) -> None:
        """Raise ManifestError when a manifest cannot have this name."""
        if not re.fullmatch(NAME_PATTERN, name):
            raise ManifestError(
                f"{name!r} cannot name a manifest; use up to 128 letters, digits and . _ + = -, no sign first"
            )
        if name == LADDERS_FOLDER:
            raise ManifestError(f"{name!r} cannot name a manifest: the folder of ladders is called so")

    def check_known(self, name: str) -> None:
        """Raise ManifestError, naming the nearest, when no version has this name."""
        if self.versions(name):
            return
        names = self.names()
        if not names:
            raise ManifestError(
                f"no manifest named {name!r}: {self.path} holds none yet; make one with `curate build`"
            )
        raise ManifestError(
            f"no manifest named {name!r}; {nearest_few(name, names)} (see `curate manifests list`)"
        )

    def entries(self, name: str | None = None) -> list[Entry]:
        """Return every version of a name, or of all names; those that cannot be read say why."""
        names = self.names() if name is None else [name]
        return [self._entry(each, version) for each in names for version in self.versions(each)]

    def find_version(self, name: str, manifest_id: str) -> ManifestDocument | None:
        """Return the version of a name that has this id; a version that cannot be read has none."""
        documents = (entry.document for entry in self.entries(name))
        return next((document for document in documents if document and document.id == manifest_id), None)

    def open(self, name: str, version: int) -> Manifest:
        """Open a version.

        Raises
        ------
        ManifestError
            When there is none, or it cannot be read.
        """
        if version not in self.versions(name):
            known = ", ".join(f"v{each}" for each in self.versions(name))
            raise ManifestError(f"{name} has no v{version}; it has {known}")
        return Manifest.open(str(self.version_path(name, version)), workspace=self.workspace)

    def resolve(self, ref: str) -> Manifest:
        """Open a manifest by name, name@v3, name@tag, or the first digits of its id.

        Raises
        ------
        ManifestError
            When there is none (naming the nearest), or several (naming them).
        """
        name, at, which = ref.partition("@")
        versions = self.versions(name)
        if not versions and not at and _PREFIX.fullmatch(ref.lower()):
            return self._by_prefix(ref.lower())
        self.check_known(name)
        return self.open(name, self._version_of(name, which) if at else versions[-1])

    def tags(self, name: str) -> dict[str, int]:
        """Return the tags of a name and the versions that they stand for.

        Raises
        ------
        ManifestError
            When tags.json is damaged.
        """
        path = self.path / name / TAGS_FILE
        if not path.is_file():
            return {}
        try:
            return TagsDocument.model_validate_json(path.read_bytes()).tags
        except (OSError, ValidationError):
            raise ManifestError(f"{path} is damaged; remove it and tag the versions again") from None

    def tag(self, ref: str, tag: str, *, move: bool = False) -> Manifest:
        """Give a version a name to remember it by.

        Parameters
        ----------
        move
            Take the tag from another version that has it.

        Raises
        ------
        ManifestError
            When the tag cannot be one, or stands for another version and is not to be moved.
        """
        if not re.fullmatch(TAG_PATTERN, tag):
            raise ManifestError(f"{tag!r} cannot be a tag; begin with a letter, and write no v and a number")
        manifest = self.resolve(ref)
        with self._locked(manifest.name):
            tags = self.tags(manifest.name)
            if tags.get(tag, manifest.version) != manifest.version and not move:
                raise ManifestError(
                    f"tag {tag!r} stands for {manifest.name}@v{tags[tag]}; --move takes it to {manifest.ref}"
                )
            self._save_tags(manifest.name, tags | {tag: manifest.version})
        return manifest

    def untag(self, name: str, tag: str) -> None:
        """Remove a tag.

        Raises
        ------
        ManifestError
            When the name has no such tag.
        """
        self.check_known(name)
        with self._locked(name):
            tags = self.tags(name)
            if tag not in tags:
                raise ManifestError(f"{name} has no tag {tag!r}; {nearest(tag, tags)}")
            self._save_tags(name, {held: version for held, version in tags.items() if held != tag})

    def _save_tags(self, name: str, tags: dict[str, int]) -> None:
        TagsDocument(tags=dict(sorted(tags.items()))).save(self.path / name / TAGS_FILE)

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Keep others from changing the tags of a name between our reading and our writing them."""
        try:
            descriptor = os.open(self.path / name, os.O_RDONLY)
        except OSError as error:
            raise WriteError(f"could not open {self.path / name}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _entry(self, name: str, version: int) -> Entry:
        try:
            return Entry(name, version, read_document(str(self.version_path(name, version))))
        except ManifestError as error:
            return Entry(name, version, None, str(error))

    def _version_of(self, name: str, which: str) -> int:
        if match := _VERSION.fullmatch(which):
            return int(match[1])
        tags = self.tags(name)
        if which not in tags:
            raise ManifestError(f"{name} has no tag {which!r}; {nearest(which, tags)}")
        return tags[which]

    def _by_prefix(self, prefix: str) -> Manifest:
        documents = [entry.document for entry in self.entries() if entry.document is not None]
        matching = [document for document in documents if document.id.startswith(prefix)]
        if not matching:
            raise ManifestError(
                f"no manifest has an id that begins with {prefix}; see `curate manifests list`"
            )
        if len({document.id for document in matching}) > 1:
            candidates = ", ".join(f"{document.ref} ({document.id[:12]})" for document in matching)
            raise ManifestError(f"{len(matching)} ids begin with {prefix}: {candidates}; give more digits")
        return self.open(matching[0].name, matching[0].version)
