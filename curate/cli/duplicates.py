"""`curate duplicates`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.cli.census_options import CensusOptions, census_options
from curate.cli.companions import goes_with
from curate.corpus.copies import MIN_GENES

if TYPE_CHECKING:
    import polars as pl

    from curate.build.duplicates import Duplicates
    from curate.build.explain import Explanation
    from curate.workspace import Workspace

SUFFIXES = (".parquet", ".csv")


@click.command("duplicates")
@click.argument("corpus", required=False)
@click.option(
    "--census",
    "is_census",
    is_flag=True,
    help="All cells of the Census instead of a corpus: of the workspace's, or that of --release or --uri.",
)
@click.option("--organism", default="homo_sapiens", show_default=True, help="With --census.")
@census_options
@click.option(
    "--min-genes",
    type=click.IntRange(min=1),
    default=MIN_GENES,
    show_default=True,
    help="Cells with counts of fewer genes cannot be told apart, and are counted only.",
)
@click.option(
    "--shared-genes",
    is_flag=True,
    help="Compare over the genes that every dataset measured: one more pass over the counts.",
)
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the cells: .parquet or .csv."
)
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="Rows of a table.")
@click.option(
    "--explain", "is_explained", is_flag=True, help="Read no counts: print what it would read and take."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
@goes_with(
    "organism",
    "region",
    "endpoint",
    "anonymous",
    needs="--census",
    is_met=lambda values: values["is_census"] or values["release"] or values["uri"],
)
def command(
    home: str | None,
    /,
    *,
    corpus: str | None,
    is_census: bool,
    organism: str,
    census: CensusOptions,
    min_genes: int,
    shared_genes: bool,
    output: Path | None,
    top: int,
    is_explained: bool,
    as_json: bool,
) -> None:
    """Find cells that hold the same counts: marked primary twice, or without any primary copy.

    A corpus of primary cells can show the first only; --census looks at every cell of the Census. The counts
    are read once, in a stream, and hashes of them are kept in the workspace. A run that was killed goes on
    where it was. In a corpus, `deduplicate` and `rescue_without_primary` of a recipe act on what this finds.

    \b
    Examples:
        curate duplicates --census --explain
        curate duplicates --census --output duplicates.parquet
        curate duplicates lung --min-genes 50 --json
    """
    is_census = is_census or bool(census.release or census.uri)
    if corpus and is_census:
        raise click.UsageError("name a CORPUS, or look at the whole --census (--release, --uri): one of them")
    if output is not None and output.suffix not in SUFFIXES:
        raise click.BadParameter(f"{str(output)!r}: end it in {' or '.join(SUFFIXES)}", param_hint="--output")
    from curate.cli.explanation import show
    from curate.workspace import Workspace

    workspace = Workspace.find(home)
    request = {"min_genes": min_genes, "shared_genes": shared_genes}
    if is_census:
        explanation, looked = _in_census(workspace, census, organism, request, is_explained=is_explained)
    else:
        explanation, looked = _in_corpus(workspace, corpus, request, is_explained=is_explained)
    if looked is None:
        show([explanation], as_json=as_json)
        return
    found, cells = looked
    if output is not None:
        _write(cells, output)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
        return
    _print(found, output, top=top, is_census=is_census)


def _in_census(
    workspace: Workspace,
    census: CensusOptions,
    organism: str,
    request: dict[str, Any],
    *,
    is_explained: bool,
) -> tuple[Explanation, tuple[Duplicates, pl.DataFrame] | None]:
    from curate.build.duplicates import census_duplicates
    from curate.build.explain_content import WORK, explain_census_content
    from curate.corpus.content import is_kept
    from curate.rates import measured

    root, shared = workspace.root, request["shared_genes"]
    with census.over(workspace).open() as opened:
        explanation = explain_census_content(opened, organism, root=root, shared_genes=shared)
        if is_explained:
            return explanation, None
        amount = max(opened.n_nonzeros(organism), 1)
        is_whole = not (shared or is_kept(root, opened, organism, begun=True))
        with measured(root, WORK, amount, unit="non-zeros", is_whole=is_whole):
            return explanation, census_duplicates(root, opened, organism, **request)


def _in_corpus(
    workspace: Workspace, name: str | None, request: dict[str, Any], *, is_explained: bool
) -> tuple[Explanation, tuple[Duplicates, pl.DataFrame] | None]:
    from curate.build.duplicates import corpus_duplicates
    from curate.build.explain import corpus_nonzeros
    from curate.build.explain_content import WORK, explain_corpus_content
    from curate.corpus.content import is_known
    from curate.rates import measured

    root, shared = workspace.root, request["shared_genes"]
    corpus = workspace.corpus(name, how="as `curate duplicates CORPUS`")
    explanation = explain_corpus_content(corpus, root=root, shared_genes=shared)
    if is_explained:
        return explanation, None
    amount = max(corpus_nonzeros(corpus)[0], 1)
    is_whole = not (shared or is_known(corpus, begun=True))
    with measured(root, WORK, amount, unit="non-zeros", is_whole=is_whole):
        return explanation, corpus_duplicates(corpus, **request)


def _write(cells: pl.DataFrame, path: Path) -> None:
    from curate.atomic import atomic_file

    with atomic_file(path) as aside:
        cells.write_parquet(aside) if path.suffix == ".parquet" else cells.write_csv(aside)


def _print(found: Duplicates, output: Path | None, *, top: int, is_census: bool) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    console.print(
        f"{found.what}: {found.n_cells:,} cells, {found.n_primary:,} of them primary, compared over "
        f"{found.n_genes:,} genes",
        soft_wrap=True,
        markup=False,
    )
    facts = Table(box=None, show_header=False)
    facts.add_column(justify="right", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row(
        f"{found.n_cells_twice:,}",
        f"primary cells hold {found.n_contents_twice:,} contents more than once: {found.n_surplus:,} too "
        "many",
    )
    n_others = found.n_cells - found.n_primary
    facts.add_row(
        f"{found.n_without_primary:,}",
        f"of {n_others:,} cells that are not primary have no primary copy: {found.n_contents_alone:,} "
        "distinct contents"
        if n_others
        else "cells are not primary, so that none can lack a primary copy"
        + ("" if is_census else "; --census looks at every cell"),
    )
    facts.add_row(
        f"{found.n_too_few:,}",
        f"cells have counts of fewer than {found.min_genes} genes ({found.n_without_counts:,} of none): they "
        "cannot be told apart",
    )
    console.print(facts)
    tables = {
        ("primary twice: dataset A", "dataset B", "cells"): [
            (escape(pair.dataset_a), escape(pair.dataset_b), f"{pair.n_cells:,}") for pair in found.pairs
        ],
        ("no primary copy: dataset", "not primary", "without"): [
            (escape(each.dataset), f"{each.n_not_primary:,}", f"{each.n_without_primary:,}")
            for each in found.datasets
            if each.n_without_primary
        ],
    }
    for titles, rows in tables.items():
        if not rows:
            continue
        table = Table(box=None, header_style="bold")
        for title, is_number in zip(
            titles, (value.replace(",", "").isdigit() for value in rows[0]), strict=True
        ):
            table.add_column(title, justify="right" if is_number else "left", overflow="fold")
        for row in rows[:top]:
            table.add_row(*row)
        if len(rows) > top:
            table.add_row(f"and {len(rows) - top:,} more", "", "")
        console.print()
        console.print(table)
    if output is not None:
        console.print(f"\ncells written to {output}", soft_wrap=True, markup=False)
