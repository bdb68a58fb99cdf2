"""The layout: four links, and a wheel that holds exactly the five folders."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINKED = ("build", "manifests", "train", "evaluate")


@pytest.mark.parametrize("name", LINKED)
def test_the_package_links_to_the_root_folder(name: str) -> None:
    link = ROOT / "curate" / name
    assert link.is_symlink()
    assert link.readlink() == Path("..", name)


def test_the_wheel_holds_what_git_tracks_in_the_five_folders(tmp_path: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "curate", *LINKED], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    tracked = {path for path in listed.stdout.split("\0") if path and not (ROOT / path).is_symlink()}
    expected = {path if path.startswith("curate/") else f"curate/{path}" for path in tracked}
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True
    )
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == expected


def test_help_is_quick_because_it_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['curate', '--help']\n"
        "from curate.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'polars', 'pyarrow', 'pydantic', 'tiledbsoma', 'anndata', 'rich', 'numba'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr.strip() == "[]"
    assert "build" in run.stdout
