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
    as_json: bool,
) -> None:
    """Write the counts of a manifest's cells as shards, shuffled, for training.

    The counts are read once, in the order of the store, spike-ins from their files; every cell then stands at
    a random place of its split. A run that was killed goes on when the command is given again.

    \b
    Examples:
        curate materialize sketch-0.01-s0
        curate materialize sketch-0.01-s0 -o /scratch/sketch --workers 4
    """
    from curate.memory import keep_memory

    # Before the first thread: an arena that glibc gave away stays.
    keep_memory()
    from curate.cli.manifests import load
    from curate.cli.shards import show
    from curate.train.shards.materialize import materialize
    from curate.workspace import Workspace

    if workers and scheduler:
        raise click.UsageError("give --workers or --scheduler; a scheduler has its own workers")
    manifest = load(home, ref)
    folder = path or Workspace.find(home).shards_path / manifest.name / f"v{manifest.version:04d}"
    shards = materialize(
        manifest, folder, shard_cells=shard_cells, seed=seed, workers=workers, scheduler=scheduler
    )
    show(shards, as_json=as_json)
