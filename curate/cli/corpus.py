"""`curate corpus`: apply a recipe to a Census; show what came of it."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.cli.census_options import CensusOptions, census_options
from curate.cli.corpus_compare import compare_source
from curate.cli.corpus_genes import genes_report, print_genes
from curate.cli.corpus_sources import add_source, sources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from curate.corpus import Corpus

SHOWN = ("cell_type", "tissue_general", "assay", "disease", "dataset_id")
BAR_WIDTH = 30


@click.group("corpus")
def command() -> None:
    """Build and show a corpus: a recipe applied to a Census; add Perturb-seq data sets to it."""


command.add_command(add_source)
command.add_command(compare_source)
command.add_command(sources)


@command.command("build")
@click.option(
    "--recipe", required=True, metavar="NAME|FILE.toml", help="A shipped recipe (sctab, demo) or a file."
)
@click.option("--name", help="Name of the corpus; the recipe's by default.")
@census_options
@click.option(
    "--genes",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The recipe's gene list, where it is not found by itself.",
)
@click.option("--ontology", metavar="FILE.obo|guide", help="Cell Ontology; goes before the recipe's.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def build(
    home: str | None,
    /,
    *,
    recipe: str,
    name: str | None,
    census: CensusOptions,
    genes: Path | None,
    ontology: str | None,
    as_json: bool,
) -> None:
    """Apply a recipe to a Census: which cells, which genes, kept in the workspace as an index.

    --release or --uri goes before the recipe's, and that before the workspace's; the workspace's region,
    endpoint and anonymous hold for any uri, unless they are given here.

    Reads obs in a stream. A build that was killed goes on where it was when the command is given again.

    \b
    Examples:
        curate corpus build --recipe demo
        curate corpus build --recipe sctab --genes sctab_genes.csv.gz --ontology cl-simple.obo
        curate corpus build --recipe mine.toml --uri ../atlas.census --name lung
    """
    from curate.corpus.build import build_corpus
    from curate.errors import CorpusError
    from curate.rates import measured
    from curate.recipe import NAME_PATTERN, Recipe
    from curate.workspace import Workspace

    if name is not None and not re.fullmatch(NAME_PATTERN, name):
        raise click.BadParameter(f"{name!r}: take letters, digits, '.', '_' and '-'", param_hint="--name")
    workspace = Workspace.find(home)
    wanted = Recipe.load(recipe)
    chosen = name or wanted.name
    if chosen in workspace.corpus_names():
        raise CorpusError(f"there is a corpus {chosen!r} already; name another one with --name")
    uri = wanted.beside(wanted.census.uri) if wanted.census.uri else None
    settings = census.over(workspace, release=wanted.census.release, uri=uri)
    is_begun = (workspace.corpora_path / f".{chosen}.partial").exists()
    with (
        settings.open() as opened,
        measured(
            workspace.root,
            "corpus build",
            opened.n_cells(wanted.organism),
            unit="cells",
            is_whole=not is_begun,
        ),
    ):
        corpus = build_corpus(
            wanted,
            opened,
            workspace.corpora_path / chosen,
            genes=genes,
            ontology=ontology,
            region=settings.region,
            endpoint=settings.endpoint,
            anonymous=settings.anonymous,
            root=workspace.root,
        )
    _report(corpus, (), top=10, as_json=as_json)


@command.command("show")
@click.argument("name", required=False)
@click.option(
    "--column", "columns", multiple=True, metavar="COLUMN", help="Composition by this obs column; repeat it."
)
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="Values a column.")
@click.option("--genes", "with_genes", is_flag=True, help="The genes too: which data set measured how many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(
    home: str | None,
    /,
    *,
    name: str | None,
    columns: tuple[str, ...],
    top: int,
    with_genes: bool,
    as_json: bool,
) -> None:
    """Show a corpus: size, what each rule dropped, composition.

    A cell with several diseases counts for each. Of a column of numbers the quantiles are shown.

    \b
    Examples:
        curate corpus show
        curate corpus show sctab --column disease --column assay --top 20
        curate corpus show --genes
    """
    from curate.workspace import Workspace

    corpus = Workspace.find(home).corpus(name, how="as `curate corpus show NAME`")
    genes = genes_report(corpus) if with_genes else None
    _report(corpus, columns or SHOWN, top=top, as_json=as_json, genes=genes)


def _report(
    corpus: Corpus,
    columns: Sequence[str],
    *,
    top: int,
    as_json: bool,
    genes: dict[str, Any] | None = None,
) -> None:
    if columns is SHOWN:
        columns = [column for column in SHOWN if column in corpus.header.columns]
    from curate.quantiles import line, quantiles

    described = corpus.columns(columns)
    numbers = {
        column: quantiles(described[column].drop_nulls().to_numpy())
        for column in columns
        if described[column].dtype.is_numeric()
    }
    counted = {column: corpus.value_counts(column) for column in columns if column not in numbers}
    if as_json:
        report: dict[str, Any] = corpus.header.model_dump(mode="json") | {"path": str(corpus.path)}
        report["composition"] = {
            column: [{"value": value, "n_cells": n} for value, n in counts.head(top).iter_rows()]
            for column, counts in counted.items()
        }
        report["quantiles"] = numbers
        if genes is not None:
            report["measured"] = genes
        click.echo(json.dumps(report, indent=2))
        return
    from rich.console import Console

    console = Console(highlight=False)
    _print_header(console, corpus)
    _print_dropped(console, corpus)
    for column, held in numbers.items():
        console.print()
        console.print(f"{column}  {line(held)}", soft_wrap=True, markup=False)
    for column, counts in counted.items():
        _print_composition(
            console, corpus, column, list(counts.head(top).iter_rows()), n_values=counts.height
        )
    if genes is not None:
        print_genes(console, genes, top=top)


def _print_header(console: Console, corpus: Corpus) -> None:
    header = corpus.header
    ontology = header.ontology
    lines = {
        "corpus": f"{corpus.name}  {corpus.id[:12]}",
        "cells": f"{corpus.n_cells:,} of {header.n_read:,} {header.organism}",
        "genes": f"{header.genes.n:,}",
        "recipe": f"{header.recipe.name}  {header.recipe.description}".rstrip(),
        "census": f"{header.census.release} (schema {header.census.schema_version})  {header.census.uri}",
        "ontology": f"{ontology.release} ({ontology.source})" if ontology else "none needed",
        "identity": header.identity,
    }
    if header.census.label:
        lines["label"] = header.census.label
    for name, text in lines.items():
        _print_field(console, name, text)
    for note in header.notes:
        _print_field(console, "note", note)


def _print_field(console: Console, name: str, text: str) -> None:
    """Print a field, its text wrapped between words: a path or uri stays whole."""
    first = f"{name:<9} "
    lines = textwrap.wrap(
        text,
        max(console.width, 2 * len(first)),
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def _print_dropped(console: Console, corpus: Corpus) -> None:
    from rich.markup import escape
    from rich.table import Table

    if not corpus.header.dropped:
        return
    table = Table(box=None)
    table.add_column("rule", no_wrap=True)
    table.add_column("setting", no_wrap=True, max_width=14)
    table.add_column("dropped", justify="right", no_wrap=True)
    table.add_column("by itself", justify="right", no_wrap=True)
    table.add_column("what it dropped", overflow="fold")
    for each in corpus.header.dropped:
        most = [f"{n:,} {value}" for value, n in list(each.values.items())[:2]]
        rest = f" and {len(each.values) - 2} more" if len(each.values) > 2 else ""
        table.add_row(
            each.rule,
            escape(each.setting),
            f"{each.n_cells:,}",
            f"{each.n_matching:,}",
            escape(", ".join(most) + rest),
        )
    console.print()
    console.print(table)


def _print_composition(
    console: Console, corpus: Corpus, column: str, rows: list[tuple[Any, int]], *, n_values: int
) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None)
    table.add_column(f"{column} ({n_values:,})", overflow="fold")
    table.add_column("", no_wrap=True)
    table.add_column("cells", justify="right", no_wrap=True)
    table.add_column("%", justify="right", no_wrap=True)
    for value, n in rows:
        bar = "█" * max(1, round(BAR_WIDTH * n / rows[0][1]))
        table.add_row(escape(str(value)), bar, f"{n:,}", f"{100 * n / corpus.n_cells:.2f}")
    if n_values > len(rows):
        table.add_row(f"and {n_values - len(rows):,} more", "", "", "")
    console.print()
    console.print(table)
