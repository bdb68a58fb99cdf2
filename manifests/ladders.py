"""The ladders of a registry: ``<registry>/ladders/<name>/v0001/ladder.json``, never changed once written."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pydantic import ValidationError

from curate.atomic import atomic_folder
from curate.documents import first_fault
from curate.errors import ManifestError, WriteError
from curate.manifests.document import NAME_PATTERN
from curate.manifests.ladder import FORMAT, LadderDocument
from curate.manifests.registry import LADDERS_FOLDER, Registry
from curate.nearest import nearest_few

if TYPE_CHECKING:
    from pathlib import Path

LADDER_FILE = "ladder.json"

_VERSION_FOLDER = re.compile(r"v(\d{4,})")
_VERSION = re.compile(r"v(\d+)")


def ladder_names(registry: Registry) -> list[str]:
    """Return the names of the ladders, sorted."""
    folder = registry.path / LADDERS_FOLDER
    return (
        sorted(child.name for child in folder.iterdir() if _versions(registry, child.name))
        if folder.is_dir()
        else []
    )


def check_ladder_name(registry: Registry, name: str) -> None:
    """Raise ManifestError when a ladder cannot have this name."""
    registry.check_name(name)
    if _VERSION.fullmatch(name):
        raise ManifestError(f"{name!r} cannot name a ladder: it reads like a version")


def open_ladder(registry: Registry, ref: str) -> LadderDocument:
    """Open a ladder by ``name`` (its newest version) or ``name@v3``.

    Raises
    ------
    ManifestError
        When there is none, naming the nearest, or it cannot be read.
    """
    name, at, which = ref.partition("@")
    versions = _versions(registry, name)
    if not versions:
        names = ladder_names(registry)
        hint = nearest_few(name, names) if names else "make one with `curate build --ladder`"
        raise ManifestError(f"no ladder named {name!r}; {hint}")
    match = _VERSION.fullmatch(which)
    version = int(match[1]) if match else versions[-1] if not at else None
    if version not in versions:
        raise ManifestError(f"{name} has no {which}; it has {', '.join(f'v{each}' for each in versions)}")
    return _read(_path(registry, name, version))


def add_ladder(registry: Registry, draft: LadderDocument) -> LadderDocument:
    """Write a ladder as the next version of its name; return the version that is there if it is the same.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    draft = draft.model_copy(update={"id": draft.content_id()})
    while True:
        versions = _versions(registry, draft.name)
        for version in versions:
            held = _read(_path(registry, draft.name, version))
            if held.id == draft.id:
                return held
        document = draft.model_copy(update={"version": max(versions, default=0) + 1})
        path = _path(registry, document.name, document.version)
        try:
            with atomic_folder(path) as aside:
                text = json.dumps(document.content(), indent=2, ensure_ascii=False)
                (aside / LADDER_FILE).write_text(text + "\n")
        except WriteError:
            if not path.exists():
                raise
            continue  # another writer took the number while we wrote
        return document


def _versions(registry: Registry, name: str) -> list[int]:
    folder = registry.path / LADDERS_FOLDER / name
    if not re.fullmatch(NAME_PATTERN, name) or not folder.is_dir():
        return []
    matches = (_VERSION_FOLDER.fullmatch(child.name) for child in folder.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def _path(registry: Registry, name: str, version: int) -> Path:
    return registry.path / LADDERS_FOLDER / name / f"v{version:04}"


def _read(folder: Path) -> LadderDocument:
    path = folder / LADDER_FILE
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        raise ManifestError(f"{path} is damaged; remove {folder} and build the ladder again") from None
    if isinstance(content, dict) and content.get("format") != FORMAT:
        raise ManifestError(
            f"{path} is a ladder of format {content.get('format')!r}, this curate reads format {FORMAT}; "
            "update curate"
        )
    try:
        document = LadderDocument.model_validate(content)
    except ValidationError as error:
        where, what = first_fault(error)
        raise ManifestError(f"{path} is damaged at {where}: {what}; build the ladder again") from None
    if document.id != document.content_id():
        raise ManifestError(f"{path} is damaged: its id is not that of its content; build the ladder again")
    return document
