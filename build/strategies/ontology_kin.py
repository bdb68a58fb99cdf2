"""How near cell types are to wanted ones in the Cell Ontology."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from curate.ontology import Ontology


class Ring(IntEnum):
    """What a type is to the wanted ones, from the nearest."""

    WANTED = 0
    SIBLING = 1
    FARTHER = 2
    UNTYPED = 3


@dataclass(frozen=True)
class Kin:
    """A type's place among the wanted ones.

    Attributes
    ----------
    steps
        Edges between it and the nearest wanted type: up to a common ancestor, and down.
    """

    ring: Ring
    steps: int


def find_kin(
    types: Iterable[str], wanted: Iterable[str], ontology: Ontology, *, with_descendants: bool
) -> dict[str, Kin]:
    """Return how each type is related to the wanted ones.

    Wanted are the types themselves and, with descendants, their kinds; siblings are the other kinds of the
    parents of the wanted, however far down, but not what a wanted type is a kind of: a cell of which only
    "leukocyte" is known may well be a wanted one.

    Parameters
    ----------
    types, wanted
        Ids of terms in use.
    """

    @cache
    def parents(term_id: str) -> frozenset[str]:
        return ontology.parents(term_id)

    asked = sorted(set(wanted))
    above = _upwards(asked, parents)
    return {each: _kin(each, above, parents, with_descendants=with_descendants) for each in types}


def absent_types(
    wanted: Iterable[str], types: Iterable[str], ontology: Ontology, *, with_descendants: bool
) -> list[str]:
    """Return the wanted types that are not among `types`, nor, with descendants, is a kind of them."""
    there = set(types)
    if with_descendants:
        there = there.union(*(ontology.ancestors(each) for each in there))
    return [each for each in wanted if each not in there]


def _kin(
    term_id: str,
    above: Mapping[str, int],
    parents: Callable[[str], frozenset[str]],
    *,
    with_descendants: bool,
) -> Kin:
    ways = {each: (above[each], down) for each, down in _upwards([term_id], parents).items() if each in above}
    own = [down for up, down in ways.values() if up == 0]
    if own and (with_descendants or min(own) == 0):
        return Kin(Ring.WANTED, min(own))
    # Below a parent of a wanted type, and not a wanted type's own ancestor or kind.
    beside = [1 + down for up, down in ways.values() if up == 1 and down > 0]
    if beside and not own and term_id not in above:
        return Kin(Ring.SIBLING, min(beside))
    if not ways:
        return Kin(Ring.UNTYPED, 0)
    return Kin(Ring.FARTHER, min(up + down for up, down in ways.values()))


def _upwards(term_ids: Iterable[str], parents: Callable[[str], frozenset[str]]) -> dict[str, int]:
    """Return the terms themselves and all above them, each with the fewest edges that lead there."""
    steps = dict.fromkeys(term_ids, 0)
    level = list(steps)
    n = 0
    while level:
        n += 1
        reached = {parent for each in level for parent in parents(each)} - steps.keys()
        steps |= dict.fromkeys(reached, n)
        level = sorted(reached)
    return steps
