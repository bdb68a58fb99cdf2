"""Options that mean nothing without another: refused here, for every command, not ignored."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Command = Callable[..., None]


def goes_with(
    *options: str, needs: str, is_met: Callable[[Mapping[str, Any]], object]
) -> Callable[[Command], Command]:
    """Refuse options that were given where what they belong to was not: wrong usage.

    Parameters
    ----------
    options
        Names of parameters of the command.
    needs
        What they belong to, as the message says it: "--nested goes with --ladder".
    is_met
        Whether they have an effect, from the values of all parameters by name.
    """

    def decorate(function: Command) -> Command:
        @wraps(function)
        def command(*args: Any, **given: Any) -> None:
            context = click.get_current_context()
            if not is_met(context.params):
                lonely = [name for name in options if is_given(name)]
                if lonely:
                    raise click.UsageError(f"{_flag(context, lonely[0])} goes with {needs}")
            function(*args, **given)

        return command

    return decorate


def goes_with_option(*options: str, other: str) -> Callable[[Command], Command]:
    """Refuse options that were given without another; the common case of `goes_with`."""
    flag = f"--{other.replace('_', '-')}"
    return goes_with(*options, needs=flag, is_met=lambda values: values[other] not in (None, (), False))


def is_given(name: str) -> bool:
    """Whether a parameter of the running command was given, be it as its default value."""
    source = click.get_current_context().get_parameter_source(name)
    return source not in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP, None)


def either(names: Iterable[str]) -> str:
    """Return "a", "a or b", "a, b or c"."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def _flag(context: click.Context, name: str) -> str:
    return next(each.opts[0] for each in context.command.params if each.name == name)
