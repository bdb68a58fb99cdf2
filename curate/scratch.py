"""Where to keep what can be made again: beside the data or, where that is read-only, aside."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from pathlib import Path

_SCRATCH: dict[Path, Path] = {}
_log = logging.getLogger("curate")


def kept_in(folder: Path) -> Path:
    """Return `folder`, or where nothing can be written to it a scratch folder instead.

    A scratch folder is the same for the same folder, and goes when the process ends: what is found is used,
    and has to be found again the next time. That is logged once, as a warning, which Python prints on stderr.

    Raises
    ------
    OSError
        When there is no room for a scratch folder either (TMPDIR names the place).
    """
    if folder in _SCRATCH:
        return _SCRATCH[folder]
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if is_writable(there):
        return folder
    scratch = Path(tempfile.mkdtemp(prefix="curate-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    _SCRATCH[folder] = scratch
    _log.warning(
        "notice: %s is read-only: what is found is not kept there, and the next run reads the counts again",
        there,
    )
    return scratch


def scratch_of(folder: Path) -> Path:
    """Return what stands in for a folder in this process; itself as long as nothing does."""
    return _SCRATCH.get(folder, folder)


def is_writable(folder: Path) -> bool:
    """Whether this process can make files in a folder."""
    return os.access(folder, os.W_OK | os.X_OK)
