"""The names of models, and their settings, as arguments of the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click.shell_completion import CompletionItem


class ModelName(click.ParamType[str]):
    """A key of MODELS; the nearest is offered for anything else."""

    name = "model"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name as it is."""
        from curate.nearest import nearest
        from curate.train.models import MODELS

        if value not in MODELS:
            self.fail(f"no model named {value!r}; {nearest(value, MODELS)}", param, ctx)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin so."""
        from click.shell_completion import CompletionItem

        from curate.train.models import MODELS

        return [CompletionItem(name) for name in MODELS if name.startswith(incomplete)]


def parse_settings(items: Sequence[str]) -> dict[str, Any]:
    """Return settings from KEY=VALUE: numbers, true, false, null and lists as JSON has them, else texts.

    Raises
    ------
    click.BadParameter
        When one is no KEY=VALUE, or a key is given twice.
    """
    found: dict[str, Any] = {}
    for item in items:
        key, sign, text = item.partition("=")
        key = key.strip().replace("-", "_")
        if not sign or not key:
            raise click.BadParameter(f"{item!r} is not KEY=VALUE", param_hint="--set")
        if key in found:
            raise click.BadParameter(f"{key} is given twice", param_hint="--set")
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found


def need_torch() -> None:
    """Refuse to go on without torch, which only models need.

    Raises
    ------
    ModelError
        Saying how to install it.
    """
    from importlib.util import find_spec

    from curate.errors import ModelError

    if find_spec("torch") is None:
        raise ModelError("models need torch, which is not installed; pip install 'cellcurate[train]'")
