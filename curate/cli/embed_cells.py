"""`curate embed-cells`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.cli.model_settings import need_torch
from curate.cli.train_options import ACCELERATORS
from curate.manifests.document import SPLITS

if TYPE_CHECKING:
    from curate.manifests.document import Split
    from curate.train.embed.cells import EmbeddedCells

SUFFIXES = (".h5ad", ".parquet", ".npy")


def _checked(ctx: click.Context, param: click.Parameter, value: Path) -> Path:
    if value.suffix not in SUFFIXES:
        raise click.BadParameter(f"{value} ends in none of {', '.join(SUFFIXES)}")
    return value


@click.command("embed-cells")
@click.argument("model")
@click.argument("data", metavar="DATA.h5ad|STORE|SHARDS", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_checked,
    help="A file to make, with its folder: .h5ad (obs, and the vectors in obsm), .parquet or .npy.",
)
@click.option("--layer", metavar="NAME", help="Where the raw counts stand.  [default: X or raw.X]")
@click.option(
    "--gene-column",
    metavar="COLUMN",
    help="Column of var with Ensembl ids or symbols, where the index has no ids.",
)
@click.option("--split", type=click.Choice(SPLITS), help="Only these cells of a folder of shards.")
@click.option(
    "--min-overlap",
    type=float,
    default=0.5,
    show_default=True,
    help="Least share of the model's genes that the data must have.",
)
@click.option("--accelerator", type=click.Choice(ACCELERATORS), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    home: str | None,
    /,
    *,
    model: str,
    data: Path,
    out: Path,
    layer: str | None,
    gene_column: str | None,
    split: Split | None,
    min_overlap: float,
    accelerator: str,
    as_json: bool,
) -> None:
    """Embed cells by a trained model: MODEL is its name, the beginning of its id, or its folder.

    DATA is an h5ad file, a store of the Census layout, or a folder of shards. Every value of a file is
    checked to be a count; the genes are aligned to those of the model (by Ensembl id, then by symbol; genes
    that meet are summed, genes that the data lack are taken as zero). Nothing is loaded whole.

    \b
    Examples:
        curate embed-cells scvi-sketch-0.01-s0-v1-3f2a9c1d pbmc.h5ad -o pbmc-scvi.h5ad
        curate embed-cells 3f2a9c shards/random-0.1-s0/v0001 --split test -o test.npy
    """
    from curate.memory import keep_memory

    # Before the first thread: an arena that glibc gave away stays.
    keep_memory()
    need_torch()
    from curate.cli.models import find
    from curate.train.embed.cells import embed_cells

    artifact = find(home, model)
    embedded = embed_cells(
        artifact,
        data,
        out,
        layer=layer,
        gene_column=gene_column,
        split=split,
        min_overlap=min_overlap,
        accelerator=accelerator,
    )
    if (warning := embedded.overlap.warning()) is not None:
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        report = {
            "path": str(embedded.path),
            "model": artifact.name,
            "model_id": artifact.id,
            "n_cells": embedded.n_cells,
            "n_dims": embedded.n_dims,
            "key": embedded.key,
            "layer": embedded.layer,
            "genes": embedded.overlap.to_json(),
            "n_empty": embedded.n_empty,
        }
        click.echo(json.dumps(report, indent=2, ensure_ascii=False))
        return
    _show(embedded, artifact.name)


def _show(embedded: EmbeddedCells, model: str) -> None:
    from rich.console import Console

    from curate.wording import counted

    overlap = embedded.overlap
    place = f", obsm {embedded.key!r}" if embedded.path.suffix == ".h5ad" else ""
    lines = {
        "vectors": f"{embedded.path}: {embedded.n_cells:,} cells x {embedded.n_dims:,} dimensions{place}",
        "model": model,
        "counts": embedded.layer,
        "genes": f"{overlap.sentence()}; they hold {overlap.counts_fraction:.1%} of its counts",
        "mapped by": ", ".join(f"{how}: {n:,}" for how, n in overlap.how.items()),
    }
    if overlap.n_summed:
        lines["summed"] = f"{overlap.n_summed:,} genes of the data that meet others in one of the model"
    if embedded.n_empty:
        lines["empty"] = (
            f"{counted(embedded.n_empty, 'cell')} without a count in any gene of the model: their vector, "
            "one for all such cells, says nothing"
        )
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    for name, text in lines.items():
        console.print(f"{name:<11}{text}")
