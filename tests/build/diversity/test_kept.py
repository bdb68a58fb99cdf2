"""What took long is computed once."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.build.diversity.kept import Kept


class Maker:
    def __init__(self) -> None:
        self.n_calls = 0

    def __call__(self) -> dict[str, NDArray[np.float64]]:
        self.n_calls += 1
        return {"values": np.arange(3.0)}


def test_it_is_computed_once_for_equal_settings(tmp_path: Path) -> None:
    make, kept = Maker(), Kept(tmp_path / "new" / "folder")
    for _ in range(3):
        assert kept.arrays({"a": 1, "b": None}, make)["values"].tolist() == [0, 1, 2]
    assert make.n_calls == 1
    kept.arrays({"a": 2, "b": None}, make)
    assert make.n_calls == 2


def test_a_damaged_file_is_computed_again(tmp_path: Path) -> None:
    make, kept = Maker(), Kept(tmp_path)
    kept.arrays({"a": 1}, make)
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"no safetensors")
    assert kept.arrays({"a": 1}, make)["values"].tolist() == [0, 1, 2]
    assert kept.arrays({"a": 1}, make)["values"].tolist() == [0, 1, 2]
    assert make.n_calls == 2


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    make, blocked = Maker(), tmp_path / "file"
    blocked.write_text("in the way")
    for _ in range(2):
        assert Kept(blocked / "folder").arrays({"a": 1}, make)["values"].tolist() == [0, 1, 2]
    assert make.n_calls == 2
