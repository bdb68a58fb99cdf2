"""An embedding with the structure of a cell atlas, one row a cell of a corpus, written in a stream.

Types are clusters of unequal size and spread whose centres lie in lineages; samples shift their cells a
little; one cell in six lies on the way to the nearest other type; variance falls off with the dimension as
that of principal components does.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from curate.atomic import atomic_folder
from curate.build.embeddings.embedding import (
    HEADER_FILE,
    VALUES_FILE,
    EmbeddingDocument,
    embedding_id,
    software,
    write_values,
)
from curate.documents import file_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from curate.corpus import Corpus

N_DIMENSIONS, N_LINEAGES = 50, 14
BLOCK_CELLS = 2**18
BETWEEN_FRACTION = 1 / 6


def write_embedding(corpus: Corpus, name: str, *, seed: int = 0, n_dimensions: int = N_DIMENSIONS) -> None:
    """Write the embedding as one that was imported; memory does not grow with the cells."""
    obs = corpus.columns(["cell_type", "dataset_id", "donor_id"])
    with atomic_folder(corpus.embeddings_path / name) as folder:
        blocks = embedding_blocks(obs, seed=seed, n_dimensions=n_dimensions)
        write_values(folder / VALUES_FILE, blocks, (corpus.n_cells, n_dimensions))
        sha256 = file_digest(folder / VALUES_FILE)
        EmbeddingDocument(
            id=embedding_id(corpus.id, model="file", made_from={"sha256": sha256}),
            name=name,
            corpus=corpus.id,
            model="file",
            parameters={"file": "simulated"},
            n_cells=corpus.n_cells,
            n_components=n_dimensions,
            sha256=sha256,
            created=datetime.now(UTC),
            software=software(),
        ).save(folder / HEADER_FILE)


def embedding_blocks(
    obs: pl.DataFrame, *, seed: int, n_dimensions: int, n_cells: int | None = None
) -> Iterator[NDArray[np.float32]]:
    """Yield the vectors of the cells in order, float32 [n, n_dimensions]; of more cells, `obs` again."""
    scale = (12.0 * np.arange(1, n_dimensions + 1) ** -0.7).astype(np.float32)
    types, names = _codes(obs["cell_type"])
    samples, _ = _codes(
        obs.select(pl.concat_str(pl.col("dataset_id", "donor_id").cast(pl.String), separator=" "))
        .to_series()
        .cast(pl.Categorical)
    )
    centres, spreads = _clusters(names, seed=seed, n_dimensions=n_dimensions)
    others = _nearest(centres)
    shift = np.random.default_rng([seed, 4]).standard_normal(
        (int(samples.max()) + 1, n_dimensions), dtype=np.float32
    )
    n_cells = n_cells or types.size
    for number, start in enumerate(range(0, n_cells, BLOCK_CELLS)):
        rng = np.random.default_rng([seed, 5, number])
        block = np.arange(start, min(start + BLOCK_CELLS, n_cells)) % types.size
        kind = types[block]
        values = rng.standard_normal((kind.size, n_dimensions), dtype=np.float32)
        values *= spreads[kind][:, None]
        values += 0.12 * shift[samples[block]]
        values += centres[kind]
        between = np.flatnonzero(rng.random(kind.size) < BETWEEN_FRACTION)
        way = rng.beta(1.0, 1.5, between.size).astype(np.float32)[:, None]
        values[between] += way * (centres[others[kind[between]]] - centres[kind[between]])
        yield values * scale


def _clusters(
    names: list[str], *, seed: int, n_dimensions: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return centre and spread of each type; each depends on the name of the type alone."""
    lineages = np.random.default_rng([seed, 3]).standard_normal((N_LINEAGES, n_dimensions))
    centres, spreads = [], []
    for name in names:
        own = np.random.default_rng(
            [seed, int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")]
        )
        centres.append(lineages[own.integers(N_LINEAGES)] + 0.45 * own.standard_normal(n_dimensions))
        spreads.append(0.12 * own.lognormal(0.0, 0.45))
    return np.array(centres, np.float32), np.array(spreads, np.float32)


def _nearest(centres: NDArray[np.float32]) -> NDArray[np.int64]:
    squares = (centres**2).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * centres @ centres.T
    np.fill_diagonal(distances, np.inf)
    nearest: NDArray[np.int64] = distances.argmin(axis=1)
    return nearest


def _codes(column: pl.Series) -> tuple[NDArray[np.int64], list[str]]:
    """Return numbers in the order of the labels, and the labels."""
    names = sorted(column.unique().cast(pl.String).to_list())
    codes = column.cast(pl.Enum(names)).to_physical().cast(pl.Int64).to_numpy()
    return codes, names
