"""Names of models and tasks as arguments of the command line."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from click.shell_completion import CompletionItem


class Key(click.ParamType[str]):
    """A key of a dict, which is imported when one is given; the nearest is offered for anything else.

    Parameters
    ----------
    noun
        What it is of.
    place
        "module:attribute" of the dict.
    """

    def __init__(self, noun: str, place: str) -> None:
        self.name = noun
        self._place = place

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the key as it is."""
        from curate.nearest import nearest

        known = self._known()
        if value not in known:
            self.fail(f"no {self.name} named {value!r}; {nearest(value, known)}", param, ctx)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the keys that begin so."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(key) for key in self._known() if key.startswith(incomplete)]

    def _known(self) -> Mapping[str, Any]:
        module, _, attribute = self._place.partition(":")
        known: Mapping[str, Any] = getattr(import_module(module), attribute)
        return known


MODEL: Final = Key("model", "curate.train.models:MODELS")
TASK: Final = Key("task", "curate.evaluate.tasks:TASKS")
