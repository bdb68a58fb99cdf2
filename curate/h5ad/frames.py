"""The obs and var tables of an h5ad file as polars, in today's encoding and in the older ones."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_frame(
    node: h5py.Group | h5py.Dataset, uns: h5py.Group | None = None
) -> tuple[pl.Series, pl.DataFrame]:
    """Return the index (text) and the columns of obs or var.

    Categoricals become Categorical, numbers and booleans stay what they are, anything else becomes text;
    what is missing is null.

    Parameters
    ----------
    uns
        Where anndata before 0.7 put the categories of obs.
    """
    frame = _read_compound(node, uns) if isinstance(node, h5py.Dataset) else _read_group(node)
    index = pl.Series("index", [_text(value) for value in frame.index], dtype=pl.String)
    columns = [_series(str(name), frame[name]) for name in frame.columns]
    return index, pl.DataFrame(columns)


def read_text(node: h5py.Group | h5py.Dataset | None) -> str:
    """Return a text of uns: a string as it is, a group as "key: value; …", "" for anything else."""
    if isinstance(node, h5py.Group):
        texts = {key: read_text(value) for key, value in node.items()}
        return "; ".join(f"{key}: {text}" for key, text in texts.items() if text)
    if isinstance(node, h5py.Dataset) and h5py.check_string_dtype(node.dtype) and node.shape in ((), (1,)):
        return _text(node[()] if node.shape == () else node[0]) or ""
    return ""


def _read_group(node: h5py.Group) -> pd.DataFrame:
    from anndata.io import read_elem

    with warnings.catch_warnings():
        # anndata warns of each older encoding; they are read all the same.
        warnings.simplefilter("ignore")
        frame: pd.DataFrame = read_elem(node)
    return frame


def _read_compound(node: h5py.Dataset, uns: h5py.Group | None) -> pd.DataFrame:
    """Read a frame of anndata before 0.7: one compound array, its first field the index."""
    fields: tuple[str, ...] = node.dtype.names
    values: NDArray[Any] = node[()]
    columns: dict[str, Any] = {}
    for field in fields:
        categories = uns.get(f"{field}_categories") if uns is not None else None
        if categories is not None and values[field].dtype.kind in "iu":
            names = np.atleast_1d(categories[()])
            labels = pd.Index([_text(name) for name in names])
            columns[field] = pd.Categorical.from_codes(values[field], labels)
        else:
            columns[field] = values[field]
    return pd.DataFrame(columns).set_index(fields[0])


def _series(name: str, column: pd.Series[Any]) -> pl.Series:
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes = column.cat.codes.to_numpy()
        categories = pa.array([_text(value) for value in column.cat.categories], type=pa.string())
        coded = pa.DictionaryArray.from_arrays(
            pa.array(np.maximum(codes, 0).astype(np.int32), mask=codes < 0), categories
        )
        return pl.Series(name, coded.cast(pa.string())).cast(pl.Categorical)
    if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_numeric_dtype(column.dtype):
        return pl.Series(name, pa.Array.from_pandas(column))
    return pl.Series(name, [_text(value) for value in column], dtype=pl.String)


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    return str(value)
