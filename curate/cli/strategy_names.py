"""Strategies on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from curate.build.strategies import STRATEGIES
from curate.build.strategies.custom import is_path
from curate.build.strategies.written import read_strategy, split_outside
from curate.errors import SelectionError
from curate.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence


class StrategyNames(click.ParamType[list[str]]):
    """Strategies joined by commas, each once: names or path/to/file.py:function, settings in brackets."""

    name = "STRATEGY[,STRATEGY...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """Return the texts of "random,sketch(k=100)"; whether a file holds what is named is not looked up."""
        given: Sequence[str] = value if isinstance(value, list) else split_outside(str(value), ",")
        for text in given:
            try:
                name, _ = read_strategy(text)
            except SelectionError as error:
                self.fail(str(error))
            if name not in STRATEGIES and not is_path(name):
                self.fail(f"{name!r} is not one; {nearest(name, STRATEGIES)}")
        return list(dict.fromkeys(text.strip() for text in given))
