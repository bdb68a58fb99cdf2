"""Strategies as text: ``sketch(k=100, alpha=0.2)``, and several of them in one line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from curate.errors import SelectionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SETTING = re.compile(r"\s*([A-Za-z_]\w*)\s*=(.*)", re.DOTALL)


def read_strategy(text: str) -> tuple[str, dict[str, str]]:
    """Read a strategy and its settings.

    Parameters
    ----------
    text
        ``NAME`` or ``NAME(setting=value, …)``. A value may hold commas: ``reweight(by=cell_type,tissue)``.

    Returns
    -------
    The name, and the texts of the settings by name.

    Raises
    ------
    SelectionError
        When a bracket is not closed, a setting has no name, or one stands there twice.
    """
    text = text.strip()
    if not text.endswith(")"):
        return text, {}
    opened = _opening(text)
    settings: dict[str, str] = {}
    last = None
    for part in split_outside(text[opened + 1 : -1], ",") if text[opened + 1 : -1].strip() else []:
        if found := _SETTING.fullmatch(part):
            last = found[1]
            if last in settings:
                raise SelectionError(f"{text} names {last} twice; name each setting once")
            settings[last] = found[2].strip()
        elif last is None:
            raise SelectionError(f"{text}: {part.strip()!r} is no setting; write {text[:opened]}(name=value)")
        else:
            settings[last] += f",{part.strip()}"
    return text[:opened].strip(), settings


def write_strategy(name: str, settings: Mapping[str, Any]) -> str:
    """Return a strategy and its settings as `read_strategy` reads them."""
    if not settings:
        return name
    return f"{name}({', '.join(f'{key}={text_of(value)}' for key, value in settings.items())})"


def text_of(value: object) -> str:
    """Return the value of a setting as the command line reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def write_parts(parts: Sequence[Mapping[str, Any]]) -> str:
    """Return the parts of a recipe, as manifests record them, as one line."""
    return " + ".join(
        f"{part['share']:g} {write_strategy(part['strategy'], part['parameters'])}" for part in parts
    )


def is_parts(value: Any) -> bool:
    """Tell whether a setting is a recipe."""
    return (
        isinstance(value, (list, tuple))
        and all(isinstance(each, dict) and {"share", "strategy", "parameters"} <= set(each) for each in value)
        and len(value) > 0
    )


def split_outside(text: str, separator: str) -> list[str]:
    """Split a text at a separator (a regular expression) wherever that stands outside brackets.

    Raises
    ------
    SelectionError
        When a bracket closes that was not opened.
    """
    parts, depth, start = [], 0, 0
    for found in re.finditer(rf"(?P<open>\()|(?P<close>\))|(?:{separator})", text):
        if found.lastgroup == "open":
            depth += 1
        elif found.lastgroup == "close":
            depth -= 1
            if depth < 0:
                raise SelectionError(f"{text.strip()} closes a bracket that it does not open")
        elif depth == 0:
            parts.append(text[start : found.start()])
            start = found.end()
    return [*parts, text[start:]]


def _opening(text: str) -> int:
    """Return where the bracket opens that the last character closes."""
    depth = 0
    for at in range(len(text) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(text[at], 0)
        if depth == 0:
            return at
    raise SelectionError(f"{text} closes a bracket that it does not open; write NAME(setting=value)")
