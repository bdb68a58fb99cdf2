"""Writing aside: the old state or the new one, also when the disk is full or the run is interrupted."""

import subprocess
import sys
from pathlib import Path

import pytest

from curate.atomic import atomic_file, atomic_folder
from curate.errors import WriteError


def test_a_file_takes_its_place_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    with atomic_file(path) as aside:
        aside.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


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
