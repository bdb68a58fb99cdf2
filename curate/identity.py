"""Who a cell is, as 64 bits, and the random key that orders cells by seed.

The identity of a cell is (dataset_id, observation_joinid), which survives Census releases; where a release
has no observation_joinid it is (release, soma_joinid). A hash of it, mixed with a seed, gives every cell one
random number: the n smallest are a uniform sample, fractions nest, and order, threads and block size do not
matter.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray


BLOCK = 2**15


def identity_hash(dataset_id: pl.Series, observation_joinid: pl.Series) -> NDArray[np.uint64]:
    """Return XXH64 of each observation_joinid (UTF-8), seeded by XXH64 of its dataset_id.

    Parameters
    ----------
    dataset_id, observation_joinid
        Text [n_cells], no value missing; categoricals are welcome.

    Returns
    -------
    uint64 [n_cells]
        Equal for the same cell in every release. At 100 million cells the chance that any two distinct
        cells collide is about 3e-4; strategies break such a tie by row.

    References
    ----------
    The XXH64 specification, Cyan4973/xxHash, doc/xxhash_spec.md.
    """
    datasets = pa.concat_arrays([dataset_id.cast(pl.String).to_arrow()]).dictionary_encode()
    return arrow_identity_hash(datasets, pa.concat_arrays([observation_joinid.cast(pl.String).to_arrow()]))


def arrow_identity_hash(dataset_id: pa.DictionaryArray, observation_joinid: pa.Array) -> NDArray[np.uint64]:
    """Return `identity_hash` of Arrow arrays, neither with a value missing."""
    from curate.xxh64 import xxh64

    names = dataset_id.dictionary
    seeds = xxh64(*_bytes(names), np.zeros(len(names), dtype=np.uint64))
    return xxh64(*_bytes(observation_joinid), seeds[dataset_id.indices.to_numpy(zero_copy_only=False)])


def release_identity_hash(release: str, soma_joinid: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the identity [n_cells] of cells of a release that has no observation_joinid.

    It holds inside that release only.
    """
    return _mixed(soma_joinid.astype(np.uint64), salt=_salt(f"release\0{release}"))


def cell_keys(identity: NDArray[np.uint64], *, seed: int, purpose: str) -> NDArray[np.uint64]:
    """Return one random key per cell, uniform on 64 bits.

    Parameters
    ----------
    identity
        uint64 [n_cells], from `identity_hash` or `release_identity_hash`.
    seed
        Another seed gives an independent order.
    purpose
        What the keys are for ("select", "split", …): keys of two purposes are independent at one seed.

    Returns
    -------
    uint64 [n_cells]
        A bijection of `identity`, so that distinct cells have distinct keys.

    References
    ----------
    The finaliser is SplitMix64 (Steele, Lea & Flood, OOPSLA 2014).
    """
    return _mixed(identity, salt=_salt(f"{purpose}\0{seed}"))


def _salt(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little"))


def _mixed(values: NDArray[np.uint64], *, salt: np.uint64) -> NDArray[np.uint64]:
    mixed = np.empty(values.size, dtype=np.uint64)
    shifted = np.empty(min(values.size, BLOCK), dtype=np.uint64)
    # Block by block, so that the passes over a block find it in the processor's cache.
    for start in range(0, values.size, BLOCK):
        z = mixed[start : start + BLOCK]
        t = shifted[: z.size]
        np.bitwise_xor(values[start : start + BLOCK], salt, out=z)
        z += np.uint64(0x9E3779B97F4A7C15)
        z ^= np.right_shift(z, np.uint64(30), out=t)
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= np.right_shift(z, np.uint64(27), out=t)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= np.right_shift(z, np.uint64(31), out=t)
    return mixed


def _bytes(texts: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the bytes of all texts, and where each begins and ends."""
    array = texts if pa.types.is_string(texts.type) else texts.cast(pa.large_string())
    _, offsets, data = array.buffers()
    held = np.frombuffer(data, dtype=np.uint8) if data is not None else np.zeros(0, dtype=np.uint8)
    dtype = np.int32 if pa.types.is_string(array.type) else np.int64
    ends = np.frombuffer(offsets, dtype=dtype) if len(array) else np.zeros(1, dtype=dtype)
    return held, ends[array.offset : array.offset + len(array) + 1].astype(np.int64, copy=False)
