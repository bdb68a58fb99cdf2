"""Strategies on the command line."""

from __future__ import annotations

from typing import Any

import click

from curate.build.strategies import STRATEGIES
from curate.build.strategies.custom import check_function_named, is_path
from curate.build.strategies.written import read_strategy, split_outside
from curate.cli.numbers import repeated
from curate.errors import SelectionError
from curate.nearest import nearest


class StrategyNames(click.ParamType[list[str]]):
    """Strategies joined by commas: names or path/to/file.py:function, settings in brackets; none twice."""

    name = "STRATEGY[,STRATEGY...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """Return the texts of "random,sketch(k=100)"; whether a file holds what is named is not looked up."""
        try:
            given = value if isinstance(value, list) else split_outside(str(value), ",")
            names = [name_of(text) for text in given]
        except SelectionError as error:
            self.fail(str(error))
        for name in names:
            check_function_named(name)
            if name not in STRATEGIES and not is_path(name):
                self.fail(f"{name!r} is not one; {nearest(name, STRATEGIES)}")
        texts = [text.strip() for text in given]
        if (repeat := repeated(texts)) is not None:
            self.fail(f"{repeat!r} is given twice; give each once")
        return texts


def name_of(text: str) -> str:
    """Return the name of a strategy, without its settings."""
    return read_strategy(text)[0]
