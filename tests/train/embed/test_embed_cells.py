"""Any data as a trained model sees them: aligned, streamed, written."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from click.testing import CliRunner, Result

from curate.cli import curate
from curate.errors import ModelError, SourceError, WriteError
from curate.train.embed.cells import embed_cells
from curate.train.embed.sources import ShardsSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.train.artifact import Artifact
    from curate.workspace import Workspace

N_CELLS = 150


@pytest.fixture
def counts(coordinate_counts: NDArray[np.float32]) -> NDArray[np.float32]:
    return coordinate_counts[:N_CELLS]


@pytest.fixture
def data(tmp_path: Path, counts: NDArray[np.float32], coordinate_genes: pl.DataFrame) -> Path:
    """The first cells of the store, genes by Ensembl id."""
    return write(tmp_path / "data.h5ad", counts, coordinate_genes["feature_id"].to_list())


def write(path: Path, counts: NDArray[np.float32], genes: list[str]) -> Path:
    obs = pd.DataFrame(
        {
            "kind": pd.Categorical(["a", "b", None] * (counts.shape[0] // 3)),
            "depth": counts.sum(axis=1),
        },
        index=[f"cell {k}" for k in range(counts.shape[0])],
    )
    ad.AnnData(sp.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=genes)).write_h5ad(path)
    return path


def embedded(artifact: Artifact, data: Path, out: Path, **settings: object) -> NDArray[np.float32]:
    embed_cells(artifact, data, out, **settings)  # type: ignore[arg-type]
    values: NDArray[np.float32] = np.load(out)
    return values


def test_vectors_are_those_of_the_model(
    trained: Artifact, data: Path, counts: NDArray[np.float32], tmp_path: Path
) -> None:
    values = embedded(trained, data, tmp_path / "out.npy")
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, trained.load().embed(sp.csr_array(counts)))


def test_genes_by_symbol_in_another_order_with_versions_and_strangers(
    trained: Artifact,
    data: Path,
    counts: NDArray[np.float32],
    coordinate_genes: pl.DataFrame,
    tmp_path: Path,
) -> None:
    order = np.random.default_rng(1).permutation(counts.shape[1])
    ids, symbols = (coordinate_genes[name].to_list() for name in ("feature_id", "feature_name"))
    names = [symbols[j] if j % 2 else f"{ids[j]}.7" for j in order]
    wider = np.hstack([counts[:, order], np.full((N_CELLS, 2), 9, np.float32)])
    other = write(tmp_path / "other.h5ad", wider, [*names, "MYSTERY1", "MYSTERY2"])
    result = embed_cells(trained, other, tmp_path / "other.npy")
    np.testing.assert_array_equal(np.load(result.path), embedded(trained, data, tmp_path / "out.npy"))
    assert result.overlap.n_found == result.overlap.n_model == 120
    assert result.overlap.how == {"index id": 60, "index symbol": 60, "unmapped": 2}
    assert result.overlap.counts_fraction == pytest.approx(counts.sum() / wider.sum())


def test_genes_that_meet_are_summed_and_absent_ones_are_zero(
    trained: Artifact, counts: NDArray[np.float32], coordinate_genes: pl.DataFrame, tmp_path: Path
) -> None:
    ids, symbols = (coordinate_genes[name].to_list() for name in ("feature_id", "feature_name"))
    # Gene 0 stands twice, genes 100 … 119 are missing.
    held = np.hstack([counts[:, :100], counts[:, 50:51]])
    path = write(tmp_path / "met.h5ad", held, [*ids[:100], symbols[0]])
    result = embed_cells(trained, path, tmp_path / "met.npy")
    expected = counts.copy()
    expected[:, 100:] = 0
    expected[:, 0] += counts[:, 50]
    np.testing.assert_array_equal(np.load(result.path), trained.load().embed(sp.csr_array(expected)))
    assert (result.overlap.n_found, result.overlap.n_summed) == (100, 2)
    assert result.overlap.found_fraction == pytest.approx(100 / 120)
    assert result.overlap.counts_fraction == 1


def test_genes_that_hold_few_of_the_counts_are_warned_of(
    trained: Artifact,
    fresh_workspace: Workspace,
    counts: NDArray[np.float32],
    coordinate_genes: pl.DataFrame,
    tmp_path: Path,
) -> None:
    much = np.full((N_CELLS, 1), 9 * counts.sum() // N_CELLS, np.float32)
    ids = coordinate_genes["feature_id"].to_list()
    path = write(tmp_path / "much.h5ad", np.hstack([counts, much]), [*ids, "MYSTERY"])

    def run(data: Path, out: str) -> Result:
        arguments = ["-C", str(fresh_workspace.root), "embed-cells", trained.name, str(data), "--json"]
        return CliRunner().invoke(curate, [*arguments, "-o", str(tmp_path / out)], catch_exceptions=False)

    found = run(path, "much.npy")
    assert "warning: the model sees 10.0% of the counts" in found.stderr
    assert "though 100.0% of its own are there" in found.stderr
    assert json.loads(found.stdout)["genes"]["counts_fraction"] == pytest.approx(0.1, abs=1e-3)
    plain = write(tmp_path / "plain.h5ad", counts, ids)
    assert "warning" not in run(plain, "plain.npy").stderr


def test_too_few_of_the_models_genes_are_refused(
    trained: Artifact, counts: NDArray[np.float32], coordinate_genes: pl.DataFrame, tmp_path: Path
) -> None:
    ids = coordinate_genes["feature_id"].to_list()
    path = write(tmp_path / "few.h5ad", counts[:, :30], ids[:30])
    message = r"few.h5ad: 30 of the model's 120 genes \(25.0%\) are among 30 of the data, at least 50% are"
    with pytest.raises(ModelError, match=message):
        embed_cells(trained, path, tmp_path / "out.npy")
    assert not (tmp_path / "out.npy").exists()
    assert embed_cells(trained, path, tmp_path / "out.npy", min_overlap=0.25).n_cells == N_CELLS


def test_genes_that_nobody_knows_are_refused(
    trained: Artifact, counts: NDArray[np.float32], tmp_path: Path
) -> None:
    path = write(tmp_path / "strange.h5ad", counts, [f"x{j}" for j in range(120)])
    with pytest.raises(SourceError, match="0 of its 120 genes are among the 120"):
        embed_cells(trained, path, tmp_path / "out.npy")


def test_values_that_are_no_counts_are_refused(
    trained: Artifact, counts: NDArray[np.float32], coordinate_genes: pl.DataFrame, tmp_path: Path
) -> None:
    path = write(tmp_path / "logs.h5ad", np.log1p(counts), coordinate_genes["feature_id"].to_list())
    with pytest.raises(SourceError, match="values that are no integers"):
        embed_cells(trained, path, tmp_path / "out.npy")


def test_bytes_do_not_depend_on_how_much_is_read_at_a_time(
    trained: Artifact, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {suffix: tmp_path / f"before{suffix}" for suffix in (".npy", ".h5ad", ".parquet")}
    for path in before.values():
        embed_cells(trained, data, path)
    monkeypatch.setattr("curate.h5ad.matrix.MAX_VALUES", 1000)
    for suffix, path in before.items():
        after = tmp_path / f"after{suffix}"
        embed_cells(trained, data, after)
        if suffix == ".parquet":
            assert pl.read_parquet(after).equals(pl.read_parquet(path))
        else:
            assert after.read_bytes() == path.read_bytes()


def test_an_h5ad_file_keeps_obs_and_says_by_which_model(
    trained: Artifact, data: Path, tmp_path: Path
) -> None:
    result = embed_cells(trained, data, tmp_path / "out.h5ad")
    written, original = ad.read_h5ad(tmp_path / "out.h5ad"), ad.read_h5ad(data)
    assert result.key == "X_toy"
    pd.testing.assert_frame_equal(written.obs, original.obs)
    assert written.X is None
    assert written.uns["curate"] == {"model": trained.name, "model_id": trained.id}
    np.testing.assert_array_equal(written.obsm["X_toy"], embedded(trained, data, tmp_path / "out.npy"))


def test_a_parquet_file_names_the_cells(trained: Artifact, data: Path, tmp_path: Path) -> None:
    embed_cells(trained, data, tmp_path / "out.parquet")
    table = pl.read_parquet(tmp_path / "out.parquet")
    assert table.columns == ["cell", *(f"X_toy_{k}" for k in range(5))]
    assert table["cell"].to_list() == [f"cell {k}" for k in range(N_CELLS)]
    values = embedded(trained, data, tmp_path / "out.npy")
    np.testing.assert_array_equal(table.drop("cell").to_numpy(), values)


def test_a_file_that_is_there_is_not_written_over(trained: Artifact, data: Path, tmp_path: Path) -> None:
    (tmp_path / "out.npy").write_text("mine")
    with pytest.raises(ModelError, match=r"out.npy exists; name another file"):
        embed_cells(trained, data, tmp_path / "out.npy")
    assert (tmp_path / "out.npy").read_text() == "mine"


def test_another_kind_of_file_is_refused(trained: Artifact, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"ends in .csv; vectors are written to .h5ad, .parquet, .npy"):
        embed_cells(trained, data, tmp_path / "out.csv")


def test_a_full_disk_leaves_nothing(
    trained: Artifact, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(WriteError, match=r"could not write .*out.h5ad: No space left"):
        embed_cells(trained, data, tmp_path / "out.h5ad")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.h5ad", "workspace"]


def test_a_store_gives_the_same_vectors_as_its_cells_in_a_file(
    trained: Artifact, data: Path, coordinate_census: Path, tmp_path: Path
) -> None:
    values = embedded(trained, coordinate_census, tmp_path / "store.npy")
    assert values.shape == (600, 5)
    np.testing.assert_array_equal(values[:N_CELLS], embedded(trained, data, tmp_path / "out.npy"))


def test_a_split_of_shards_is_embedded_cell_by_cell(
    trained: Artifact, coordinate_counts: NDArray[np.float32], tmp_path: Path
) -> None:
    folder = trained.path.parents[1] / "shards" / "random-n300-s0" / "v0001"
    result = embed_cells(trained, folder, tmp_path / "test.parquet", split="test")
    table = pl.read_parquet(tmp_path / "test.parquet")
    rows = table["cell"].cast(pl.Int64).to_numpy()
    assert 0 < result.n_cells < 60
    expected = trained.load().embed(sp.csr_array(coordinate_counts[rows]))
    np.testing.assert_array_equal(table.drop("cell").to_numpy(), expected)
    whole = embed_cells(trained, folder, tmp_path / "all.h5ad")
    assert whole.n_cells == 300
    assert set(ad.read_h5ad(tmp_path / "all.h5ad").obs["split"]) == {"train", "val", "test"}


def test_shards_are_read_in_blocks_of_any_size(trained: Artifact) -> None:
    folder = trained.path.parents[1] / "shards" / "random-n300-s0" / "v0001"
    source = ShardsSource(folder, None)
    whole = sp.vstack(list(source.blocks())).toarray()
    assert whole.shape == (300, 120)
    np.testing.assert_array_equal(sp.vstack(list(source.blocks(7))).toarray(), whole)


def test_a_split_of_a_file_is_refused(trained: Artifact, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no folder of shards and has no splits"):
        embed_cells(trained, data, tmp_path / "out.npy", split="test")


def test_a_gpu_that_is_not_there_is_refused(
    trained: Artifact, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ModelError, match="torch finds no GPU here"):
        embed_cells(trained, data, tmp_path / "out.npy", accelerator="gpu")


def test_damaged_data_are_refused(trained: Artifact, data: Path, tmp_path: Path) -> None:
    data.write_bytes(data.read_bytes()[:4000])
    with pytest.raises(SourceError, match="could not be read as h5ad"):
        embed_cells(trained, data, tmp_path / "out.npy")
    with pytest.raises(SourceError, match=r"none.h5ad is not there"):
        embed_cells(trained, tmp_path / "none.h5ad", tmp_path / "out.npy")


def test_cells_without_counts_in_genes_of_the_model_are_counted_and_have_one_vector(
    trained: Artifact, counts: NDArray[np.float32], coordinate_genes: pl.DataFrame, tmp_path: Path
) -> None:
    held = np.hstack([counts, np.zeros((N_CELLS, 1), np.float32)])
    held[[3, 90], :-1] = 0
    # One has no count at all, the other none in a gene of the model.
    held[90, -1] = 7
    path = write(tmp_path / "empty.h5ad", held, [*coordinate_genes["feature_id"].to_list(), "MYSTERY"])
    result = embed_cells(trained, path, tmp_path / "new" / "folder" / "out.npy")
    values = np.load(result.path)
    assert result.n_empty == 2
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(values[3], values[90])
