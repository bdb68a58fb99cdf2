"""Check the joinids that a caller asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.errors import CensusError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def range_or_joinids(joinids: NDArray[np.int64] | slice | None, n: int) -> NDArray[np.int64] | slice:
    """Return joinids checked, or a range of them with both ends known; of all n cells when None."""
    if joinids is None:
        return slice(0, n)
    if isinstance(joinids, slice):
        first, last, step = joinids.indices(n)
        if step != 1:
            raise ValueError(f"joinids {joinids} have a step; give an array instead")
        return slice(first, last)
    check_joinids("cells", joinids, n=n, ascending=True)
    return joinids


def check_joinids(what: str, joinids: NDArray[np.int64], *, n: int, ascending: bool) -> None:
    """Refuse joinids that are not int64 [m], distinct, from 0 to n - 1, and ascending where they must.

    Raises
    ------
    CensusError
        When one is not there.
    ValueError
        When they are of another type or order.
    """
    if joinids.dtype != np.int64 or joinids.ndim != 1:
        raise ValueError(f"joinids of {what} are {joinids.dtype} {joinids.shape}; give int64 [n]")
    if not len(joinids):
        return
    if int(joinids.min()) < 0 or int(joinids.max()) >= n:
        raise CensusError(f"joinids {joinids.min()} to {joinids.max()} of {what}: there are 0 to {n - 1}")
    steps = np.diff(joinids if ascending else np.sort(joinids))
    if (steps <= 0).any():
        raise ValueError(f"joinids of {what} must {'ascend' if ascending else 'be distinct'}")
