"""Embeddings that come with a Census: in its obsm, or hosted beside the public releases."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import tiledbsoma as soma

from curate.census import layout
from curate.census.counts import coordinates
from curate.census.location import open_hosted
from curate.errors import CensusError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from curate.census.store import Store

INFO_KEY = "CxG_embedding_info"
BLOCK_CELLS = 65_536


def find_embedding(store: Store, organism: str, name: str, *, release: str) -> soma.SparseNDArray:
    """Open the embedding of an organism by name: from obsm of the store, else the hosted one of the release.

    Raises
    ------
    CensusError
        When there is none, the list of hosted ones cannot be reached, or it is of another release.
    """
    experiment = store.experiment(organism)
    found: Any = _in_store(store, experiment, name)
    if found is None:
        found = open_hosted(name, organism=experiment[1], release=release)
    if not isinstance(found, soma.SparseNDArray):
        raise CensusError(
            f"the embedding {name!r} at {found.uri} is a {type(found).__name__}, not a SparseNDArray"
        )
    info = json.loads(found.metadata.get(INFO_KEY, "{}"))
    of = info.get("census_version", release), info.get("experiment_name", experiment[1])
    if of != (release, experiment[1]):
        raise CensusError(
            f"the embedding {name!r} is of {of[1]} in release {of[0]}, not {experiment[1]} in {release}"
        )
    return found


def embedding_names(store: Store, organism: str) -> tuple[str, ...]:
    """Return the names of the embeddings in obsm of the store."""
    part = (*store.experiment(organism), "ms", layout.RNA)
    return tuple(sorted(store.part(*part, layout.OBSM).keys())) if layout.OBSM in store.part(*part) else ()


def read_embedding(
    array: soma.SparseNDArray, joinids: NDArray[np.int64], *, name: str
) -> Iterator[NDArray[np.float32]]:
    """Yield blocks of rows of ascending joinids, float32 [b, d].

    Raises
    ------
    CensusError
        When a cell has no embedding.
    """
    for start in range(0, len(joinids), BLOCK_CELLS):
        cells = joinids[start : start + BLOCK_CELLS]
        values = np.full((len(cells), array.shape[1]), np.nan, np.float32)
        for table in array.read((coordinates(cells, dense=0.3),)).tables():
            rows, columns, data = (column.to_numpy() for column in table.columns)
            at = np.minimum(np.searchsorted(cells, rows), len(cells) - 1)
            wanted = cells[at] == rows
            values[at[wanted], columns[wanted]] = data[wanted]
        if n_missing := int(np.isnan(values).any(axis=1).sum()):
            raise CensusError(
                f"{n_missing:,} of the {len(cells):,} cells with joinids {cells[0]} to {cells[-1]} have no "
                f"embedding {name!r}; make a corpus without them"
            )
        yield values


def _in_store(store: Store, experiment: tuple[str, str], name: str) -> Any:
    if name not in embedding_names(store, experiment[1]):
        return None
    return store.part(*experiment, "ms", layout.RNA, layout.OBSM, name)
