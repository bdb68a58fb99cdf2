from __future__ import annotations

import re
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest
import scipy.sparse as sp

import curate.h5ad.matrix
from curate.errors import SourceError
from curate.h5ad.matrix import flaw, open_matrix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

N_CELLS, N_GENES = 23, 7
COUNTS: NDArray[np.float32] = np.where(
    np.add.outer(np.arange(N_CELLS), np.arange(N_GENES)) % 3 == 0,
    1 + np.add.outer(10 * np.arange(N_CELLS), np.arange(N_GENES)),
    0,
).astype(np.float32)


@pytest.fixture
def h5(tmp_path: Path) -> Iterator[h5py.File]:
    with h5py.File(tmp_path / "matrix.h5", "w") as file:
        yield file


@pytest.fixture
def scratch(tmp_path: Path) -> Callable[[], Path]:
    def make() -> Path:
        (tmp_path / "scratch").mkdir()
        return tmp_path / "scratch"

    return make


def write_sparse(h5: h5py.File, counts: NDArray[np.float32], layout: str) -> h5py.Group:
    matrix = sp.csr_array(counts) if layout == "csr" else sp.csc_array(counts)
    group = h5.create_group("X")
    group.attrs["encoding-type"] = f"{layout}_matrix"
    group.attrs["shape"] = counts.shape
    for part in ("data", "indices", "indptr"):
        group[part] = getattr(matrix, part)
    return group


def write(h5: h5py.File, counts: NDArray[np.float32], layout: str) -> h5py.Group | h5py.Dataset:
    if layout == "dense":
        return h5.create_dataset("X", data=counts)
    return write_sparse(h5, counts, layout)


@pytest.mark.parametrize("layout", ["csr", "csc", "dense"])
@pytest.mark.parametrize("max_values", [1, 10, 2**24])
def test_every_layout_gives_the_same_rows_whatever_fits_in_memory(
    h5: h5py.File,
    scratch: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
    layout: str,
    max_values: int,
) -> None:
    monkeypatch.setattr(curate.h5ad.matrix, "MAX_VALUES", max_values)
    monkeypatch.setattr(curate.h5ad.matrix, "_TURNED_VALUES", max_values)
    matrix = open_matrix(write(h5, COUNTS, layout), scratch)
    assert matrix.shape == (N_CELLS, N_GENES)
    rows, start = [], 0
    while start < N_CELLS:
        end = matrix.end(start, 5)
        assert start < end <= start + 5
        block = matrix.rows(start, end)
        assert block.dtype == np.float32
        assert block.indptr.dtype == np.int64
        assert block.has_canonical_format
        assert block.data.all()
        rows.append(block.toarray())
        start = end
    assert np.array_equal(np.vstack(rows), COUNTS)


