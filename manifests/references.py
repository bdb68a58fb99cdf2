"""Open a manifest by whatever names it."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from curate.errors import ManifestError, WorkspaceError
from curate.manifests.ladders import ladder_names, open_ladder
from curate.manifests.manifest import Manifest
from curate.manifests.reading import DOCUMENT_FILE, is_url
from curate.manifests.registry import Registry
from curate.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence


def resolve(ref: str | Path, *, workspace: Workspace | None = None) -> Manifest:
    """Open a manifest by any reference; see `Manifest.load`.

    Raises
    ------
    ManifestError
        When there is none, or several.
    WorkspaceError
        When `ref` is a name and there is no workspace.
    """
    if isinstance(ref, str) and is_url(ref):
        return Manifest.open(ref, workspace=workspace or _workspace_around())
    if isinstance(ref, Path) or _looks_like_a_path(ref):
        return Manifest.open(_checked_path(ref), workspace=workspace or _workspace_around())
    return _registry(workspace).resolve(ref)


def resolve_all(refs: Sequence[str], *, workspace: Workspace | None = None) -> list[Manifest]:
    """Open the manifests that references name, each once; one reference may name several.

    Parameters
    ----------
    refs
        As `resolve` takes them; a ladder, for the manifests of its steps; a pattern of names (``random-*``,
        ``*-s0``), or what names begin with before a dash (``random``), for the newest version of each.

    Raises
    ------
    ManifestError
        When a reference names none.
    WorkspaceError
        When one is a name and there is no workspace.
    """
    found: dict[str, Manifest] = {}
    for ref in refs:
        for each in _names_of(ref, workspace):
            manifest = resolve(each, workspace=workspace)
            found.setdefault(manifest.folder, manifest)
    return list(found.values())


def _names_of(ref: str, workspace: Workspace | None) -> list[str]:
    """Return the names that a pattern, a ladder or the beginning of names stands for; else itself."""
    if is_url(ref) or _looks_like_a_path(ref):
        return [ref]
    names = (held := _registry(workspace)).names()
    if any(sign in ref for sign in "*?["):
        matching = [name for name in names if fnmatchcase(name, ref)]
        if not matching:
            known = (
                f"it holds {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
                if names
                else "it is empty"
            )
            raise ManifestError(f"no manifest in {held.path} has a name like {ref!r}; {known}")
        return matching
    if ref in names:
        return [ref]
    if ref.partition("@")[0] in ladder_names(held):
        return [f"{step.manifest}@v{step.version}" for step in open_ladder(held, ref).steps]
    return [name for name in names if name.startswith(f"{ref}-")] or [ref]


def _registry(workspace: Workspace | None) -> Registry:
    held = workspace or Workspace.find()
    return Registry(held.manifests_path, workspace=held)


def _looks_like_a_path(ref: str) -> bool:
    return ref.startswith((".", "~")) or os.sep in ref


def _checked_path(ref: str | Path) -> str:
    folder = Path(ref).expanduser()
    folder = folder.parent if folder.name == DOCUMENT_FILE else folder
    if not folder.exists():
        raise ManifestError(f"no manifest at {ref}: there is no such folder")
    if not (folder / DOCUMENT_FILE).exists():
        versions = (
            sorted(child.name for child in folder.iterdir() if (child / DOCUMENT_FILE).exists())
            if folder.is_dir()
            else []
        )
        hint = (
            f"name one of its versions: {', '.join(versions)}" if versions else "name the folder of a version"
        )
        raise ManifestError(f"{ref} has no {DOCUMENT_FILE}; {hint}")
    return str(folder.absolute())


def _workspace_around() -> Workspace | None:
    """Return the workspace here, if any: it may hold the corpus of a manifest from elsewhere."""
    try:
        return Workspace.find()
    except WorkspaceError:
        return None
