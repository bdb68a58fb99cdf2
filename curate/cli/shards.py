"""`curate shards`: show, verify and export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.manifests.document import SPLITS

if TYPE_CHECKING:
    from curate.manifests.document import Split
    from curate.train.shards.shards import Shards

folder = click.argument("folder", type=click.Path(path_type=Path))
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def command() -> None:
    """Show, verify and export shards, which `curate materialize` makes."""


@command.command("show")
@folder
@as_json_option
def show_(*, folder: Path, as_json: bool) -> None:
    """Show what a folder of shards holds.

    Example: curate shards show shards/sketch-0.01-s0/v0001
    """
    from curate.train.shards.shards import Shards

    show(Shards.open(folder), as_json=as_json)


@command.command("verify")
@folder
def verify(*, folder: Path) -> None:
    """Compare every file with its sha256.

    Example: curate shards verify shards/sketch-0.01-s0/v0001
    """
    from curate.train.shards.shards import Shards

    shards = Shards.open(folder)
    shards.verify()
    click.echo(f"{folder}: {len(shards.files):,} files are what was written")


@command.command("export")
@folder
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--split", type=click.Choice(SPLITS), help="Only the cells of this split.")
@click.option(
    "--verify/--no-verify",
    default=None,
    help="Compare shards with their sha256 first.  [default: up to 4 GiB of them]",
)
def export(*, folder: Path, destination: Path, split: Split | None, verify: bool | None) -> None:
    """Write the cells as one AnnData file, FILE.h5ad or FILE.zarr, in a stream.

    Example: curate shards export shards/sketch-0.01-s0/v0001 sketch.h5ad --split train
    """
    from curate.train.shards.export import check_destination
    from curate.train.shards.export import export as export_to
    from curate.train.shards.shards import Shards

    shards = Shards.open(folder)
    # Before gigabytes are read for nothing.
    check_destination(destination)
    verified = verify_before_use(shards, verify=verify)
    n_cells = export_to(shards, destination, split=split)
    click.echo(f"{destination}: {n_cells:,} cells, {verified}")


def verify_before_use(shards: Shards, *, verify: bool | None) -> str:
    """Compare shards with their sha256, as asked or where that takes seconds; return in words whether.

    Raises
    ------
    ShardError
        When one has changed.
    """
    from curate.train.artifact.shards import VERIFIED_BYTES

    n_bytes = sum(size for size, _ in shards.files.values())
    if verify or (verify is None and n_bytes <= VERIFIED_BYTES):
        shards.verify()
        return "shards verified"
    how = "as asked" if verify is False else f"{n_bytes / 2**30:,.1f} GiB, --verify does"
    return f"shards not verified ({how}): only the sizes of their files were looked at"


def show(shards: Shards, *, as_json: bool) -> None:
    """Print what a folder of shards holds."""
    header = shards.header
    if as_json:
        click.echo(header.model_dump_json(indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False)
    table.add_row(
        "shards", f"{len(header.shards):,} of manifest {header.manifest_ref} ({header.manifest[:8]})"
    )
    table.add_row("cells", ", ".join(f"{split} {n:,}" for split, n in header.n_cells.items()))
    if len(header.sources) > 1:
        table.add_row("from", ", ".join(f"{each.name} {each.n_cells:,}" for each in header.sources))
    table.add_row("genes", f"{header.n_genes:,} ({header.genes[:8]})")
    n_cells = sum(header.n_cells.values())
    n_bytes = sum(size for size, _ in shards.files.values())
    table.add_row("non-zeros", f"{header.n_nonzeros:,}, {header.n_nonzeros / max(1, n_cells):,.0f} a cell")
    table.add_row("bytes", f"{n_bytes:,}, {n_bytes / max(1, n_cells):,.0f} a cell")
    table.add_row("folder", str(shards.path))
    Console().print(table, highlight=False)
