"""Open a manifest by whatever names it."""

from __future__ import annotations

import os
from pathlib import Path

from curate.errors import ManifestError, WorkspaceError
from curate.manifests.manifest import Manifest
from curate.manifests.reading import DOCUMENT_FILE, is_url
from curate.manifests.registry import Registry
from curate.workspace import Workspace


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
    held = workspace or Workspace.find()
    return Registry(held.manifests_path, workspace=held).resolve(ref)


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
