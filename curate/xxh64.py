"""XXH64 of many byte strings at once (numba), as the specification in Cyan4973/xxHash states it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

P1, P2, P3, P4, P5 = (
    np.uint64(0x9E3779B185EBCA87),
    np.uint64(0xC2B2AE3D27D4EB4F),
    np.uint64(0x165667B19E3779F9),
    np.uint64(0x85EBCA77C2B2AE63),
    np.uint64(0x27D4EB2F165667C5),
)


def xxh64(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], seeds: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Return the XXH64 of data[offsets[i]:offsets[i + 1]] with seeds[i], uint64 [n]."""
    hashes = np.empty(len(seeds), dtype=np.uint64)
    _hash_all(data, offsets, seeds, hashes)
    return hashes


@numba.njit(cache=True, inline="always")
def _rotated(value, bits):  # type: ignore[no-untyped-def]
    return (value << np.uint64(bits)) | (value >> np.uint64(64 - bits))


@numba.njit(cache=True, inline="always")
def _word(data, at):  # type: ignore[no-untyped-def]
    # Written out, and with unsigned positions, so that the compiler makes one load of it.
    low = _half(data, at)
    return low | _half(data, at + np.uint64(4)) << np.uint64(32)


@numba.njit(cache=True, inline="always")
def _half(data, at):  # type: ignore[no-untyped-def]
    return (
        np.uint64(data[at])
        | np.uint64(data[at + np.uint64(1)]) << np.uint64(8)
        | np.uint64(data[at + np.uint64(2)]) << np.uint64(16)
        | np.uint64(data[at + np.uint64(3)]) << np.uint64(24)
    )


@numba.njit(cache=True, inline="always")
def _round(lane, word):  # type: ignore[no-untyped-def]
    return _rotated(lane + word * P2, 31) * P1


@numba.njit(cache=True, nogil=True)
def _hash_all(data, offsets, seeds, hashes):  # type: ignore[no-untyped-def]
    for i in range(len(seeds)):
        at, end, seed = np.uint64(offsets[i]), np.uint64(offsets[i + 1]), seeds[i]
        length = end - at
        if length >= np.uint64(32):
            a, b, c, d = seed + P1 + P2, seed + P2, seed, seed - P1
            while at + np.uint64(32) <= end:
                a = _round(a, _word(data, at))
                b = _round(b, _word(data, at + np.uint64(8)))
                c = _round(c, _word(data, at + np.uint64(16)))
                d = _round(d, _word(data, at + np.uint64(24)))
                at += np.uint64(32)
            h = _rotated(a, 1) + _rotated(b, 7) + _rotated(c, 12) + _rotated(d, 18)
            for lane in (a, b, c, d):
                h = (h ^ _round(np.uint64(0), lane)) * P1 + P4
        else:
            h = seed + P5
        h += length
        while at + np.uint64(8) <= end:
            h = _rotated(h ^ _round(np.uint64(0), _word(data, at)), 27) * P1 + P4
            at += np.uint64(8)
        if at + np.uint64(4) <= end:
            h = _rotated(h ^ (_half(data, at) * P1), 23) * P2 + P3
            at += np.uint64(4)
        while at < end:
            h = _rotated(h ^ (np.uint64(data[at]) * P5), 11) * P1
            at += np.uint64(1)
        h = (h ^ (h >> np.uint64(33))) * P2
        h = (h ^ (h >> np.uint64(29))) * P3
        hashes[i] = h ^ (h >> np.uint64(32))
