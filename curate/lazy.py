"""A dict whose values are imported when they are asked for, so that their modules cost nothing before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from curate.nearest import nearest

if TYPE_CHECKING:
    from curate.errors import CurateError

Value = TypeVar("Value")


class Lazy(Mapping[str, Value]):
    """Names, and what they stand for.

    Parameters
    ----------
    noun, error
        What a name is of, and how one that is unknown is refused: "no model named …", the nearest offered.
    package
        That the modules are in.
    places
        "module:attribute" by name.
    """

    def __init__(
        self, noun: str, places: Mapping[str, str], *, package: str, error: type[CurateError]
    ) -> None:
        self._noun = noun
        self._places = places
        self._package = package
        self._error = error

    def __getitem__(self, name: str) -> Value:
        if name not in self._places:
            raise self._error(f"no {self._noun} named {name!r}; {nearest(name, self._places)}")
        module, _, attribute = self._places[name].partition(":")
        found: Value = getattr(import_module(f"{self._package}.{module}"), attribute)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places
