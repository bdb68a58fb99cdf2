"""Vectors of cells on disk: .h5ad, .parquet or .npy, written in a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curate.build.embeddings.embedding import write_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

SUFFIXES = (".h5ad", ".parquet", ".npy")
NAME = "cell"


def write_vectors(
    path: Path,
    blocks: Iterable[NDArray[np.float32]],
    *,
    suffix: str,
    n_dims: int,
    names: pl.Series,
    obs: pl.DataFrame,
    original: Path | None,
    key: str,
    facts: Mapping[str, str],
) -> None:
    """Write vectors of cells.

    `.npy` is float32 [n_cells, n_dims]; `.parquet` has the name of each cell and a column a dimension;
    `.h5ad` has obs, and the vectors in obsm.

    Parameters
    ----------
    blocks
        float32 [b, n_dims], in the order of the cells.
    suffix
        Which of SUFFIXES, whatever the path's own is.
    original
        An h5ad file whose obs is copied as it stands, instead of `obs`.
    key
        Of obsm, and what columns begin with.
    facts
        What the vectors are, kept beside them.

    Raises
    ------
    EmbeddingError
        When a vector is not finite.
    """
    if suffix == ".npy":
        write_values(path, blocks, (len(names), n_dims))
    elif suffix == ".parquet":
        _write_parquet(path, blocks, names, [f"{key}_{k}" for k in range(n_dims)], facts)
    else:
        _write_h5ad(path, blocks, names, obs, original, key, n_dims, facts)


def _write_parquet(
    path: Path,
    blocks: Iterable[NDArray[np.float32]],
    names: pl.Series,
    columns: list[str],
    facts: Mapping[str, str],
) -> None:
    fields = [pa.field(NAME, pa.string()), *(pa.field(column, pa.float32()) for column in columns)]
    schema = pa.schema(fields, metadata={f"curate.{key}": text for key, text in facts.items()})
    first = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for block in blocks:
            last = first + block.shape[0]
            held = [pa.array(names[first:last].to_list(), pa.string()), *(pa.array(v) for v in block.T)]
            writer.write_table(pa.Table.from_arrays(held, schema=schema))
            first = last


def _write_h5ad(
    path: Path,
    blocks: Iterable[NDArray[np.float32]],
    names: pl.Series,
    obs: pl.DataFrame,
    original: Path | None,
    key: str,
    n_dims: int,
    facts: Mapping[str, str],
) -> None:
    from anndata.io import write_elem

    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        if original is None or not _copied(file, original):
            write_elem(file, "obs", _obs_table(names, obs))
        write_elem(file, "var", _obs_table(pl.Series(NAME, [], pl.String), pl.DataFrame()))
        write_elem(file, "uns", {"curate": dict(facts)})
        for name in ("layers", "obsm", "varm", "obsp", "varp"):
            write_elem(file, name, {})
        vectors = file["obsm"].create_dataset(key, shape=(len(names), n_dims), dtype="<f4")
        vectors.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        first = 0
        for block in blocks:
            vectors[first : first + block.shape[0]] = block
            first += block.shape[0]


def _copied(file: Any, original: Path) -> bool:
    """Copy obs as it stands; False where it is in the encoding of before anndata 0.7."""
    with h5py.File(original, "r") as source:
        if not isinstance(source["obs"], h5py.Group):
            return False
        source.copy("obs", file)
    return True


def _obs_table(names: pl.Series, obs: pl.DataFrame) -> pd.DataFrame:
    texts = [pl.col(name).cast(pl.Categorical) for name, dtype in obs.schema.items() if dtype == pl.String]
    table = obs.with_columns(texts).to_pandas()
    for column in obs.iter_columns():
        if column.dtype == pl.Boolean and column.null_count():
            table[column.name] = table[column.name].astype("boolean")
    table.index = names.to_list()
    table.index = table.index.astype(str)
    return table
