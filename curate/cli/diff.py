"""`curate diff`."""

from __future__ import annotations

import json
from pathlib import Path

import click


def _html_path(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    if value is not None and value.suffix != ".html":
        raise click.BadParameter(f"{value} does not end in .html")
    return value


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
    help="Largest movers of each column; by default 8, in a page 12, all in JSON.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--html",
    "html_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    callback=_html_path,
    help="Write a page with charts instead, which holds all it needs.",
)
@click.pass_obj
def command(
    home: str | None,
    *,
    a: str,
    b: str,
    columns: tuple[str, ...],
    top: int | None,
    as_json: bool,
    html_path: Path | None,
) -> None:
    """Compare manifests A and B: cells, settings, composition, diversity.

    A and B are names, name@v3, name@tag, the first digits of ids, paths or URLs.

    \b
    Examples:
        curate diff random-0.01-s0 sketch-0.01-s0 --column cell_type
        curate diff random-0.01-s0 sketch-0.01-s0 --html diff.html
    """
    if as_json and html_path is not None:
        raise click.UsageError("--json prints, --html writes a page: give one of them")
    if html_path is not None:
        from curate.charts import check_charts

        check_charts()
    from curate.cli.manifests import console_of_data, load
    from curate.manifests.diff import diff

    found = diff(load(home, a), load(home, b), columns=columns or None)
    if as_json:
        click.echo(json.dumps(found.to_json(top=top), indent=2, ensure_ascii=False))
        return
    if html_path is not None:
        from curate.manifests.diff_html import TOP, write_html

        write_html(found, html_path, top=top or TOP)
        click.echo(f"wrote {html_path}")
        return
    from curate.manifests.diff_page import diff_page

    console_of_data().print(diff_page(found, top=top or 8))
