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


def nearest_few(name: str, known: Iterable[str], *, n: int = 3) -> str:
    """Return the `n` names nearest to `name`, the nearest first: for names that may be too many to list."""
    written = {each.casefold(): each for each in known}
    near = get_close_matches(name.casefold(), written, n=n, cutoff=0.6)
    asked = bool(near)
    near = near or get_close_matches(name.casefold(), written, n=n, cutoff=0.0)
    *first, last = [repr(written[each]) for each in near]
    listed = f"{', '.join(first)} or {last}" if first else last
    return f"did you mean {listed}?" if asked else f"the nearest are {listed.replace(' or ', ' and ')}"
