"""What commands of models and tasks share: settings as KEY=VALUE, and that torch is there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence


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
