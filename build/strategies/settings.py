"""Readers of the settings of strategies: from a command-line text or a Python value to the canonical one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from curate.errors import SelectionError
from curate.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def whole(name: str, *, least: int = 1, usual: int | None = None) -> Callable[[object], int]:
    """Return a reader of whole numbers from `least`; a refusal names the `usual` value."""

    def parse(value: object) -> int:
        if (number := as_number(value)) >= least and number.is_integer():
            return int(number)
        advice = "" if usual is None else f"; {usual:,} is usual"
        raise SelectionError(f"{name}={value} must be a whole number from {least}{advice}")

    return parse


def between(
    name: str, low: float, high: float, *, with_low: bool = False, with_high: bool = False
) -> Callable[[object], float]:
    """Return a reader of numbers between two ends, each in or out."""

    def parse(value: object) -> float:
        number = as_number(value)
        above = number >= low if with_low else number > low
        if above and (number <= high if with_high else number < high):
            return number
        held = [f"{end:g}" for end, is_in in ((low, with_low), (high, with_high)) if is_in]
        ends = f"{low:g} and {high:g}" + (f", {' and '.join(held)} included" if held else "")
        raise SelectionError(f"{name}={value} must lie between {ends}")

    return parse


def yes_no(name: str) -> Callable[[object], bool]:
    """Return a reader of yes and no."""
    known = {"yes": True, "true": True, "no": False, "false": False}

    def parse(value: object) -> bool:
        if (text := str(value).lower()) in known:
            return known[text]
        raise SelectionError(f"{name}={value} is neither yes nor no")

    return parse


def one_of(name: str, choices: Sequence[str]) -> Callable[[object], str]:
    """Return a reader of one name among `choices`."""

    def parse(value: object) -> str:
        if isinstance(value, str) and value in choices:
            return value
        raise SelectionError(f"no {name} named {value!r}; {nearest(str(value), choices)}")

    return parse


def as_number(value: object) -> float:
    """Return a value as a number; NaN, which no range holds, when it is none."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
