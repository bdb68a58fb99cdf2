"""Numbers in sentences."""

from __future__ import annotations


def counted(n: int, noun: str) -> str:
    """Return a number of things, the noun in the plural unless it is one."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
