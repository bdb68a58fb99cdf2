from __future__ import annotations

import errno
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from curate.errors import CensusError, ShardError, WriteError
from curate.manifests.document import CENSUS
from curate.sources.source import find_source
from curate.train.shards import Shards, reading
from curate.train.shards import materialize as module
from curate.train.shards.kernels import take_rows
from curate.train.shards.materialize import materialize
from curate.train.shards.spool import Spool, Spooled, entries_of, spooled

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.manifests.manifest import Manifest


def counts_of(shards: Shards) -> NDArray[np.float64]:
    """Return all counts, dense, in the order of the rows."""
    found = np.zeros((sum(shards.header.n_cells.values()), shards.header.n_genes))
    for split in ("train", "val", "test"):
        for shard in shards.split(split):
            part = sp.csr_array(
                (shard.data.astype(float), shard.indices.astype(np.int32), shard.indptr),
                shape=(shard.n_cells, shards.header.n_genes),
            )
            found[shard.first_row : shard.first_row + shard.n_cells] = part.toarray()
    return found


def files_of(path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in path.iterdir() if each.name != "shards.json"}


def test_every_cell_stands_with_its_own_counts_and_labels(
    shards: Shards, manifests: list[Manifest], coordinate_counts: NDArray[np.float32]
) -> None:
    obs, counts = shards.obs(), counts_of(shards)
    corpus = manifests[1].corpus()
    of_census = (obs["source"].cast(pl.String) == CENSUS).to_numpy()
    joinids = obs["soma_joinid"].to_numpy()
    genes = corpus.var_joinids()
    np.testing.assert_array_equal(counts[of_census], coordinate_counts[joinids[of_census]][:, genes])
    rows = np.sort(joinids[~of_census])
    assert rows.size > 20
    screen = sp.vstack(list(find_source(corpus, "screen").counts(rows))).toarray()
    order = np.argsort(joinids[~of_census])
    np.testing.assert_array_equal(counts[~of_census][order], screen)


def test_the_cells_are_those_of_the_manifest_split_by_split(
    shards: Shards, manifests: list[Manifest]
) -> None:
    columns = ["source", "soma_joinid", "split", "cell_type"]
    as_text = pl.col("source", "split", "cell_type").cast(pl.String)
    held = shards.obs(columns).with_columns(as_text)
    wanted = manifests[1].obs(["cell_type"]).select(columns).with_columns(as_text)
    assert held.sort("source", "soma_joinid").equals(wanted.sort("source", "soma_joinid"))
    for split in ("train", "val", "test"):
        rows = shards.rows(split)
        assert set(held[rows.start : rows.stop]["split"]) == {split}
        assert len(rows) == shards.n_cells(split) == (wanted["split"] == split).sum()
    assert not held["soma_joinid"].is_sorted()


def test_genes_that_a_source_did_not_measure_are_told_from_zeros(shards: Shards) -> None:
    presence = shards.genes.presence
    assert presence is not None
    named = shards.measured()
    assert set(named) <= set(presence.datasets)
    assert "screen" in set(named)
    counts, measured = counts_of(shards), np.array([presence.of(name) for name in named])
    assert not counts[~measured].any()
    assert not presence.of("screen").all()


def test_the_same_manifest_gives_the_same_bytes_by_threads_and_by_workers(
    shards: Shards, manifests: list[Manifest], tmp_path: Path
) -> None:
    pytest.importorskip("distributed")
    again = materialize(manifests[1], tmp_path / "again", shard_cells=50, workers=1)
    assert files_of(tmp_path / "again") == files_of(shards.path)
    free = {"created", "software"}
    assert again.header.model_dump(exclude=free) == shards.header.model_dump(exclude=free)


def test_what_is_there_is_opened_as_it_is(shards: Shards, manifests: list[Manifest]) -> None:
    before = shards.path.stat().st_mtime_ns
    assert materialize(manifests[1], shards.path, shard_cells=50).header == shards.header
    assert shards.path.stat().st_mtime_ns == before


