"""What to say after "there is no such name"."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "did you mean 'x'?" for the nearest of `known`, or the list of them when none is near."""
    names = list(known)
    near = get_close_matches(name, names, n=1) or get_close_matches(
        name.casefold(), [each.casefold() for each in names], n=1
    )
    if near:
        # The second search folds case: say the name as it is written.
        written = next(each for each in names if each.casefold() == near[0].casefold())
        return f"did you mean {written!r}?"
    return f"there are: {', '.join(names) or 'none'}"
