from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest
import scipy.sparse as sp

from curate.errors import SourceError
from curate.h5ad.source import H5adSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

i, j = np.ogrid[:30, :5]
COUNTS: NDArray[np.float32] = np.where((i + j) % 3 == 0, 1 + (7 * i + 3 * j) % 50, 0).astype(np.float32)
LOGGED: NDArray[np.float32] = np.log1p(COUNTS)


def dense(
    source: H5adSource, block_cells: int = 7, cells: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    return np.vstack([block.toarray() for block in source.blocks(block_cells, cells=cells)])


@pytest.mark.parametrize("layout", [sp.csr_matrix, sp.csc_matrix, np.asarray])
def test_counts_are_found_in_x_whatever_its_layout(
    write_h5ad: Callable[..., Path], layout: Callable[[NDArray[np.float32]], object]
) -> None:
    with H5adSource.open(write_h5ad(x=layout(COUNTS))) as source:
        assert source.layer == "X"
        assert (source.n_cells, source.n_genes) == (30, 5)
        assert source.obs_names[3] == "cell-3"
        assert source.var_names[0] == "TP53"
        assert np.array_equal(dense(source), COUNTS)


@pytest.mark.parametrize("block_cells", [1, 4, 30, 1000])
def test_blocks_are_the_cells_in_order_whatever_their_size(
    write_h5ad: Callable[..., Path], block_cells: int
) -> None:
    with H5adSource.open(write_h5ad(x=sp.csr_matrix(COUNTS))) as source:
        blocks = list(source.blocks(block_cells))
        assert max(block.shape[0] for block in blocks) == min(block_cells, 30)
        assert np.array_equal(dense(source, block_cells), COUNTS)


def test_only_the_wanted_cells_are_yielded(write_h5ad: Callable[..., Path]) -> None:
    wanted = np.zeros(30, dtype=np.bool_)
    wanted[[2, 8, 9, 29]] = True
    with H5adSource.open(write_h5ad(x=sp.csr_matrix(COUNTS))) as source:
        assert np.array_equal(dense(source, 4, wanted), COUNTS[wanted])
        assert len(list(source.blocks(4, cells=wanted))) == 3


def test_raw_x_is_taken_with_its_own_genes_when_x_is_normalised(write_h5ad: Callable[..., Path]) -> None:
    path = write_h5ad(x=LOGGED[:, :3], var_names=["A", "B", "C"], raw=COUNTS, raw_var_names=list("ABCDE"))
    with H5adSource.open(path) as source:
        assert source.layer == "raw.X"
        assert source.var_names.to_list() == list("ABCDE")
        assert np.array_equal(dense(source), COUNTS)


def test_the_raw_counts_of_files_before_anndata_0_7_are_found(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "old.h5ad", "w") as file:
        file["X"] = LOGGED
        file["obs"] = np.array(
            [(f"c{k}".encode(), k) for k in range(30)], dtype=[("index", "S4"), ("n", "i4")]
        )
        file["var"] = np.array([(b"x",)] * 5, dtype=[("index", "S1")])
        file["raw.X"] = COUNTS
        file["raw.var"] = np.array([(g,) for g in (b"A", b"B", b"C", b"D", b"E")], dtype=[("index", "S1")])
    with H5adSource.open(tmp_path / "old.h5ad") as source:
        assert source.layer == "raw.X"
        assert source.var_names.to_list() == list("ABCDE")
        assert source.obs["n"].to_list() == list(range(30))
        assert np.array_equal(dense(source), COUNTS)


@pytest.mark.parametrize("layer", ["raw", "raw.X", "raw/X"])
def test_raw_x_can_be_named_though_x_holds_counts_too(write_h5ad: Callable[..., Path], layer: str) -> None:
    path = write_h5ad(x=COUNTS, raw=COUNTS * 2)
    with H5adSource.open(path) as source:
        assert source.layer == "X"
    with H5adSource.open(path, layer=layer) as source:
        assert source.layer == "raw.X"
        assert np.array_equal(dense(source), COUNTS * 2)


def test_a_named_layer_is_taken(write_h5ad: Callable[..., Path]) -> None:
    path = write_h5ad(x=LOGGED, layers={"umi": sp.csr_matrix(COUNTS), "scaled": LOGGED})
    with H5adSource.open(path, layer="umi") as source:
        assert source.layer == "umi"
        assert np.array_equal(dense(source), COUNTS)


def test_a_file_without_counts_is_refused_with_what_was_looked_at(write_h5ad: Callable[..., Path]) -> None:
    path = write_h5ad(x=LOGGED, raw=COUNTS - 1, layers={"umi": COUNTS, "scaled": LOGGED})
    with pytest.raises(
        SourceError,
        match=r"no raw integer counts where looked for: X has values that are no integers "
        r"\(\d+ of the first 150, such as [\d.]+\); raw.X has negative values "
        r".*\. Counts are in umi: take it with --layer umi",
    ):
        H5adSource.open(path)


def test_a_file_of_values_alone_says_that_no_layer_has_counts(write_h5ad: Callable[..., Path]) -> None:
    with pytest.raises(SourceError, match=r"\. Nor are there any in scaled; get the raw file$"):
        H5adSource.open(write_h5ad(x=LOGGED, layers={"scaled": LOGGED}))


def test_a_named_layer_without_counts_is_refused_though_x_has_them(write_h5ad: Callable[..., Path]) -> None:
    path = write_h5ad(x=COUNTS, layers={"scaled": LOGGED})
    with pytest.raises(
        SourceError,
        match=r"looked for: scaled has values that are no integers.*Counts are in X: take it with --layer X",
    ):
        H5adSource.open(path, layer="scaled")


def test_one_fraction_in_the_last_cell_is_found(write_h5ad: Callable[..., Path]) -> None:
    counts = COUNTS.copy()
    counts[29, 4] = 1.5
    with pytest.raises(
        SourceError, match=r"X has values that are no integers \(1 of the first .*such as 1\.5\)"
    ):
        H5adSource.open(write_h5ad(x=sp.csr_matrix(counts)))


def test_an_absent_layer_is_refused_with_the_nearest(write_h5ad: Callable[..., Path]) -> None:
    with pytest.raises(SourceError, match="no layer 'count'; did you mean 'counts'"):
        H5adSource.open(write_h5ad(layers={"counts": COUNTS}), layer="count")


def test_a_file_without_a_matrix_is_refused(write_h5ad: Callable[..., Path]) -> None:
    path = write_h5ad()
    with h5py.File(path, "a") as file:
        del file["X"]
    with pytest.raises(SourceError, match=r"it has neither X nor raw\.X"):
        H5adSource.open(path)


def test_duplicate_cells_are_refused_with_their_number_and_an_example(
    write_h5ad: Callable[..., Path],
) -> None:
    names = [f"cell-{k}" for k in range(30)]
    names[7] = names[9] = "cell-3"
    with pytest.warns(UserWarning, match="Observation names are not unique"):
        path = write_h5ad(x=COUNTS, obs_names=names)
    with pytest.raises(SourceError, match=r"has 2 duplicate cells among 30.*'cell-3'"):
        H5adSource.open(path)
    names[9] = "cell-9"
    with pytest.warns(UserWarning, match="Observation names are not unique"):
        path = write_h5ad(x=COUNTS, obs_names=names)
    with pytest.raises(SourceError, match="has 1 duplicate cell among 30"):
        H5adSource.open(path)


def test_a_file_without_cells_is_refused(write_h5ad: Callable[..., Path]) -> None:
    with pytest.raises(SourceError, match="has no cells"):
        H5adSource.open(write_h5ad(x=COUNTS[:0]))


def test_a_matrix_of_another_size_than_obs_is_refused(write_h5ad: Callable[..., Path]) -> None:
    path = write_h5ad()
    with h5py.File(path, "a") as file:
        del file["X"]
        file["X"] = COUNTS[:20]
    with pytest.raises(SourceError, match="X has 20 rows and 5 columns, obs 30 cells and var 5 genes"):
        H5adSource.open(path)


def test_a_file_that_is_no_h5ad_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.h5ad"
    text.write_text("not HDF5")
    with pytest.raises(SourceError, match=r"text\.h5ad could not be read as h5ad"):
        H5adSource.open(text)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = [1]
    with pytest.raises(SourceError, match="has no obs or no var"):
        H5adSource.open(tmp_path / "other.h5")
    with pytest.raises(SourceError, match=r"absent\.h5ad is not there"):
        H5adSource.open(tmp_path / "absent.h5ad")


def test_a_truncated_file_is_refused(write_h5ad: Callable[..., Path]) -> None:
    path = write_h5ad()
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(SourceError, match=r"could not be read as h5ad.*is it complete"):
        H5adSource.open(path)


def test_what_a_column_wise_matrix_wrote_aside_is_removed(
    write_h5ad: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(aside))
    with H5adSource.open(write_h5ad(x=sp.csc_matrix(COUNTS))) as source:
        assert list(aside.iterdir()) == []
        assert np.array_equal(dense(source), COUNTS)
        assert len(list(aside.iterdir())) == 1
    assert list(aside.iterdir()) == []


def test_an_unchecked_layer_is_taken_at_its_word(write_h5ad: Callable[..., Path]) -> None:
    with H5adSource.open(write_h5ad(x=LOGGED), layer="X", check=False) as source:
        assert np.array_equal(dense(source), LOGGED)


def test_every_shared_file_has_counts_in_x(shared_data: Path) -> None:
    paths = sorted(shared_data.glob("*.h5ad"))
    assert len(paths) >= 15
    for path in paths:
        with H5adSource.open(path) as source:
            assert source.layer == "X"
            assert source.n_cells >= 500


def test_a_real_file_reads_as_anndata_reads_it(shared_data: Path) -> None:
    import anndata as ad

    path = shared_data / "kang_pbmc_muscat.h5ad"
    adata = ad.read_h5ad(path)
    with H5adSource.open(path) as source:
        assert source.obs_names.to_list() == adata.obs_names.tolist()
        assert source.var_names.to_list() == adata.var_names.tolist()
        assert source.obs["cell_type"].to_list() == adata.obs["cell_type"].tolist()
        assert np.array_equal(dense(source, 500), adata.X.toarray())
