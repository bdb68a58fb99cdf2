"""Lists on the command line: of numbers, ranges, names."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import click

from curate.nearest import nearest
from curate.seeds import LARGEST_SEED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class _Seed(click.IntRange):
    """A whole number that is a seed."""

    def _describe_range(self) -> str:
        return "0 to 2**63 - 1"


SEED = _Seed(0, LARGEST_SEED)


class Numbers(click.ParamType[list[Any]]):
    """Numbers joined by commas; whole ones also as a range.

    Parameters
    ----------
    distinct
        Refuse a number that is given twice.
    """

    def __init__(self, kind: type[int] | type[float], *, distinct: bool = False) -> None:
        self.kind = kind
        self.distinct = distinct
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
        if self.distinct and (repeat := repeated(numbers)) is not None:
            self.fail(f"{repeat} is given twice; give each once")
        return numbers


class Fractions(Numbers):
    """Shares joined by commas, or "FIRST:LAST:N": N of them, each the same times the one before it."""

    def __init__(self) -> None:
        super().__init__(float, distinct=True)
        self.name = "F[,F]...|FIRST:LAST:N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[Any]:
        """Return the numbers of "0.01,0.1,1" or "0.001:1:10"; the latter with three digits each."""
        if isinstance(value, list) or ":" not in str(value):
            return super().convert(value, param, ctx)
        parts = str(value).split(":")
        try:
            first, last, n = float(parts[0]), float(parts[1]), int(parts[2])
        except (ValueError, IndexError):
            self.fail(f"{value!r} is not FIRST:LAST:N, such as 0.001:1:10")
        if len(parts) > 3 or not 0 < first < last or n < 2:
            self.fail(f"{value!r}: FIRST is to be above 0 and below LAST, and N at least 2, as in 0.001:1:10")
        ratio = (last / first) ** (1 / (n - 1))
        inner = [float(f"{first * ratio**step:.3g}") for step in range(1, n - 1)]
        fractions = [first, *inner, last]
        if any(above <= below for below, above in pairwise(fractions)):
            self.fail(f"{value!r}: {n} fractions of three digits do not lie between these; ask for fewer")
        return fractions


class Seeds(Numbers):
    """Seeds joined by commas, or a range of them."""

    def __init__(self) -> None:
        super().__init__(int, distinct=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[Any]:
        """Return the seeds of "0-4,7"; each between 0 and 2**63 - 1."""
        seeds = super().convert(value, param, ctx)
        for seed in seeds:
            SEED.convert(seed, param, ctx)
        return seeds


class Names(click.ParamType[list[str]]):
    """Names of a known list joined by commas; one that is given twice is refused."""

    def __init__(self, known: Iterable[str]) -> None:
        self.known = list(known)
        self.name = f"[{'|'.join(self.known)}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """Return the names of "a,b"."""
        names = value if isinstance(value, list) else [part.strip() for part in str(value).split(",")]
        for name in names:
            if name not in self.known:
                self.fail(f"{name!r} is not one; {nearest(name, self.known)}")
        if (repeat := repeated(names)) is not None:
            self.fail(f"{repeat!r} is given twice; give each once")
        return names


def repeated(values: Sequence[Any]) -> Any:
    """Return the first value that occurs a second time; None when all differ."""
    return next((value for at, value in enumerate(values) if value in values[:at]), None)
