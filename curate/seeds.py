"""Which numbers are seeds: those that every generator that is used here takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from curate.errors import CurateError

#: The largest that torch and a column of 64 bits take.
LARGEST_SEED: Final = 2**63 - 1


def check_seed(seed: int, error: type[CurateError]) -> None:
    """Refuse a number that is no seed.

    Raises
    ------
    CurateError
        An `error`, with the number.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise error(f"seed {seed} is out of range; give a whole number from 0 to 2**63 - 1")
