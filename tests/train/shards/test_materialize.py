from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp

from curate.errors import CensusError, ShardError
from curate.manifests.document import CENSUS
from curate.sources.source import find_source
from curate.train.shards import Shards
from curate.train.shards import materialize as module
from curate.train.shards.kernels import take_rows
from curate.train.shards.materialize import materialize
from curate.train.shards.spool import spooled

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
    materialize(manifests[1], tmp_path / "again", shard_cells=50, workers=1)
    assert files_of(tmp_path / "again") == files_of(shards.path)


def test_what_is_there_is_opened_as_it_is(shards: Shards, manifests: list[Manifest]) -> None:
    before = shards.path.stat().st_mtime_ns
    assert materialize(manifests[1], shards.path, shard_cells=50).header == shards.header
    assert shards.path.stat().st_mtime_ns == before


def test_shards_of_something_else_are_left_alone(shards: Shards, manifests: list[Manifest]) -> None:
    with pytest.raises(ShardError, match=r"holds shards of shard_cells 50, not 60; name another folder"):
        materialize(manifests[1], shards.path, shard_cells=60)
    with pytest.raises(ShardError, match="holds shards of manifest"):
        materialize(manifests[0], shards.path, shard_cells=50)


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

    monkeypatch.setattr(module, "_shard", break_down)
    with pytest.raises(CensusError, match="network"):
        materialize(manifests[1], tmp_path / "broken", shard_cells=50)
    assert not (tmp_path / "broken").exists()
    monkeypatch.setattr(module, "_shard", real)

    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("counts are read again")

    monkeypatch.setattr(module, "corpus_counts", refuse)
    materialize(manifests[1], tmp_path / "broken", shard_cells=50)
    assert files_of(tmp_path / "broken") == files_of(shards.path)


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


def test_values_that_are_no_counts_are_refused_and_large_ones_kept() -> None:
    rows = np.array([1, 0])
    with pytest.raises(ShardError, match=r"a count is 0\.5"):
        spooled([sp.csr_array(np.array([[0.5, 0], [0, 1]], np.float32))], rows)
    kept = spooled([sp.csr_array(np.array([[70_000, 0], [0, 1]], np.float32))], rows)
    assert kept.data.dtype == np.uint32
    np.testing.assert_array_equal(kept.data, [1, 70_000])
    np.testing.assert_array_equal(kept.indices, [1, 0])


def test_rows_are_taken_as_scipy_takes_them() -> None:
    matrix = sp.csr_array(sp.random_array((30, 17), density=0.3, rng=np.random.default_rng(1)))
    rows = np.random.default_rng(2).integers(0, 30, 50)
    indptr, indices, data = take_rows(matrix.indptr.astype(np.int64), matrix.indices, matrix.data, rows)
    np.testing.assert_array_equal(
        sp.csr_array((data, indices, indptr), shape=(50, 17)).toarray(), matrix[rows].toarray()
    )
