"""Write aside, fsync, rename: what is on disk is the old state or the new one, never a mixture.

While a path is written, a lock file beside what is written aside is locked (flock). The kernel frees the lock
when the process ends, however it ends: that tells what a killed run has left from what a live one is writing.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from curate.errors import BusyError, CensusError, CurateError, TrainingError, WriteError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Errors of disk, network and device: the same run may end well another time.
PASSING_ERRORS = (CensusError, WriteError, TrainingError)
#: Files of an interrupted run that are named.
N_KEPT = 3
_UNCHANGED = "; nothing was changed"
_TOKEN = "[0-9a-f]{8}"


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes its place when the block ends without an error.

    What killed runs have left of the same name is removed.

    Raises
    ------
    WriteError
        When the file cannot be written (a full disk, no permission). `path` is then as it was.
    """
    aside = _aside(path)
    with _said_plainly(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(aside, wait=True):
            try:
                _clear_stale(path)
                yield aside
                _open_to_others(aside, like=_lock_of(aside))
                _fsync(aside)
                aside.replace(path)
                _fsync(path.parent)
            finally:
                aside.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, *, resumable: bool = False) -> Iterator[Path]:
    """Yield a folder beside `path` to fill; it becomes `path` when the block ends without an error.

    What killed runs have left of the same name is removed.

    Parameters
    ----------
    resumable
        Keep what an interrupted run has written, under the same name, for the next run to go on from; only
        the files that it was in the midst of are removed. After an error that would come again (a
        CurateError, but for PASSING_ERRORS) nothing is kept. Without it an interrupted run leaves
        nothing.

    Raises
    ------
    WriteError
        When something in it cannot be written, when `path` exists, or another run is at work on it; saying
        what of a resumable folder is kept.
    """
    _refuse_existing(path)
    aside = partial_of(path) if resumable else _aside(path)
    with _said_plainly(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(aside, wait=not resumable):
            # Another run may have ended well since.
            _refuse_existing(path)
            _clear_stale(path)
            aside.mkdir(exist_ok=resumable)
            if resumable:
                _clear_torn(aside)
            try:
                yield aside
                for file in sorted(aside.rglob("*")):
                    _open_to_others(file, like=_lock_of(aside))
                    _fsync(file)
                _fsync(aside)
                aside.rename(path)
                _fsync(path.parent)
            except BaseException as error:
                if not resumable or (
                    isinstance(error, CurateError) and not isinstance(error, PASSING_ERRORS)
                ):
                    shutil.rmtree(aside, ignore_errors=True)
                if resumable and isinstance(error, (OSError, WriteError)):
                    raise WriteError(f"{_said(error, path)}; {_kept(aside)}") from error
                raise


def partial_of(path: Path) -> Path:
    """Return where a resumable folder lies until it is whole."""
    return path.parent / f".{path.name}.partial"


@contextmanager
def claim_partial(path: Path) -> Iterator[Path]:
    """Yield what an interrupted run has left of a resumable folder; removed when the block ends well.

    Raises
    ------
    WriteError
        When another run is at work on it.
    """
    aside = partial_of(path)
    with _said_plainly(aside), _locked(aside, wait=False):
        yield aside
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _said_plainly(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(f"{_said(error, path)}{_UNCHANGED}") from error


def _said(error: OSError | WriteError, path: Path) -> str:
    """Say why `path` could not be written, or what in it, without a word on what is left."""
    if isinstance(error, WriteError):
        return str(error).removesuffix(_UNCHANGED)
    return f"could not write {path}: {error.strerror or error}"


def _kept(aside: Path) -> str:
    files = [path.relative_to(aside) for path in aside.rglob("*") if path.is_file()] if aside.is_dir() else []
    if not files:
        return "nothing had been written before"
    shown = sorted(map(str, files))[:N_KEPT]
    more = f" and {len(files) - N_KEPT:,} more" if len(files) > N_KEPT else ""
    return (
        f"what was written before ({', '.join(shown)}{more}) is kept in {aside}: the same again goes on from "
        "there; or remove it"
    )


def _open_to_others(path: Path, *, like: Path) -> None:
    """Let those read a file who may read `like`: some libraries write files for their owner alone."""
    if path.is_file():
        path.chmod(like.stat().st_mode & 0o777)


def _may_end_well(error: BaseException) -> bool:
    return not isinstance(error, CurateError) or isinstance(error, PASSING_ERRORS)


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise WriteError(f"{path} exists; name another path or remove it first")


def _aside(path: Path) -> Path:
    return path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.partial"


def _lock_of(aside: Path) -> Path:
    return aside.with_name(f"{aside.name}.lock")


@contextmanager
def _locked(aside: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock of what is written aside; its file is there before `aside` and goes after it.

    Raises
    ------
    WriteError
        When another run holds it. With `wait` (for a name of this run's own) that can but be one which looks
        for what killed runs have left, and is done at once.
    """
    lock = _lock_of(aside)
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if _taken_by_another(descriptor, wait=wait):
                raise BusyError(f"another run is at work on {aside}; wait until it has ended, or stop it")
            # A run that was just ending may have removed the file between opening and locking it.
            if _is_open(lock, descriptor):
                break
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _taken_by_another(descriptor: int, *, wait: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return True
    except OSError:
        # A file system without locks: nothing is known of other runs.
        return False
    return False


def _is_open(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _clear_stale(path: Path) -> None:
    """Remove what killed runs have left beside `path`, and nothing of a live one."""
    own = re.compile(rf"(\.{re.escape(path.name)}\.{_TOKEN}\.partial)(\.lock)?")
    found = {match[1] for each in path.parent.iterdir() if (match := own.fullmatch(each.name))}
    for aside in (path.with_name(name) for name in sorted(found)):
        lock = _lock_of(aside)
        try:
            descriptor = os.open(lock, os.O_RDWR)
        except FileNotFoundError:
            # The lock goes last: nobody writes here any more.
            _remove(aside)
            continue
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(aside)
            lock.unlink(missing_ok=True)
        except OSError:
            # A live run holds it, or the file system has no locks, so that nobody can tell.
            pass
        finally:
            os.close(descriptor)


def _clear_torn(folder: Path) -> None:
    """Remove the files that a killed run was writing in a folder whose lock is held."""
    torn = re.compile(rf"\..+\.{_TOKEN}\.partial(\.lock)?")
    for each in sorted(folder.rglob(".*")):
        if torn.fullmatch(each.name):
            _remove(each)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
