"""The columns of cells.parquet as arrays, whatever Arrow types they came as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from curate.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

NO_RANK = -1


def labels(column: pa.ChunkedArray, name: str) -> dict[str, int]:
    """Return the labels of a column of text, sorted, and the cells of each.

    Raises
    ------
    ManifestError
        When a cell has none, or the column is not text.
    """
    counts: dict[str, int] = {}
    for chunk in _encoded(column, name):
        for label, n in _count(chunk).items():
            counts[label] = counts.get(label, 0) + n
    return {label: counts[label] for label in sorted(counts)}


def codes(column: pa.ChunkedArray, name: str, known: Sequence[str]) -> NDArray[np.uint8]:
    """Return the position of each label among `known` (at most 256), uint8 [n].

    Raises
    ------
    ManifestError
        When a cell has a label that is not known, or none.
    """
    position = {label: code for code, label in enumerate(known)}
    parts = [np.zeros(0, dtype=np.uint8)]
    for chunk in _encoded(column, name):
        held = chunk.dictionary.to_pylist()
        if not position.keys() >= set(held):
            _refuse_unknown(_count(chunk), name, known)
        table = np.array([position.get(label, 0) for label in held], dtype=np.uint8)
        parts.append(np.full(len(chunk), table[0]) if len(held) == 1 else table[_indices(chunk)])
    return np.concatenate(parts)


def joinids(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return soma_joinid, int64 [n].

    Raises
    ------
    ManifestError
        When one is missing, negative or not a whole number.
    """
    wrong = "a cell has a soma_joinid that is not a whole number of at least 0"
    if not pa.types.is_integer(column.type) or column.null_count:
        raise ManifestError(wrong)
    values: NDArray[np.int64] = column.to_numpy().astype(np.int64, copy=False)
    if len(values) and values.min() < 0:
        raise ManifestError(wrong)
    return values


def weights(column: pa.ChunkedArray) -> NDArray[np.float32] | None:
    """Return weights, float32 [n], one not-a-number for none and one zero; None when no cell has one.

    Raises
    ------
    ManifestError
        When one is negative or infinite.
    """
    values = column.cast(pa.float32()).to_numpy().astype(np.float32) + np.float32(0)
    none = np.isnan(values)
    if (values[~none] < 0).any() or np.isinf(values).any():
        raise ManifestError(
            "a cell has a weight below 0 or infinite; weights are inverse inclusion probabilities"
        )
    values[none] = np.nan
    return None if none.all() else values


def ranks(column: pa.ChunkedArray) -> NDArray[np.int32] | None:
    """Return ranks, int32 [n], -1 for none; None when no cell has one.

    Raises
    ------
    ManifestError
        When one is negative or not a whole number.
    """
    wrong = "a cell has a rank that is not a whole number of at least 0"
    if not (pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
        raise ManifestError(wrong)
    none = column.is_null().to_numpy().astype(bool)
    values = column.cast(pa.int32()).fill_null(NO_RANK).to_numpy()
    if (values[~none] < 0).any():
        raise ManifestError(wrong)
    return None if none.all() else values


def _encoded(column: pa.ChunkedArray, name: str) -> list[Any]:
    """Return the chunks of a column of text, dictionary-encoded."""
    if column.null_count:
        raise ManifestError(f"{column.null_count:,} cells have no {name}; every cell needs one")
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    if not (pa.types.is_string(column.type.value_type) or pa.types.is_large_string(column.type.value_type)):
        raise ManifestError(f"column {name!r} of the cells holds {column.type.value_type}, not text")
    chunks: list[Any] = column.chunks
    return chunks


def _count(chunk: Any) -> dict[str, int]:
    """Return the labels of a chunk that cells have, and how many."""
    held = chunk.dictionary.to_pylist()
    if len(held) == 1:
        return {held[0]: len(chunk)} if len(chunk) else {}
    counts = np.bincount(_indices(chunk), minlength=len(held)).tolist()
    return {label: n for label, n in zip(held, counts, strict=True) if n}


def _refuse_unknown(counts: Mapping[str, int], name: str, known: Sequence[str]) -> None:
    unknown = sorted(counts.keys() - set(known))
    if unknown:
        raise ManifestError(f"cells have the {name} {unknown[0]!r}; there are: {', '.join(known)}")


def _indices(chunk: Any) -> NDArray[np.integer[Any]]:
    indices: NDArray[np.integer[Any]] = chunk.indices.to_numpy(zero_copy_only=False)
    return indices
