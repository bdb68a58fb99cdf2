"""`curate census create`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from curate.census.from_h5ad import CreateReport, FileReport

N_LISTED = 10


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True, metavar="FILE.h5ad...", type=click.Path(path_type=Path))
@click.option(
    "--map",
    "items",
    multiple=True,
    metavar="CENSUS=OBS | CENSUS==VALUE",
    help="Take a Census obs column from an obs column of the files, or give all cells one value; repeatable.",
)
@click.option("--layer", metavar="NAME", help="Where the raw counts stand.  [default: X or raw.X]")
@click.option(
    "--gene-column",
    metavar="COLUMN",
    help="Column of var with Ensembl ids or symbols, where the index has no ids.",
)
@click.option(
    "--genes-table",
    type=click.Path(path_type=Path),
    help="Genes to map into: feature_id and feature_name (csv, tsv, parquet).  [default: GENCODE v48 / M37]",
)
@click.option("--organism", default="homo_sapiens", show_default=True)
@click.option(
    "--cell-types",
    type=click.Path(path_type=Path),
    help="CSV with cell_type and cell_type_ontology_term_id: which term each of the files' own labels is.",
)
@click.option("--ontology", metavar="guide | FILE.obo", default="guide", show_default=True)
@click.option("--build-date", metavar="YYYY-MM-DD", help="The store's release date.  [default: today]")
@click.option("--json", "as_json", is_flag=True, help="Print the whole report as JSON.")
def create(
    out: Path,
    files: tuple[Path, ...],
    items: tuple[str, ...],
    layer: str | None,
    gene_column: str | None,
    genes_table: Path | None,
    organism: str,
    cell_types: Path | None,
    ontology: str,
    build_date: str | None,
    *,
    as_json: bool,
) -> None:
    """Build a Census-layout store at OUT from h5ad files.

    Each file is a dataset, named after the file. Raw counts are looked for in X and raw.X, and every value
    is checked to be an integer. Genes are mapped by Ensembl id, then by symbol; genes that meet are summed.
    Census obs columns are taken from obs columns of the same name, or as --map says; the others read
    "unknown". Cell types become Cell Ontology terms where their names are labels, synonyms or ids of it.

    The table it prints tells, for each dataset: cells and genes of the file; mapped, its genes that the store
    has; symbol, those of them mapped by symbol instead of Ensembl id; summed, those that met in one gene and
    were added up; CL cells, the cells whose type became a Cell Ontology term.

    \b
        curate census create store a.h5ad b.h5ad --map cell_type=celltype --map tissue==lung
        curate census info --uri store
    """
    from curate.census.from_h5ad import create as create_store
    from curate.errors import SourceError
    from curate.gene_tables import read_gene_table
    from curate.h5ad.obs import parse_map, read_cell_types
    from curate.ontology import Ontology

    try:
        map = parse_map(items)
    except SourceError as error:
        raise click.BadParameter(str(error), param_hint="--map") from error
    report = create_store(
        out,
        files,
        map=map,
        layer=layer,
        gene_column=gene_column,
        gene_table=read_gene_table(genes_table) if genes_table else None,
        organism=organism,
        ontology=Ontology.load(ontology),
        cell_types=read_cell_types(cell_types) if cell_types else None,
        build_date=build_date,
    )
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    else:
        _show(report)


def _show(report: CreateReport) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from curate.wording import counted

    console = Console(soft_wrap=True, highlight=False)
    heading = escape(f"{report.out}: {report.organism}, {report.build_date}")
    table = Table(title=heading, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("dataset", overflow="fold")
    table.add_column("counts")
    for name in ("cells", "genes", "mapped", "symbol", "summed", "CL cells"):
        table.add_column(name, justify="right")
    for file in report.files:
        table.add_row(*(escape(text) for text in _row(file)))
    console.print(table)
    for file in report.files:
        for line in _remarks(file):
            console.print(escape(f"{Path(file.path).stem}: {line}"))
    console.print(f"{counted(report.n_cells, 'cell')} and {counted(report.n_genes, 'gene')}; next:")
    console.print(escape(f"    curate census info --uri {report.out}"))


def _row(file: FileReport) -> list[str]:
    many = f"{Path(file.path).stem} ({len(file.dataset_ids)} datasets)"
    by_symbol = file.genes.how.get("index symbol", 0) + file.genes.how.get("column symbol", 0)
    n_summed = sum(len(names) for names in file.genes.collisions.values())
    numbers = (
        file.n_cells,
        file.genes.n_genes,
        file.genes.n_mapped,
        by_symbol,
        n_summed,
        sum(file.cell_types.resolved.values()),
    )
    name = file.dataset_ids[0] if len(file.dataset_ids) == 1 else many
    return [name, file.layer, *(f"{number:,}" for number in numbers)]


def _remarks(file: FileReport) -> list[str]:
    types = file.cell_types
    remarks = []
    if file.genes.unmapped:
        n_ambiguous = file.genes.how.get("ambiguous symbol", 0)
        are = "is a symbol" if n_ambiguous == 1 else "are symbols"
        ambiguous = f" ({n_ambiguous:,} {are} of several genes)" if n_ambiguous else ""
        lost = f"with {file.unmapped_counts_fraction:.2%} of the counts"
        remarks.append(
            f"unmapped genes: {len(file.genes.unmapped):,}{ambiguous}, {lost}: {_listed(file.genes.unmapped)}"
        )
    if file.genes.collisions:
        met = [f"{' + '.join(names)} = {gene}" for gene, names in file.genes.collisions.items()]
        remarks.append(f"genes summed: {_listed(met)}")
    if types.renamed:
        remarks.append(
            f"cell types renamed: {_listed([f'{old} → {new}' for old, new in types.renamed.items()])}"
        )
    if types.unresolved:
        named = [f"{name} ({n:,})" for name, n in types.unresolved.items()]
        remarks.append(f"cell types without a Cell Ontology term (see --cell-types): {_listed(named)}")
    if types.n_unknown:
        remarks.append(f"cells of unknown type: {types.n_unknown:,}")
    if file.ignored:
        remarks.append(f"obs columns not taken (see --map): {_listed(file.ignored)}")
    return remarks


def _listed(names: list[str] | tuple[str, ...]) -> str:
    more = f", and {len(names) - N_LISTED:,} more (--json lists all)" if len(names) > N_LISTED else ""
    return ", ".join(names[:N_LISTED]) + more
