"""`curate strategies`: the cards of the strategies; run them beside each other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from curate.cli.strategies_compare import compare

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

WIDTH = 160


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """List the strategies; show one; compare what they choose.

    \b
    Examples:
        curate strategies
        curate strategies show sketch
        curate strategies compare --fraction 0.01 --chart strategies.png
    """
    if ctx.invoked_subcommand is not None:
        return
    from curate.build.cards import all_cards, cards_page

    cards = all_cards(root=_root(ctx.obj))
    if as_json:
        click.echo(json.dumps([card.to_json() for card in cards], indent=2, ensure_ascii=False))
        return
    _print(cards_page(cards))


@command.command()
@click.argument("strategy")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(home: str | None, *, strategy: str, as_json: bool) -> None:
    """Show the card of one strategy, with its settings.

    STRATEGY is a name, or path/to/file.py:function, whose file is then run; settings may stand in brackets.

    Example: curate strategies show "combine(parts=0.5 sketch + 0.5 random)"
    """
    from curate.build.cards import card_page, make_card

    card = make_card(strategy, root=_root(home))
    if as_json:
        click.echo(json.dumps(card.to_json(), indent=2, ensure_ascii=False))
        return
    _print(card_page(card))


command.add_command(compare)


def _root(home: str | None) -> Path | None:
    """Return the workspace for its measured rates, where there is one."""
    from curate.errors import WorkspaceError
    from curate.workspace import Workspace

    try:
        return Workspace.find(home).root
    except WorkspaceError:
        if home is not None:
            raise
        return None


def _print(page: RenderableType) -> None:
    from curate.cli.manifests import console_of_data

    console = console_of_data()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(page)
