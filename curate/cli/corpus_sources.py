"""`curate corpus add-source` and `curate corpus sources`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from curate.build.leakage.doubles import Doubles
    from curate.build.leakage.shared import Shared
    from curate.sources.descriptions import Description
    from curate.sources.register import Registered
    from curate.sources.source import Source

N_LISTED = 10


@click.command("add-source")
@click.argument("name")
@click.argument("file", metavar="FILE.h5ad|STORE", type=click.Path(path_type=Path))
@click.option("--corpus", metavar="NAME", help="The corpus, where the workspace has several.")
@click.option("--perturbation-column", metavar="OBS", help="Obs column that says how a cell is perturbed.")
@click.option("--control", multiple=True, metavar="VALUE", help="Its value of unperturbed cells; repeatable.")
@click.option(
    "--map",
    "items",
    multiple=True,
    metavar="CENSUS=OBS | CENSUS==VALUE",
    help="Take a Census obs column from an obs column of the file, or give all cells one value; repeatable.",
)
@click.option("--layer", metavar="NAME", help="Where the raw counts stand.  [default: X or raw.X]")
@click.option(
    "--gene-column",
    metavar="COLUMN",
    help="Column of var with Ensembl ids or symbols, where the index has no ids.",
)
@click.option(
    "--cell-types",
    metavar="FILE.csv",
    type=click.Path(path_type=Path),
    help="CSV with cell_type and cell_type_ontology_term_id: which term each of the file's own labels is.",
)
@click.option("--ontology", metavar="guide | FILE.obo", default="guide", show_default=True)
@click.option(
    "--min-overlap",
    type=float,
    default=0.5,
    show_default=True,
    help="Least share of the source's genes that the corpus must have.",
)
@click.option(
    "--description",
    "described",
    metavar="NAME|FILE.toml",
    help="A described data set (see `curate corpus sources`): stands in for what is not given.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def add_source(
    home: str | None,
    /,
    *,
    name: str,
    file: Path,
    corpus: str | None,
    perturbation_column: str | None,
    control: tuple[str, ...],
    items: tuple[str, ...],
    layer: str | None,
    gene_column: str | None,
    cell_types: Path | None,
    ontology: str,
    min_overlap: float,
    described: str | None,
    as_json: bool,
) -> None:
    """Register Perturb-seq cells that subsets of a corpus can be spiked with.

    The counts stay in FILE, an h5ad file or a store of the Census layout. Every value is checked to be a
    count, the genes are aligned to those of the corpus (by Ensembl id, then by symbol; genes that meet are
    summed; genes that the source lacks are zero and marked as not measured), and a fingerprint of the
    content is recorded. Nothing is loaded whole. Where the corpus is local and small, its cells are
    looked for in it, so that none of them is drawn (see `curate corpus compare-source`).

    \b
    Examples:
        curate corpus add-source screen screen.h5ad --perturbation-column gene --control non-targeting
        curate corpus add-source k562 k562.h5ad --description replogle-k562-gwps \\
            --perturbation-column gene --control non-targeting
        curate build --fraction 0.1 --strategy random --spike-in screen=0.1
    """
    from curate.cli.corpus_compare import compared_when_added, compared_with_sources, sources_json
    from curate.errors import SourceError
    from curate.h5ad.obs import parse_map, read_cell_types
    from curate.ontology import Ontology
    from curate.sources.descriptions import load_description
    from curate.sources.register import add_source as register
    from curate.workspace import Workspace

    try:
        map = parse_map(items)
    except SourceError as error:
        raise click.BadParameter(str(error), param_hint="--map") from error
    description = load_description(described) if described else None
    registered = register(
        Workspace.find(home).corpus(corpus),
        name,
        file,
        perturbation_column=perturbation_column,
        control=control,
        map=map,
        layer=layer,
        gene_column=gene_column,
        cell_types=read_cell_types(cell_types) if cell_types else None,
        ontology=Ontology.load(ontology),
        min_overlap=min_overlap,
        description=description,
        description_name=described,
    )
    for note in registered.source.header.notes:
        click.echo(f"notice: {note}", err=True)
    doubles, why_not = compared_when_added(registered.source)
    if why_not:
        click.echo(f"notice: {why_not}", err=True)
    shared, reasons = compared_with_sources(registered.source, doubles)
    for reason in reasons:
        click.echo(f"notice: {reason}", err=True)
    if as_json:
        report: dict[str, Any] = registered.source.header.model_dump(mode="json")
        report["alignment"] = registered.genes.to_json()
        report |= {"filled": registered.filled, "ignored": registered.ignored}
        report["doubles"] = doubles.header.model_dump(mode="json") if doubles else None
        report["sources"] = sources_json(shared)
        click.echo(json.dumps(report, indent=2, ensure_ascii=False))
        return
    _show(registered, doubles, shared)


@click.command("sources")
@click.option("--corpus", metavar="NAME", help="The corpus, where the workspace has several.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def sources(home: str | None, /, *, corpus: str | None, as_json: bool) -> None:
    """List the sources of a corpus, and the data sets that are described.

    Descriptions are data, not the data sets: nothing is downloaded. Outside of a workspace they are all there
    is to list.

    Example: curate corpus sources --json
    """
    from curate.sources.descriptions import load_description, shipped_names
    from curate.sources.source import find_source, source_names
    from curate.workspace import Workspace

    shipped = {name: load_description(name) for name in shipped_names()}
    workspace = Workspace.find(home) if home else Workspace.find_any()
    held: list[Source] = []
    if workspace is not None and (corpus is not None or workspace.corpus_names()):
        chosen = workspace.corpus(corpus)
        held = [find_source(chosen, name) for name in source_names(chosen)]
    if as_json:
        report = {
            "registered": [
                source.header.model_dump(mode="json") | {"path": str(source.path)} for source in held
            ],
            "described": [
                {"name": name, **description.model_dump(mode="json", exclude_defaults=True)}
                for name, description in shipped.items()
            ],
        }
        click.echo(json.dumps(report, indent=2, ensure_ascii=False))
        return
    _list(held, shipped)


def _list(held: list[Source], shipped: dict[str, Description]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, emoji=False)
    if held:
        table = Table(box=None, header_style="bold cyan")
        for title in (
            "source",
            "id",
            "cells",
            "perturbations",
            "controls",
            "of its genes",
            "of the corpus'",
            "file",
        ):
            table.add_column(title, justify="left" if title in ("source", "id", "file") else "right")
        for source in held:
            header = source.header
            table.add_row(
                source.name,
                source.id[:8],
                f"{header.n_cells:,}",
                f"{header.perturbation.n_perturbations:,}",
                f"{header.perturbation.n_control:,}",
                f"{header.genes.mapped_fraction:.1%}",
                f"{header.genes.measured_fraction:.1%}",
                Path(header.file.path).name,
            )
        console.print(table)
        console.print()
    table = Table(box=None, header_style="bold cyan")
    for title in ("described", "cells", "what it is"):
        table.add_column(title, justify="right" if title == "cells" else "left")
    for name, description in shipped.items():
        n_cells = "" if description.n_cells is None else f"{description.n_cells:,}"
        table.add_row(name, n_cells, description.title)
    console.print(table)


def _show(registered: Registered, doubles: Doubles | None, shared: dict[str, Shared]) -> None:
    from rich.console import Console

    from curate.cli.corpus_compare import lines_of, lines_of_shared
    from curate.wording import counted

    source, genes = registered.source, registered.genes
    header = source.header
    perturbation, types = header.perturbation, registered.cell_types
    unassigned = "".join(f", {n:,} {name or 'without a name'}" for name, n in perturbation.unassigned.items())
    lines = {
        "source": f"{source.name}  {source.id[:12]}  of corpus {source.corpus.name}",
        "file": f"{header.file.path} ({header.file.layer}, {header.file.n_bytes / 1e6:,.1f} MB)",
        "cells": f"{header.n_cells:,}: {counted(perturbation.n_perturbations, 'perturbation')} in "
        f"{perturbation.column}, {perturbation.n_control:,} controls ({', '.join(perturbation.control)})"
        f"{unassigned}",
        "genes": f"{genes.sentence()}; they hold {header.genes.counts_kept_fraction:.1%} of its counts",
        "mapped by": ", ".join(f"{how}: {n:,}" for how, n in genes.how.items()),
    }
    if genes.collisions:
        met = [f"{' + '.join(names)} = {gene}" for gene, names in genes.collisions.items()]
        lines["summed"] = _listed(met)
    if genes.unmapped:
        lines["unmapped"] = f"{len(genes.unmapped):,}: {_listed(genes.unmapped)}"
    for organism, names in genes.looks_like.items():
        lines[f"{organism}?"] = f"{len(names):,} unmapped genes look like it: {_listed(names)}"
    if types.unresolved:
        named = [f"{name} ({n:,})" for name, n in types.unresolved.items()]
        lines["no CL term"] = f"{_listed(named)} (see --cell-types)"
    if registered.ignored:
        lines["not taken"] = f"obs columns {_listed(registered.ignored)} (see --map)"
    if doubles:
        lines["in corpus"] = "; ".join(lines_of(source, doubles))
    if of_sources := lines_of_shared(source, shared):
        lines["in sources"] = "; ".join(of_sources)
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    for name, text in lines.items():
        console.print(f"{name:<11}{text}")


def _listed(names: list[str] | tuple[str, ...]) -> str:
    more = f", and {len(names) - N_LISTED:,} more (--json lists all)" if len(names) > N_LISTED else ""
    return ", ".join(names[:N_LISTED]) + more
