"""The shards of a manifest: those that are there, looked through, or new ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import ValidationError

from curate.build.explain import corpus_nonzeros
from curate.errors import ShardError
from curate.train.artifact.document import ShardsRecord
from curate.train.shards.materialize import materialize
from curate.train.shards.shards import HEADER_FILE, Shards

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from curate.manifests.manifest import Manifest
    from curate.workspace import Workspace

VERIFIED_BYTES = 4 * 2**30
"""Shards up to this size are compared with their sha256 before each training: seconds."""
BYTES_PER_NONZERO = 4


def shards_path(manifest: Manifest, workspace: Workspace) -> Path:
    """Return where the shards of a manifest lie in a workspace."""
    return workspace.shards_path / manifest.name / f"v{manifest.version:04d}"


def shards_of(
    manifest: Manifest,
    path: Path,
    *,
    may_write: bool,
    verify: bool | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Shards:
    """Open the shards of a manifest, or write them when there are none.

    Parameters
    ----------
    may_write
        Without it, shards that are not there are an error.
    verify
        Compare every file with its sha256; by default where that takes seconds (VERIFIED_BYTES). What is
        written here is not.
    say
        Called with a line before they are written.

    Raises
    ------
    ShardError
        When they are of another manifest, damaged, or have changed; further as `materialize`.
    """
    if may_write and not (path / HEADER_FILE).exists():
        say(
            f"writing the shards of {manifest.ref}: {manifest.document.n_cells:,} cells{_size(manifest)}, "
            f"{path}"
        )
        return replace(materialize(manifest, path), checked="written")
    shards = opened_shards(manifest, path, is_named=not may_write)
    n_bytes = sum(size for size, _ in shards.files.values())
    if verify or (verify is None and n_bytes <= VERIFIED_BYTES):
        shards.verify()
        return replace(shards, checked="compared")
    return shards


def opened_shards(manifest: Manifest, path: Path, *, is_named: bool) -> Shards:
    """Open the shards of a manifest.

    Parameters
    ----------
    is_named
        Whether somebody said that they lie here.

    Raises
    ------
    ShardError
        When there are none, or they are of another manifest.
    """
    shards = Shards.open(path)
    if shards.header.manifest != manifest.id:
        # They are good shards, if of something else: nobody is told to remove them.
        remedy = "move that folder away, and its own are written there"
        if is_named:
            remedy = "name the folder of its own, or leave --shards out for those of the workspace"
        raise ShardError(
            f"{path} holds shards of manifest {shards.header.manifest_ref} ({shards.header.manifest[:12]}), "
            f"not of {manifest.ref} ({manifest.id[:12]}); {remedy}"
        )
    return shards


def seen_shards(shards: Shards, note: Path) -> ShardsRecord:
    """Return what is written down of the shards of a training; `note` keeps it while the training goes on.

    A training that was killed and goes on is of shards that were checked when both parts of it say so.
    """
    record = ShardsRecord(digest=shards.digest, checked=shards.checked)
    try:
        before = ShardsRecord.model_validate_json(note.read_text())
    except (OSError, ValidationError):
        before = record
    if before.checked == "no":
        record = record.model_copy(update={"checked": "no"})
    record.save(note)
    return record


def _size(manifest: Manifest) -> str:
    corpus = manifest.find_corpus()
    if corpus is None:
        return ""
    share = manifest.document.n_cells / max(1, corpus.n_cells)
    n_bytes = corpus_nonzeros(corpus)[0] * share * BYTES_PER_NONZERO
    return f", about {n_bytes / 1e6:,.0f} MB" if n_bytes < 1e9 else f", about {n_bytes / 1e9:,.1f} GB"
