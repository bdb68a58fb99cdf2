"""Writing aside: the old state or the new one, also when the disk is full or the run is interrupted."""

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from curate.atomic import atomic_file, atomic_folder, claim_partial
from curate.errors import CensusError, CurateError, RecipeError, WriteError


def test_a_file_takes_its_place_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    with atomic_file(path) as aside:
        aside.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_a_library_wrote_for_its_owner_alone_is_read_by_those_who_may_read_others(
    tmp_path: Path,
) -> None:
    other = tmp_path / "other"
    other.touch()
    with atomic_file(tmp_path / "file") as aside:
        aside.touch(mode=0o600)
    with atomic_folder(tmp_path / "folder") as folder:
        (folder / "file").touch(mode=0o600)
    for path in (tmp_path / "file", tmp_path / "folder" / "file"):
        assert path.stat().st_mode == other.stat().st_mode


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError])
def test_an_interrupted_file_leaves_the_old_one(tmp_path: Path, interruption: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(interruption), atomic_file(path) as aside:
        aside.write_text("half")
        raise interruption
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "folder") as aside:
        (aside / "file").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_resumable_folder_is_found_again_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "folder", resumable=True) as aside:
        (aside / "first").write_text("done")
        raise KeyboardInterrupt
    assert not (tmp_path / "folder").exists()
    with atomic_folder(tmp_path / "folder", resumable=True) as aside:
        assert (aside / "first").read_text() == "done"
    assert (tmp_path / "folder" / "first").read_text() == "done"


def test_an_existing_folder_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="exists"), atomic_folder(tmp_path):
        pass


FILL = """
import resource, signal, sys
from pathlib import Path
from curate.atomic import atomic_file
from curate.errors import WriteError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with atomic_file(Path(sys.argv[1])) as aside:
        aside.write_bytes(bytes(10_000))
except WriteError as error:
    print(error)
"""


def test_a_disk_that_takes_no_more_is_one_line_and_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    run = subprocess.run([sys.executable, "-c", FILL, str(path)], capture_output=True, text=True, check=True)
    assert run.stdout == f"could not write {path}: File too large; nothing was changed\n"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


BUSY = """
import sys, time
from pathlib import Path
from curate.atomic import atomic_file, atomic_folder, claim_partial
path = Path(sys.argv[2])
kinds = {
    "file": lambda: atomic_file(path),
    "folder": lambda: atomic_folder(path),
    "resumable": lambda: atomic_folder(path, resumable=True),
}
with kinds[sys.argv[1]]() as aside:
    (aside if sys.argv[1] == "file" else aside / "inner").write_text("half")
    print("ready", flush=True)
    time.sleep(600)
"""


