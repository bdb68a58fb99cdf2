"""`curate census info`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from curate.cli.census_options import CensusOptions, census_options

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from curate.census import Census


@click.command()
@census_options
@click.option("--organism", help="Show this organism alone.")
@click.option(
    "--column", help="Count the cells of each label of this obs column; of numbers show the quantiles."
)
@click.option("--where", metavar="FILTER", help='Count only these cells, such as "is_primary_data == True".')
@click.option("--top", type=click.IntRange(min=1), default=20, show_default=True, help="Labels to show.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all labels.")
@click.pass_obj
def info(
    home: str | None,
    /,
    *,
    census: CensusOptions,
    organism: str | None,
    column: str | None,
    where: str | None,
    top: int,
    as_json: bool,
) -> None:
    """Show what a Census holds: release, schema, organisms, cells, datasets, composition.

    Without --release and --uri it is the Census of the workspace, or the stable release outside of one. In a
    workspace its region, endpoint and anonymous hold for any uri, unless they are given here.

    \b
        curate census info --uri store
        curate census info --release 2025-11-08 --column disease --top 10
    """
    if where and not column:
        raise click.UsageError("--where chooses the cells to count by --column; name it")
    with _open(home, census) as opened:
        organisms = [organism] if organism else list(opened.organisms)
        report: dict[str, Any] = {
            "uri": opened.uri,
            "release": opened.release,
            "schema_version": opened.schema_version,
            "summary": opened.summary,
            "n_datasets": opened.read_datasets().height,
            "organisms": [_describe(opened, each) for each in organisms],
        }
        if column:
            report["composition"] = [_compose(opened, each, column, where) for each in organisms]
    if as_json:
        click.echo(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        _show(report, top=top)


def _open(home: str | None, census: CensusOptions) -> Census:
    from curate.workspace import Workspace

    return census.over(Workspace.find_any(home)).open()


def _describe(census: Census, organism: str) -> dict[str, Any]:
    import polars as pl

    from curate.census.layout import STANDARD

    counted = census.read_cell_counts().filter(pl.col("organism") == organism, pl.col("category") == "all")
    stored = census.obs_columns(organism)
    return {
        "name": organism,
        "n_cells": census.n_cells(organism),
        "n_primary_cells": int(counted["unique_cell_count"].sum()) if counted.height else None,
        "n_genes": census.read_var(organism).height,
        "layers": census.layers(organism),
        "absent_columns": [name for name in STANDARD if name not in stored],
    }


def _compose(census: Census, organism: str, column: str, where: str | None) -> dict[str, Any]:
    from curate.census.composition import count_labels, count_numbers, holds_numbers
    from curate.quantiles import quantiles
    from curate.where import Where

    condition = Where.parse(where) if where else None
    what = {"organism": organism, "column": column, "where": where}
    if holds_numbers(census, organism, column):
        numbers = count_numbers(census, organism, column, where=condition)
        values, counts = (numbers.values[name].to_numpy() for name in ("value", "n_cells"))
        found = {"n_missing": numbers.n_missing, "quantiles": quantiles(values, counts)}
        return what | {"n_cells": numbers.n_cells} | found
    labels = count_labels(census, organism, column, where=condition)
    return what | {"n_cells": labels.n_cells, "labels": labels.labels.to_dicts()}


def _show(report: dict[str, Any], *, top: int) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from curate.wording import counted

    console = Console(soft_wrap=True, highlight=False)
    label = f", {report['summary']['label']}" if "label" in report["summary"] else ""
    console.print(escape(f"{report['uri']}"))
    console.print(escape(f"release {report['release']}, schema {report['schema_version']}{label}"))
    console.print(counted(report["n_datasets"], "dataset"))
    table = Table("organism", "cells", "primary", "genes", "layers", box=None)
    for number in (1, 2, 3):
        table.columns[number].justify = "right"
    for each in report["organisms"]:
        primary = "not counted" if each["n_primary_cells"] is None else f"{each['n_primary_cells']:,}"
        layers = ", ".join(each["layers"])
        table.add_row(each["name"], f"{each['n_cells']:,}", primary, f"{each['n_genes']:,}", escape(layers))
    console.print(table)
    for each in report["organisms"]:
        if each["absent_columns"]:
            absent = ", ".join(each["absent_columns"])
            console.print(f"{each['name']} has no {absent}; they are read as null")
    for each in report.get("composition", []):
        console.print()
        if "quantiles" in each:
            _show_numbers(console, each)
            continue
        console.print(_composition_table(each, top=top))
        if (n_more := len(each["labels"]) - top) > 0:
            console.print(f"and {n_more:,} more: --top shows them, --json has all")


def _show_numbers(console: Console, composition: dict[str, Any]) -> None:
    from curate.quantiles import line

    console.print(_counted(composition), markup=False)
    console.print(f"{composition['column']}  {line(composition['quantiles'])}", markup=False)
    if composition["n_missing"]:
        console.print(f"{composition['n_missing']:,} cells have no value")


def _counted(composition: dict[str, Any]) -> str:
    condition = f" where {composition['where']}" if composition["where"] else ""
    return f"{composition['n_cells']:,} cells of {composition['organism']}{condition}"


def _composition_table(composition: dict[str, Any], *, top: int) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(composition["column"], "cells", "share", box=None)
    table.title = escape(_counted(composition))
    table.title_justify = "left"
    for number in (1, 2):
        table.columns[number].justify = "right"
    for each in composition["labels"][:top]:
        share = each["n_cells"] / composition["n_cells"]
        table.add_row(escape(each["label"]), f"{each['n_cells']:,}", f"{share:.2%}")
    return table
