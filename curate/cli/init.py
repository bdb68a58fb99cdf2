"""`curate init`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("init")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".")
@click.option(
    "--release", help="Census release: stable, latest or a date such as 2025-11-08.  [default: stable]"
)
@click.option("--uri", help="A store of the Census layout instead: a folder or s3://…")
@click.option("--region", help="S3 region of the uri.")
@click.option("--endpoint", help="S3-compatible endpoint of the uri, such as http://127.0.0.1:9000.")
@click.option("--anonymous", is_flag=True, help="Send no credentials to S3.")
def command(
    folder: Path,
    *,
    release: str | None,
    uri: str | None,
    region: str | None,
    endpoint: str | None,
    anonymous: bool,
) -> None:
    """Make FOLDER a workspace: write its curate.toml.

    Example: curate init atlas --release 2025-11-08
    """
    from curate.workspace import CensusSettings, Workspace

    if release and uri:
        raise click.UsageError("--release names a public release, --uri a store: give one of them")
    settings = CensusSettings(
        release=release or "stable", uri=uri, region=region, endpoint=endpoint, anonymous=anonymous
    )
    workspace = Workspace.create(folder, census=settings)
    click.echo(f"{workspace.root} is a workspace; next: curate -C {folder} corpus build --recipe NAME")
