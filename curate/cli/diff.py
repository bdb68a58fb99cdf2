"""`curate diff`."""

from __future__ import annotations

import json

import click


@click.command("diff")
@click.argument("a")
@click.argument("b")
@click.option(
    "--column", "columns", multiple=True, metavar="COLUMN", help="Compare this obs column; may be repeated."
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    metavar="N",
    help="Largest movers of each column; by default 8, all in JSON.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    home: str | None, *, a: str, b: str, columns: tuple[str, ...], top: int | None, as_json: bool
) -> None:
    """Compare manifests A and B: cells, settings, composition, diversity.

    A and B are names, name@v3, name@tag, the first digits of ids, paths or URLs.

    Example: curate diff random-0.01-s0 sketch-0.01-s0 --column cell_type
    """
    from curate.cli.manifests import console_of_data, load
    from curate.manifests.diff import diff

    found = diff(load(home, a), load(home, b), columns=columns or None)
    if as_json:
        click.echo(json.dumps(found.to_json(top=top), indent=2, ensure_ascii=False))
        return
    from curate.manifests.diff_page import diff_page

    console_of_data().print(diff_page(found, top=top or 8))