@contextmanager
def another_run(kind: str, path: Path) -> Iterator[None]:
    """A process in the midst of writing `path`; killed at the end of the block."""
    command = [sys.executable, "-c", BUSY, kind, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_run_has_left_is_removed_at_the_next_start(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a[b]"
    with another_run(kind, path):
        pass
    (tmp_path / ".a[b].0123abcd.partial.lock").touch()
    (tmp_path / ".other.0123abcd.partial").touch()
    assert len(list(tmp_path.iterdir())) == 4
    if kind == "file":
        with atomic_file(path) as aside:
            aside.write_text("whole")
    else:
        with atomic_folder(path):
            pass
    assert sorted(tmp_path.iterdir()) == [tmp_path / ".other.0123abcd.partial", path]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_live_run_is_writing_is_left_alone(tmp_path: Path, kind: str) -> None:
    with another_run(kind, tmp_path / "a"):
        theirs = set(tmp_path.iterdir())
        with atomic_file(tmp_path / "a") as aside:
            aside.write_text("ours")
        assert set(tmp_path.iterdir()) == {*theirs, tmp_path / "a"}
        assert len(theirs) == 2


def test_a_second_run_of_a_resumable_folder_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with another_run("resumable", path):
        for _ in range(2):
            with (
                pytest.raises(WriteError, match=r"another run is at work on .*\.a\.partial; wait"),
                atomic_folder(path, resumable=True),
            ):
                pass
        assert (tmp_path / ".a.partial" / "inner").read_text() == "half"
    with atomic_folder(path, resumable=True) as aside:
        assert (aside / "inner").read_text() == "half"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_finished_by_another_run_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flock = tmp_path / "a", fcntl.flock

    def finished_first(descriptor: int, operation: int) -> None:
        path.mkdir(exist_ok=True)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", finished_first)
    with pytest.raises(WriteError, match="exists"), atomic_folder(path, resumable=True):
        pass
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_file_that_its_owner_removed_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock
    removed: list[Path] = []

    def removed_first(descriptor: int, operation: int) -> None:
        if not removed:
            removed.append(tmp_path / ".a.partial.lock")
            removed[0].unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", removed_first)
    with atomic_folder(tmp_path / "a", resumable=True):
        assert removed[0].exists()
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_without_locks_files_are_written_and_nothing_is_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    left = [tmp_path / ".a.0123abcd.partial", tmp_path / ".a.0123abcd.partial.lock"]
    for each in left:
        each.touch()
    with atomic_file(tmp_path / "a") as aside:
        aside.write_text("whole")
    assert sorted(tmp_path.iterdir()) == [*left, tmp_path / "a"]


def test_a_resumed_folder_lacks_what_the_killed_run_was_in_the_midst_of(tmp_path: Path) -> None:
    partial = tmp_path / ".a.partial"
    (partial / "passes").mkdir(parents=True)
    for name in ("done", "passes/.one.npy.0123abcd.partial", ".two.0123abcd.partial.lock"):
        (partial / name).touch()
    with atomic_folder(tmp_path / "a", resumable=True) as aside:
        assert sorted(aside.rglob("*")) == [aside / "done", aside / "passes"]


@pytest.mark.parametrize(
    ("error", "is_kept"),
    [(RecipeError, False), (CensusError, True), (WriteError, True), (OSError, True), (KeyError, True)],
)
def test_a_resumable_folder_is_kept_unless_the_error_would_come_again(
    tmp_path: Path, error: type[Exception], *, is_kept: bool
) -> None:
    with pytest.raises((error, CurateError)), atomic_folder(tmp_path / "a", resumable=True) as aside:
        (aside / "file").touch()
        raise error
    assert list(tmp_path.iterdir()) == ([tmp_path / ".a.partial"] if is_kept else [])


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), WriteError("could not write x; nothing was changed")],
)
def test_a_resumable_folder_that_could_not_be_written_says_what_is_kept(
    tmp_path: Path, error: Exception
) -> None:
    with pytest.raises(WriteError, match=r"; nothing had been written before$"):  # noqa: SIM117
        with atomic_folder(tmp_path / "a", resumable=True):
            raise error
    with pytest.raises(WriteError) as caught, atomic_folder(tmp_path / "a", resumable=True) as aside:
        for name in ("asked.json", "two", "one/part", "three"):
            (aside / name).parent.mkdir(exist_ok=True)
            (aside / name).touch()
        raise error
    assert "nothing was changed" not in str(caught.value)
    assert str(caught.value).endswith(
        f"; what was written before (asked.json, one/part, three and 1 more) is kept in "
        f"{tmp_path / '.a.partial'}: the same again goes on from there; "
        "or remove it"
    )


def test_what_an_interrupted_run_has_left_is_claimed_once_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with another_run("resumable", path):
        with pytest.raises(WriteError, match="another run is at work on"), claim_partial(path):
            pass
        assert (tmp_path / ".a.partial" / "inner").exists()
    with pytest.raises(KeyError), claim_partial(path):
        raise KeyError
    with claim_partial(path) as left:
        assert (left / "inner").read_text() == "half"
    assert list(tmp_path.iterdir()) == []