def test_shards_of_something_else_are_left_alone(shards: Shards, manifests: list[Manifest]) -> None:
    with pytest.raises(ShardError, match=r": shard_cells 50, not 60; name another folder, or move this"):
        materialize(manifests[1], shards.path, shard_cells=60)
    with pytest.raises(
        ShardError, match=r"holds shards of .*@v1: manifest \w+, not \w+; name another folder"
    ):
        materialize(manifests[0], shards.path, shard_cells=50)


def test_a_folder_that_is_there_and_holds_something_else_is_left_alone(
    manifests: list[Manifest], tmp_path: Path
) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(
        ShardError, match=r"is there and holds no shards; name a folder that is not there yet$"
    ):
        materialize(manifests[0], tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]


def test_a_run_that_was_interrupted_goes_on_and_ends_in_the_same_bytes(
    shards: Shards, manifests: list[Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = module._shard, 0

    def break_down(*arguments: object) -> object:
        nonlocal written
        if written == 2:
            raise CensusError("the network is gone")
        written += 1
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "HELD_BYTES", 0)
    monkeypatch.setattr(module, "_shard", break_down)
    with pytest.raises(CensusError, match="network"):
        materialize(manifests[1], tmp_path / "broken", shard_cells=50)
    assert not (tmp_path / "broken").exists()
    monkeypatch.setattr(module, "_shard", real)

    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("counts are read again")

    monkeypatch.setattr(reading, "corpus_counts", refuse)
    materialize(manifests[1], tmp_path / "broken", shard_cells=50)
    assert files_of(tmp_path / "broken") == files_of(shards.path)


KILLED_IN_THE_MIDST = """
import os, signal, sys
from pathlib import Path
from curate.manifests.manifest import Manifest
from curate.train.shards import materialize as module, reading
from curate.workspace import Workspace

folder, home, path, held_bytes, n_files = sys.argv[1:]
reading.HELD_BYTES = int(held_bytes)
write, left = module._write, int(n_files)

def write_and_die(to, array):
    global left
    left -= 1
    if left < 0:
        (to.parent / f".{to.name}.00000000.partial").write_bytes(array.data[: array.size // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    return write(to, array)

module._write = write_and_die
workspace = Workspace.find(home)
module.materialize(Manifest.open(folder, workspace=workspace), Path(path), shard_cells=50)
"""


@pytest.mark.parametrize(("held_bytes", "n_files"), [(0, 7), (2**30, 7), (0, 0)])
def test_a_run_killed_in_the_midst_of_a_file_goes_on_and_ends_in_the_same_bytes(
    shards: Shards,
    manifests: list[Manifest],
    screen_workspace: Path,
    tmp_path: Path,
    held_bytes: int,
    n_files: int,
) -> None:
    path = tmp_path / "killed"
    arguments = (manifests[1].folder, screen_workspace, path, held_bytes, n_files)
    done = subprocess.run([sys.executable, "-c", KILLED_IN_THE_MIDST, *map(str, arguments)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()
    left = {each.name for each in (tmp_path / ".killed.partial").iterdir()}
    assert any(name.endswith(".partial") for name in left)
    assert len(list((tmp_path / ".killed.partial" / "spool").glob("*.spool"))) == (0 if held_bytes else 2)
    materialize(manifests[1], path, shard_cells=50)
    assert {each.name for each in tmp_path.iterdir()} == {"killed"}
    assert files_of(path) == files_of(shards.path)
    Shards.open(path).verify()


def test_a_full_disk_is_told_in_one_line_and_the_next_run_goes_on(
    shards: Shards, manifests: list[Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module._write

    def fill(path: Path, array: NDArray[np.generic]) -> object:
        if path.name == "train-00002.data.npy":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return real(path, array)

    monkeypatch.setattr(module, "_write", fill)
    with pytest.raises(WriteError, match=r"could not write .*: No space left on device") as caught:
        materialize(manifests[1], tmp_path / "full", shard_cells=50)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(
        f"kept in {tmp_path / '.full.partial'}: the same again goes on from there; or remove it"
    )
    assert not (tmp_path / "full").exists()
    assert not list((tmp_path / ".full.partial").glob("train-00002.json"))
    monkeypatch.setattr(module, "_write", real)
    materialize(manifests[1], tmp_path / "full", shard_cells=50)
    assert files_of(tmp_path / "full") == files_of(shards.path)


def test_a_spooled_unit_that_is_not_whole_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "unit.spool"
    unit = spooled_counts([[2, 0], [3, 1]], [1, 0])
    unit.save(path)
    assert Spool(budget=0).found(path, np.array([1, 0]))
    assert not Spool(budget=0).found(path, np.array([1, 2]))
    content = path.read_bytes()
    for n in range(0, len(content), 7):
        path.write_bytes(content[:n])
        assert not Spool(budget=0).found(path, np.array([1, 0]))


def test_a_file_that_changed_is_named(shards: Shards, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shards.path, copy)
    Shards.open(copy).verify()
    path = copy / "train-00001.data.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ShardError, match=r"train-00001\.data\.npy has changed since it was written"):
        Shards.open(copy).verify()
    path.write_bytes(content[:-3])
    with pytest.raises(ShardError, match=r"train-00001\.data\.npy has .* bytes, not"):
        Shards.open(copy)
    path.unlink()
    with pytest.raises(ShardError, match=r"train-00001\.data\.npy is missing"):
        Shards.open(copy)


def test_a_folder_without_shards_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="make some with `curate materialize`"):
        Shards.open(tmp_path)
    (tmp_path / "shards.json").write_text('{"format": 7}')
    with pytest.raises(ShardError, match="format 7, this curate reads 1"):
        Shards.open(tmp_path)
    (tmp_path / "shards.json").write_text('{"format": 1}')
    with pytest.raises(ShardError, match="is damaged at manifest"):
        Shards.open(tmp_path)


def spooled_counts(counts: list[list[float]], rows: list[int]) -> Spooled:
    matrix = np.array(counts, np.float32)
    return spooled(
        entries_of([sp.csr_array(matrix)]),
        np.arange(len(matrix)),
        np.array(rows),
        column=np.arange(matrix.shape[1], dtype=np.int32),
        n_genes=matrix.shape[1],
    )


@pytest.mark.parametrize("wrong", [0.5, -1, np.nan, np.inf, 2**32])
def test_values_that_are_no_counts_are_refused(wrong: float) -> None:
    with pytest.raises(ShardError, match=rf"a count is {wrong:g}".replace("+", r"\+")):
        spooled_counts([[2, 0], [wrong, 1]], [1, 0])


def test_large_counts_are_kept() -> None:
    kept = spooled_counts([[70_000, 0], [0, 1]], [1, 0])
    assert kept.data.dtype == np.uint32
    np.testing.assert_array_equal(kept.data, [1, 70_000])
    np.testing.assert_array_equal(kept.indices, [1, 0])


def test_entries_in_any_order_with_others_among_them_are_put_into_the_order_of_the_rows() -> None:
    rng = np.random.default_rng(0)
    dense = rng.integers(0, 3, (40, 30))
    cells, column = np.flatnonzero(rng.random(40) < 0.6), np.full(30, -1, np.int32)
    wanted = rng.permutation(30)[:20]
    column[wanted] = np.arange(20)
    numbers, genes = rng.permutation(np.argwhere(dense)).T
    rows = rng.permutation(cells.size) + 7
    values = dense[numbers, genes].astype(np.float32)
    halves = [(numbers[part], genes[part], values[part]) for part in (slice(0, 300), slice(300, None))]
    found = spooled(halves, cells, rows, column=column, n_genes=20)
    np.testing.assert_array_equal(found.rows, np.arange(cells.size) + 7)
    expected = sp.csr_array(dense[cells][np.argsort(rows)][:, wanted])
    np.testing.assert_array_equal(found.indptr, expected.indptr)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.data, expected.data)


def test_rows_are_taken_as_scipy_takes_them() -> None:
    matrix = sp.csr_array(sp.random_array((30, 17), density=0.3, rng=np.random.default_rng(1)))
    rows = np.random.default_rng(2).integers(0, 30, 50)
    indptr, indices, data = take_rows(matrix.indptr.astype(np.int64), matrix.indices, matrix.data, rows)
    np.testing.assert_array_equal(
        sp.csr_array((data, indices, indptr), shape=(50, 17)).toarray(), matrix[rows].toarray()
    )
