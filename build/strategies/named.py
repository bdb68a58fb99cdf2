"""A strategy by what a user calls it: a name, a function in a file, or the function itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curate.build.strategies import STRATEGIES
from curate.build.strategies.custom import check_function_named, custom_strategy, is_path, load_custom
from curate.build.strategies.written import read_strategy
from curate.errors import SelectionError
from curate.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from curate.build.selection import Strategy

    #: What a strategy may be given as.
    Named = str | Strategy | Callable[..., Any]


@dataclass(frozen=True)
class Settled:
    """A strategy with its settings.

    Attributes
    ----------
    name
        As manifests record it: a key of STRATEGIES, or "FILE.py:FUNCTION" without the folder.
    strategy
        As it is with these settings.
    settings
        Every parameter, in canonical form.
    """

    name: str
    strategy: Strategy
    settings: dict[str, Any]


def settle(given: Named, parameters: Mapping[str, object] | None = None) -> Settled:
    """Return a strategy with its settings, checked.

    Parameters
    ----------
    given
        A key of STRATEGIES or "path/to/file.py:function", either with settings in brackets,
        "sketch(k=100)"; or a function, or a Strategy.
    parameters
        Further settings.

    Raises
    ------
    SelectionError
        When there is no such strategy, or a setting is unknown, given twice or out of range.
    """
    if isinstance(given, str):
        called, written = read_strategy(given)
        name, strategy = find_strategy(called)
    else:
        written = {}
        known = [key for key, held in STRATEGIES.items() if held is given]
        name, strategy = (known[0], STRATEGIES[known[0]]) if known else custom_strategy(given)
    parameters = parameters or {}
    if twice := sorted(set(written) & set(parameters)):
        raise SelectionError(
            f"{name} is given {twice[0]} twice: {written[twice[0]]} in brackets and {parameters[twice[0]]}; "
            "give it once"
        )
    settings = strategy.resolve(written | dict(parameters))
    return Settled(name, strategy.settled(settings), settings)


def settle_all(given: Sequence[Named], parameters: Mapping[str, object] | None = None) -> list[Settled]:
    """Return several strategies with their settings, each with those of `parameters` that it has.

    Raises
    ------
    SelectionError
        As `settle`; and when none of them has a parameter that is given.
    """
    parameters = parameters or {}
    if len(given) == 1:
        return [settle(given[0], parameters)]
    known = {at: [each.name for each in settle(held).strategy.parameters] for at, held in enumerate(given)}
    every = list(dict.fromkeys(name for names in known.values() for name in names))
    for name in parameters:
        if name not in every:
            names = ", ".join(settle(held).name for held in given)
            raise SelectionError(f"none of {names} has a parameter {name!r}; {nearest(name, every)}")
    return [
        settle(held, {name: value for name, value in parameters.items() if name in known[at]})
        for at, held in enumerate(given)
    ]


def label_of(name: str) -> str:
    """Return the name of a strategy as the name of a manifest can hold it: letters, digits and ``._+=-``."""
    return re.sub(r"[^A-Za-z0-9._+=-]+", "-", name).lstrip("._+=-") or "custom"


def find_strategy(name: str) -> tuple[str, Strategy]:
    """Return a strategy and the name that manifests have for it.

    Parameters
    ----------
    name
        A key of STRATEGIES, or "path/to/file.py:function", whose file is then run.

    Raises
    ------
    SelectionError
        With the list of names, when there is none of this name.
    """
    if name in STRATEGIES:
        return name, STRATEGIES[name]
    if is_path(name):
        return load_custom(name)
    check_function_named(name)
    raise SelectionError(
        f"no strategy named {name!r}; there are: {', '.join(STRATEGIES)}; your own: path/file.py:function"
    )
