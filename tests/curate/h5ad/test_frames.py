from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
import polars as pl

from curate.h5ad.frames import read_frame, read_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_columns_of_every_kind_keep_their_values_and_what_is_missing_is_null(
    write_h5ad: Callable[..., Path],
) -> None:
    columns: dict[str, Any] = {
        "categorical": pd.Categorical(["a", None, "b"]),
        "numbers as categories": pd.Categorical([3, 1, 3]),
        "text": np.array(["x", "y", "z"], dtype=object),
        "whole": [1, 2, 3],
        "real": [0.5, np.nan, 2.0],
        "flag": [True, False, True],
        "nullable": pd.array([1, None, 3], dtype="Int64"),
        "nullable flag": pd.array([True, None, False], dtype="boolean"),
    }
    path = write_h5ad(x=np.ones((3, 5), dtype=np.float32), obs=columns)
    with h5py.File(path) as file:
        index, frame = read_frame(file["obs"])
    assert index.to_list() == ["cell-0", "cell-1", "cell-2"]
    assert frame["categorical"].dtype == pl.Categorical
    assert frame["categorical"].to_list() == ["a", None, "b"]
    assert frame["numbers as categories"].to_list() == ["3", "1", "3"]
    assert frame["text"].to_list() == ["x", "y", "z"]
    assert frame["whole"].to_list() == [1, 2, 3]
    assert frame["real"].fill_nan(None).to_list() == [0.5, None, 2.0]
    assert frame["flag"].to_list() == [True, False, True]
    assert frame["nullable"].to_list() == [1, None, 3]
    assert frame["nullable flag"].to_list() == [True, None, False]


def test_a_frame_without_columns_has_its_index(write_h5ad: Callable[..., Path]) -> None:
    with h5py.File(write_h5ad()) as file:
        index, frame = read_frame(file["obs"])
    assert len(index) == 30
    assert frame.columns == []


def test_the_compound_frames_before_anndata_0_7_are_read(tmp_path: Path) -> None:
    rows = np.array(
        [(b"AAA", 1, 7.5), (b"CCC", 0, 1.0), (b"GGG", -1, 2.0)],
        dtype=[("index", "S3"), ("cell_type", "i1"), ("score", "f4")],
    )
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file["obs"] = rows
        file["uns/cell_type_categories"] = [b"B cell", b"T cell"]
        index, frame = read_frame(file["obs"], file["uns"])
    assert index.to_list() == ["AAA", "CCC", "GGG"]
    assert frame["cell_type"].to_list() == ["T cell", "B cell", None]
    assert frame["score"].to_list() == [7.5, 1.0, 2.0]


def test_the_frames_of_anndata_0_7_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "old.h5", "w") as file:
        group = file.create_group("obs")
        group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.1.0", "_index": "index"})
        group.attrs["column-order"] = np.array(["cell_type"], dtype=h5py.string_dtype())
        group["index"] = ["AAA", "CCC"]
        group["cell_type"] = np.array([1, 0], dtype=np.int8)
        group["__categories/cell_type"] = ["B cell", "T cell"]
        group["cell_type"].attrs["categories"] = group["__categories/cell_type"].ref
        index, frame = read_frame(group)
    assert index.to_list() == ["AAA", "CCC"]
    assert frame["cell_type"].to_list() == ["T cell", "B cell"]


def test_texts_of_uns_are_read_and_anything_else_is_empty(write_h5ad: Callable[..., Path]) -> None:
    source = {"repo": "a/b", "year": 2024, "licence": "CC BY 4.0"}
    with h5py.File(write_h5ad(uns={"title": "A title", "source": source, "matrix": np.ones(3)})) as file:
        assert read_text(file["uns/title"]) == "A title"
        assert read_text(file["uns/source"]) == "licence: CC BY 4.0; repo: a/b"
        assert read_text(file["uns/matrix"]) == ""
        assert read_text(file.get("uns/absent")) == ""
