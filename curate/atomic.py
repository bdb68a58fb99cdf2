"""Write aside, fsync, rename: what is on disk is the old state or the new one, never a mixture."""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from curate.errors import WriteError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes its place when the block ends without an error.

    Raises
    ------
    WriteError
        When the file cannot be written (a full disk, no permission). `path` is then as it was.
    """
    aside = _aside(path)
    try:
        with _said_plainly(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield aside
            _fsync(aside)
            aside.replace(path)
            _fsync(path.parent)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, *, resumable: bool = False) -> Iterator[Path]:
    """Yield a folder beside `path` to fill; it becomes `path` when the block ends without an error.

    Parameters
    ----------
    resumable
        Keep what an interrupted run has written, under the same name, for the next run to go on from.
        Without it an interrupted run leaves nothing.

    Raises
    ------
    WriteError
        When something in it cannot be written, or when `path` exists.
    """
    if path.exists():
        raise WriteError(f"{path} exists; name another path or remove it first")
    aside = path.parent / f".{path.name}.partial" if resumable else _aside(path)
    try:
        with _said_plainly(path):
            aside.mkdir(parents=True, exist_ok=resumable)
            yield aside
            for file in sorted(aside.rglob("*")):
                _fsync(file)
            _fsync(aside)
            aside.rename(path)
            _fsync(path.parent)
    except BaseException:
        if not resumable:
            shutil.rmtree(aside, ignore_errors=True)
        raise


@contextmanager
def _said_plainly(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise WriteError(f"could not write {path}: {reason}; nothing was changed") from error


def _aside(path: Path) -> Path:
    return path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.partial"


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
