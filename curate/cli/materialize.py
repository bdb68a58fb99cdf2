"""`curate materialize`."""

from __future__ import annotations

from pathlib import Path

import click

from curate.cli.numbers import SEED

SHARD_CELLS = 16_384


@click.command("materialize")
@click.argument("ref", metavar="MANIFEST")
@click.option(
    "-o",
    "--output",
    "path",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to make.  [default: shards/NAME/vVERSION in the workspace]",
)
@click.option(
    "--shard-cells",
    type=click.IntRange(min=1),
    default=SHARD_CELLS,
    show_default=True,
    help="Most cells of a shard.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the order of the cells.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes of a local Dask cluster.")
@click.option("--scheduler", metavar="ADDRESS", help="A Dask scheduler whose workers reach the Census.")
@click.option(
    "--verify/--no-verify",
    default=None,
    help="Compare shards that are there already with their sha256.  [default: up to 4 GiB of them]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    home: str | None,
    /,
    *,
    ref: str,
    path: Path | None,
    shard_cells: int,
    seed: int,
    workers: int | None,
    scheduler: str | None,
    verify: bool | None,
    as_json: bool,
) -> None:
    """Write the counts of a manifest's cells as shards, shuffled, for training.

    The counts are read once, in the order of the store, spike-ins from their files; every cell then stands at
    a random place of its split. A run that was killed goes on when the command is given again; shards that
    are there already are compared with their sha256 and left as they are.

    \b
    Examples:
        curate materialize sketch-0.01-s0
        curate materialize sketch-0.01-s0 -o /scratch/sketch --workers 4
    """
    from curate.memory import keep_memory

    # Before the first thread: an arena that glibc gave away stays.
    keep_memory()
    from curate.cli.manifests import load
    from curate.cli.shards import show, verify_before_use
    from curate.train.shards.materialize import materialize
    from curate.workspace import Workspace

    if workers and scheduler:
        raise click.UsageError("give --workers or --scheduler; a scheduler has its own workers")
    manifest = load(home, ref)
    folder = path or Workspace.find(home).shards_path / manifest.name / f"v{manifest.version:04d}"
    were_there = folder.exists()
    shards = materialize(
        manifest, folder, shard_cells=shard_cells, seed=seed, workers=workers, scheduler=scheduler
    )
    if were_there:
        verified = verify_before_use(shards, verify=verify)
        click.echo(
            f"these shards were there already, of {shards.header.created:%Y-%m-%d %H:%M} UTC, "
            f"and nothing was written; {verified}",
            err=True,
        )
    show(shards, as_json=as_json)
