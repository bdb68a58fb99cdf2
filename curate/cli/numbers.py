"""Numbers on the command line: lists and ranges."""

from __future__ import annotations

from typing import Any

import click


class Numbers(click.ParamType[list[Any]]):
    """Numbers joined by commas; whole ones also as a range."""

    def __init__(self, kind: type[int] | type[float]) -> None:
        self.kind = kind
        self.name = "N[,N|N-N]..." if kind is int else "F[,F]..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[Any]:
        """Return the numbers of "0-4,7" or "0.01,0.1"."""
        if isinstance(value, list):
            return value
        numbers: list[Any] = []
        for part in str(value).split(","):
            first, dash, last = part.strip().partition("-")
            try:
                if dash and first and self.kind is int:
                    if int(last) < int(first):
                        self.fail(f"the range {part.strip()!r} is empty")
                    numbers += range(int(first), int(last) + 1)
                else:
                    numbers.append(self.kind(part))
            except ValueError:
                self.fail(
                    f"{part.strip()!r} is not a {'whole number or a range' if self.kind is int else 'number'}"
                )
        return numbers