@pytest.mark.parametrize("layout", ["csr", "csc", "dense"])
def test_a_block_ends_where_the_values_that_fit_end(
    h5: h5py.File, scratch: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    monkeypatch.setattr(curate.h5ad.matrix, "MAX_VALUES", 14)
    matrix = open_matrix(write(h5, COUNTS, layout), scratch)
    # Dense: two rows of 7. Sparse: rows 0-5 have 3, 2, 2, 3, 2, 2 values, together 14.
    assert matrix.end(0, 100) == (2 if layout == "dense" else 6)


def test_entries_that_stand_twice_are_summed_and_zeros_dropped(
    h5: h5py.File, scratch: Callable[[], Path]
) -> None:
    group = h5.create_group("X")
    group.attrs["encoding-type"] = "csr_matrix"
    group.attrs["shape"] = (2, 3)
    group["data"], group["indices"], group["indptr"] = [1, 2, 0, 4], [2, 2, 1, 0], [0, 2, 4]
    block = open_matrix(group, scratch).rows(0, 2)
    assert block.toarray().tolist() == [[0, 0, 3], [4, 0, 0]]
    assert block.nnz == 2


def test_the_encoding_before_anndata_0_7_is_read(h5: h5py.File, scratch: Callable[[], Path]) -> None:
    group = write_sparse(h5, COUNTS, "csr")
    del group.attrs["encoding-type"], group.attrs["shape"]
    group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = "csr", COUNTS.shape
    assert np.array_equal(open_matrix(group, scratch).rows(0, N_CELLS).toarray(), COUNTS)


def test_an_unknown_layout_is_refused(h5: h5py.File, scratch: Callable[[], Path]) -> None:
    with pytest.raises(SourceError, match="/X is stored as 'awkward'; dense, csr and csc"):
        group = h5.create_group("X")
        group.attrs["encoding-type"] = "awkward"
        open_matrix(group, scratch)
    with pytest.raises(SourceError, match="has 1 dimensions instead of 2"):
        open_matrix(h5.create_dataset("line", data=[1, 2]), scratch)


def test_index_pointers_that_do_not_fit_are_refused(h5: h5py.File, scratch: Callable[[], Path]) -> None:
    group = write_sparse(h5, COUNTS, "csr")
    group["indptr"][3] = 10_000
    with pytest.raises(SourceError, match="is damaged: its indptr does not fit"):
        open_matrix(group, scratch)


@pytest.mark.parametrize("index", [-1, N_GENES])
def test_an_index_outside_the_matrix_is_refused(
    h5: h5py.File, scratch: Callable[[], Path], index: int
) -> None:
    group = write_sparse(h5, COUNTS, "csr")
    group["indices"][4] = index
    matrix = open_matrix(group, scratch)
    with pytest.raises(SourceError, match=f"is damaged: index {index} with 7 entries"):
        matrix.rows(0, N_CELLS)


def test_a_column_wise_matrix_is_refused_when_its_copy_does_not_fit_on_the_disk(
    h5: h5py.File, scratch: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = open_matrix(write_sparse(h5, COUNTS, "csc"), scratch)

    class Usage:
        free = 10

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)
    with pytest.raises(SourceError, match=r"stored by columns.*set TMPDIR"):
        matrix.rows(0, 1)


@pytest.mark.parametrize("layout", ["csr", "csc", "dense"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.5, r"no integers \(1 of the first .*such as 0\.5\)"),
        (np.nan, "no integers .*such as nan"),
        (np.inf, "no integers .*such as inf"),
        (-3, r"negative values \(1 of the first .*such as -3\)"),
        (2**24 + 2, "a count of 16,777,218, above the 16,777,216"),
    ],
)
def test_one_wrong_value_anywhere_is_found(
    h5: h5py.File,
    scratch: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
    layout: str,
    value: float,
    message: str,
) -> None:
    monkeypatch.setattr(curate.h5ad.matrix, "MAX_VALUES", 10)
    counts = COUNTS.copy()
    counts[-1, -1] = value
    matrix = open_matrix(write(h5, counts, layout), scratch)
    assert re.search(message, flaw(matrix) or "nothing")


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float32", "float64"])
def test_counts_of_any_number_type_are_counts(h5: h5py.File, scratch: Callable[[], Path], dtype: str) -> None:
    matrix = open_matrix(h5.create_dataset("X", data=(COUNTS % 100).astype(dtype)), scratch)
    looked_at: list[int] = []
    assert flaw(matrix, looked_at.append) is None
    assert sum(looked_at) == matrix.n_values == COUNTS.size


def test_a_matrix_of_zeros_or_of_text_holds_no_counts(h5: h5py.File, scratch: Callable[[], Path]) -> None:
    assert (
        flaw(open_matrix(h5.create_dataset("zeros", data=np.zeros((3, 2))), scratch)) == "no value above zero"
    )
    texts = h5.create_dataset("texts", data=np.array([[b"a"], [b"b"]]))
    assert flaw(open_matrix(texts, scratch)) == "values of type |S1"
